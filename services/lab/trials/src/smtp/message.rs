//! What is read of a message: which one it is, and to whom it goes. Pure.

/// The Message-ID of a line of a message's head, with its angle brackets, if it is that line.
pub(super) fn message_id(line: &[u8]) -> Option<String> {
    let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case("message-id").then(|| value.trim().to_owned())
}

/// The address in the argument of RCPT.
pub(super) fn recipient(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

/// The command of a line, in upper case.
pub(super) fn verb(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_is_found_however_its_name_is_written() {
        assert_eq!(message_id(b"Message-ID: <1.2@x>\r\n").as_deref(), Some("<1.2@x>"));
        assert_eq!(message_id(b"message-id:<1.2@x>\r\n").as_deref(), Some("<1.2@x>"));
        assert_eq!(message_id(b"Subject: Message-ID: <1.2@x>\r\n"), None);
        assert_eq!(message_id(b"\xff\xfe: x\r\n"), None);
    }

    #[test]
    fn commands_are_read_in_any_case() {
        assert_eq!(verb("rcpt TO:<a@b>"), "RCPT");
        assert_eq!(recipient("RCPT TO:<a@b> SIZE=1"), "a@b");
        assert_eq!((verb(""), recipient("RCPT TO: a@b")), (String::new(), String::new()));
    }
}
