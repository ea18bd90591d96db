//! The values of headers that hold people's words, as they go over the wire (RFC 5322, RFC 2047). What a reader's program decodes is the
//! same text, blanks included.

use base64::{Engine, prelude::BASE64_STANDARD};
use lettre::message::header::{HeaderName, HeaderValue};

/// A value up to this length stays on the line of its header's name.
const SHORT: usize = 60;
/// Octets in one encoded word. With "Subject: " before it the line stays below 76 characters.
const WORD_OCTETS: usize = 39;

/// A header with a text.
pub fn text(name: &'static str, value: &str) -> HeaderValue {
    header(name, value, if is_plain(value) { value.to_owned() } else { encoded(value) })
}

/// A header with an address, and a name where there is one.
pub fn mailbox(name: &'static str, who: &str, address: &str) -> HeaderValue {
    let value = match who {
        "" => address.to_owned(),
        who if is_atoms(who) => format!("{who} <{address}>"),
        who if is_plain(who) => format!("\"{}\" <{address}>", who.replace('\\', "\\\\").replace('"', "\\\"")),
        who => format!("{}\r\n <{address}>", encoded(who)),
    };
    header(name, address, value)
}

fn header(name: &'static str, raw: &str, encoded: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), raw.to_owned(), encoded)
}

/// Whether a value can stand as it is: it is short, and no program decodes or trims any of it.
fn is_plain(value: &str) -> bool {
    let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_printable && value.len() <= SHORT && !value.contains("=?") && value.trim() == value
}

/// Letters and digits, with single spaces between them.
fn is_atoms(value: &str) -> bool {
    let mut words = value.split(' ');
    is_plain(value) && words.all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// The whole value as encoded words, one a line. Programs drop what stands between them, so the blanks are inside.
fn encoded(value: &str) -> String {
    let words = pieces(value).map(|piece| format!("=?utf-8?b?{}?=", BASE64_STANDARD.encode(piece)));
    words.collect::<Vec<_>>().join("\r\n ")
}

/// Pieces of at most [`WORD_OCTETS`], each of whole characters.
fn pieces(mut rest: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let end = rest.floor_char_boundary(WORD_OCTETS);
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use lettre::message::header::Headers;
    use proptest::prelude::*;

    use super::*;

    /// What a reader sees of a header's value (RFC 2047, section 6.2): adjacent encoded words are joined.
    pub(in super::super) fn decoded(value: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = value;
        while let Some((before, behind)) = rest.split_once("=?utf-8?b?") {
            let (word, behind) = behind.split_once("?=").expect("a word that ends");
            let is_between = !bytes.is_empty() && before.trim().is_empty();
            bytes.extend(if is_between { "" } else { before }.bytes());
            bytes.extend(BASE64_STANDARD.decode(word).expect("base64"));
            rest = behind;
        }
        assert!(!rest.contains("=?"), "a word that somebody else wrote: {value:?}");
        bytes.extend(rest.bytes());
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn written(header: HeaderValue) -> String {
        let mut headers = Headers::new();
        headers.insert_raw(header);
        headers.to_string().split_once(": ").expect("a header").1.trim_end_matches("\r\n").to_owned()
    }

    #[test]
    fn blanks_between_accented_words_stay() {
        let value = "Café  con   ñandú ";
        assert_eq!(decoded(&written(text("Subject", value))), value);
        assert_eq!(written(text("Subject", "Tea  pot")), "Tea  pot");
    }

    #[test]
    fn a_name_is_quoted_or_encoded_where_it_must_be() {
        let to = |who| written(mailbox("To", who, "ana@x.cl"));
        assert_eq!(to(""), "ana@x.cl");
        assert_eq!(to("Ana Rojas"), "Ana Rojas <ana@x.cl>");
        assert_eq!(to("Ana, \"la jefa\" \\"), "\"Ana, \\\"la jefa\\\" \\\\\" <ana@x.cl>");
        assert_eq!(to("Ana  Rojas"), "\"Ana  Rojas\" <ana@x.cl>");
        assert_eq!(to("José"), "=?utf-8?b?Sm9zw6k=?=\r\n <ana@x.cl>");
    }

    proptest! {
        #[test]
        fn every_text_decodes_to_itself_on_short_ascii_lines(value in "\\PC{0,200}|[a ñ🌮]{0,90}|[a-z =?]{0,90}") {
            let written = written(text("Subject", &value));
            prop_assert!(written.is_ascii() && written.split("\r\n").all(|line| line.len() <= 76), "{written:?}");
            prop_assert_eq!(decoded(&written.replace("\r\n", "")), value);
        }
    }
}
