//! From the bytes of a file to its text: UTF-8, or a message that says what it is instead and how to save it.

use super::{records::line_ends, shown};

/// What cannot be UTF-8 text, by its first bytes. UTF-32 comes before UTF-16, whose mark begins the same.
const OTHERS: [(&[u8], &str); 7] = [
    (&[0xff, 0xfe, 0, 0], UTF_32),
    (&[0, 0, 0xfe, 0xff], UTF_32),
    (&[0xff, 0xfe], UTF_16),
    (&[0xfe, 0xff], UTF_16),
    (b"PK\x03\x04", "a workbook (or another zip archive)"),
    (&[0xd0, 0xcf, 0x11, 0xe0], "a workbook of an old Excel"),
    (&[0x1f, 0x8b], "compressed with gzip"),
];
const UTF_16: &str = "in UTF-16";
const UTF_32: &str = "in UTF-32";

const HOW_TO_SAVE: &str = "save it as CSV in UTF-8 (Excel: \"CSV UTF-8\"; LibreOffice: character set \"Unicode (UTF-8)\"; \
     Google Sheets: download as CSV)";

/// What DOS programs write behind the last line.
const CTRL_Z: u8 = 0x1a;

/// The text of a file, without a byte order mark and without the Ctrl-Z of DOS at its end.
pub fn decode(bytes: &[u8]) -> Result<&str, String> {
    if let Some(kind) = other_kind(bytes) {
        return Err(format!("the file is {kind}, not CSV text in UTF-8; {HOW_TO_SAVE}"));
    }
    let bytes = before_ctrl_z(bytes);
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("line {}: a NUL byte, so this is not text in UTF-8; {HOW_TO_SAVE}", line_at(bytes, at)));
    }
    let text = str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn other_kind(bytes: &[u8]) -> Option<&'static str> {
    let marked = OTHERS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, kind)| *kind);
    // Without a byte order mark: a header begins with ASCII, whose other bytes are NUL.
    marked.or_else(|| match bytes.first_chunk::<4>()?.map(|byte| byte == 0) {
        [true, true, true, false] | [false, true, true, true] => Some(UTF_32),
        [true, false, true, _] | [false, true, _, true] => Some(UTF_16),
        _ => None,
    })
}

/// Programs that filled whole blocks wrote several, or zeros behind it. One inside the file is no end: rows follow it.
fn before_ctrl_z(bytes: &[u8]) -> &[u8] {
    let is_padding = |byte: &u8| matches!(*byte, CTRL_Z | 0 | b'\r' | b'\n' | b' ');
    let padding = bytes.iter().rev().take_while(|byte| is_padding(byte)).count();
    let tail = bytes.len() - padding;
    bytes[tail..].iter().position(|byte| *byte == CTRL_Z).map_or(bytes, |at| &bytes[..tail + at])
}

fn not_utf8(bytes: &[u8], at: usize) -> String {
    let line = line_at(bytes, at);
    let begin = bytes[..at].iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |end| end + 1);
    let before = String::from_utf8_lossy(&bytes[begin..at]);
    let byte = bytes[at];
    format!("line {line}: byte {byte:#04x} after {} is not UTF-8, perhaps Windows-1252; {HOW_TO_SAVE}", shown(&before))
}

/// The line of a byte, from 1.
fn line_at(bytes: &[u8], at: usize) -> usize {
    1 + line_ends(&bytes[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "price,product_name\r\n1,Ñoquis\r\n";

    fn refused(bytes: &[u8]) -> String {
        decode(bytes).expect_err("no UTF-8 text")
    }

    fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    fn utf_32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
        text.chars().flat_map(|c| bytes(u32::from(c))).collect()
    }

    #[test]
    fn utf_16_and_utf_32_are_named_with_and_without_a_byte_order_mark() {
        for text in [TEXT.to_owned(), format!("\u{feff}{TEXT}")] {
            for bytes in [utf_16(&text, u16::to_le_bytes), utf_16(&text, u16::to_be_bytes)] {
                assert!(refused(&bytes).starts_with("the file is in UTF-16, not CSV text in UTF-8; save it as"));
            }
            for bytes in [utf_32(&text, u32::to_le_bytes), utf_32(&text, u32::to_be_bytes)] {
                assert!(refused(&bytes).starts_with("the file is in UTF-32"));
            }
        }
    }

    #[test]
    fn workbooks_and_archives_are_named() {
        assert!(refused(b"PK\x03\x04\x14\0\x06\0").contains("a workbook"));
        assert!(refused(b"\xd0\xcf\x11\xe0\xa1\xb1").contains("old Excel"));
        assert!(refused(b"\x1f\x8b\x08\0").contains("gzip"));
    }

    #[test]
    fn a_byte_that_is_no_utf8_is_named_with_its_place() {
        let message = refused(b"price,product_name\r\n1,Pizza\r\n2,Pi\xf1a\r\n");
        assert!(message.starts_with("line 3: byte 0xf1 after \"2,Pi\" is not UTF-8"), "{message}");
        // Cut in the middle of a character.
        assert!(refused(&TEXT.as_bytes()[..TEXT.len() - 8]).starts_with("line 2: byte 0xc3 after \"1,\""));
        assert!(refused(b"a\rb\n\nc\0d").starts_with("line 4: a NUL byte"));
    }

    #[test]
    fn a_mark_before_and_ctrl_z_behind_are_no_part_of_the_text() {
        for text in [format!("\u{feff}{TEXT}"), format!("{TEXT}\x1a"), format!("{TEXT}\x1a\r\n\x1a\0\0")] {
            assert_eq!(decode(text.as_bytes()), Ok(TEXT), "{text:?}");
        }
        // Rows behind it are not dropped.
        assert_eq!(decode(b"a\x1a\nb\n\x1a"), Ok("a\x1a\nb\n"));
        assert_eq!(decode(b""), Ok(""));
    }
}
