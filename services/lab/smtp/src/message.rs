//! A message that was read to its final dot.

/// A message with its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// As in MAIL FROM.
    pub from: String,
    /// As in RCPT TO.
    pub to: Vec<String>,
    /// As the client meant it: without doubled dots.
    pub bytes: Vec<u8>,
}

impl Message {
    /// The whole message, lossily decoded, its lines ended by LF.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).replace("\r\n", "\n")
    }

    /// The first header of this name in any case, its lines joined; `None` where there is none.
    pub fn find_header(&self, name: &str) -> Option<String> {
        let text = self.text();
        let head = text.split("\n\n").next().unwrap_or_default().replace("\n ", " ").replace("\n\t", " ");
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The same of a header that must be there.
    pub fn header(&self, name: &str) -> String {
        self.find_header(name).unwrap_or_else(|| panic!("no header {name} in {}", self.text()))
    }

    /// The transition that a mail of Comanda reports.
    pub fn version(&self) -> i64 {
        self.header("X-Comanda-Version").parse().expect("a number")
    }
}

/// The first word of a command, in upper case.
pub(crate) fn verb(line: &str) -> String {
    line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase()
}

/// What stands in angle brackets; empty where nothing does.
pub(crate) fn path(line: &str) -> String {
    line.split_once('<')
        .and_then(|(_, rest)| rest.rsplit_once('>'))
        .map(|(path, _)| path.to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_the_head_only() {
        let bytes = b"message-id: <1@x>\r\nSubject: a\r\n b\r\n\r\nTo: c\r\n".to_vec();
        let message = Message { bytes, ..Message::default() };
        assert_eq!((message.header("Message-ID"), message.header("Subject")), ("<1@x>".into(), "a b".into()));
        assert_eq!(message.find_header("To"), None);
    }

    #[test]
    fn commands_are_read_in_any_case() {
        assert_eq!((verb("rcpt TO:<a@b> X=1"), path("rcpt TO:<a@b> X=1")), ("RCPT".into(), "a@b".into()));
        assert_eq!((verb(""), path("RCPT TO: a@b")), (String::new(), String::new()));
    }
}
