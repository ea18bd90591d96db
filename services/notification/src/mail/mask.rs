//! Keeps the addresses of customers out of the ledger and out of logs: servers repeat them in their replies.

/// What stands in for an address.
const MASK: &str = "(recipient)";

/// A text without the recipient's address and without any other address but the sender's.
pub fn mask(text: &str, recipient: &str, sender: &str) -> String {
    let text = without(text, recipient);
    let mut masked = String::with_capacity(text.len());
    for piece in text.split_inclusive(is_border) {
        let word = piece.trim_end_matches(is_border);
        let is_address = word.contains('@') && !word.eq_ignore_ascii_case(sender);
        masked += if is_address { MASK } else { word };
        masked += &piece[word.len()..];
    }
    masked
}

/// Without regard to the case of ASCII letters.
fn without(text: &str, address: &str) -> String {
    if address.is_empty() {
        return text.to_owned();
    }
    let (lower, address) = (text.to_ascii_lowercase(), address.to_ascii_lowercase());
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for (start, found) in lower.match_indices(&address) {
        masked += &text[end..start];
        masked += MASK;
        end = start + found.len();
    }
    masked + &text[end..]
}

fn is_border(c: char) -> bool {
    c.is_whitespace() || matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | '"' | '\'' | ',' | ';' | ':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_address_but_the_senders_is_masked() {
        let masked = |text| mask(text, "ana@example.com", "pedidos@example.com");
        assert_eq!(masked("550 <Ana@Example.com>: unknown"), "550 <(recipient)>: unknown");
        assert_eq!(masked("550 no ana@example.com"), "550 no (recipient)");
        assert_eq!(masked("551 try ana.rojas@other.example, please"), "551 try (recipient), please");
        assert_eq!(masked("554 not verified: pedidos@example.com"), "554 not verified: pedidos@example.com");
        assert_eq!(masked("250 2.0.0 queued as 4F1"), "250 2.0.0 queued as 4F1");
        assert_eq!(mask("550 @ ñ", "", "x@y"), "550 (recipient) ñ");
    }

    proptest! {
        #[test]
        fn a_recipient_is_never_shown(before in "\\PC{0,9}", local in "[a-zA-Z.ñ]{1,9}", domain in "[a-z]{1,9}\\.cl", after in "\\PC{0,9}") {
            let recipient = format!("{local}@{domain}");
            let shown = mask(&format!("{before}{recipient}{after}"), &recipient, "pedidos@example.com");
            prop_assert!(!shown.to_lowercase().contains(&recipient.to_lowercase()));
        }
    }
}
