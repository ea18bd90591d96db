//! Replies of a mail server (RFC 5321, section 4.2): the code decides, the text is for people.
//!
//! In: bytes. Out: a code and its text. A line may end in LF alone, have no text behind its code, and hold bytes of any encoding: none
//! of that changes what the code says.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The longest line that is read. RFC 5321 allows 512 octets; servers exceed it.
const MAX_LINE_OCTETS: u64 = 4096;
/// The most lines of one reply.
const MAX_LINES: usize = 100;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// The text of each line, control characters replaced by spaces.
    pub lines: Vec<String>,
}

impl Reply {
    /// Reads one reply. The caller sets the deadline.
    pub async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Self> {
        let mut lines = Vec::new();
        while lines.len() < MAX_LINES {
            let line = read_line(stream).await?;
            let (code, is_last, text) = split(&line).ok_or_else(|| malformed("no reply", &line))?;
            lines.push(text);
            if is_last {
                return Ok(Self { code, lines });
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("a reply of more than {MAX_LINES} lines")))
    }

    /// Code and text in one line.
    pub fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" ")).trim_end().to_owned()
    }

    /// The same with other texts.
    pub fn map_lines(self, map: impl Fn(&str) -> String) -> Self {
        Self { lines: self.lines.iter().map(|line| map(line)).collect(), ..self }
    }

    /// Whether the server will refuse the same again (5yz).
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// Subject and detail of an enhanced status code (RFC 3463), such as (1, 1) in "550 5.1.1 no such user" or "553 sorry (#5.1.1)".
    pub fn enhanced(&self) -> Option<(u16, u16)> {
        let tokens = || self.lines.iter().flat_map(|line| line.split_whitespace());
        let first = tokens().next().and_then(enhanced);
        first.or_else(|| tokens().filter(|token| token.contains('#')).find_map(enhanced))
    }
}

fn enhanced(token: &str) -> Option<(u16, u16)> {
    let mut parts = token.trim_matches(|c: char| !c.is_ascii_digit()).split('.');
    let class = parts.next()?;
    let (subject, detail) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (matches!(class, "2" | "4" | "5") && parts.next().is_none()).then_some((subject, detail))
}

async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    stream.take(MAX_LINE_OCTETS).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => {
            line.pop_if(|last| *last == b'\r');
            Ok(line)
        }
        Some(_) if line.len() as u64 + 1 == MAX_LINE_OCTETS => Err(malformed("a line that does not end", &line)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Code, whether the reply ends here, and text.
fn split(line: &[u8]) -> Option<(u16, bool, String)> {
    let (code, rest) = line.split_at_checked(3)?;
    let is_code = code.iter().all(u8::is_ascii_digit) && !rest.first().is_some_and(u8::is_ascii_digit);
    let code = is_code.then_some(code)?.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let is_last = rest.first() != Some(&b'-');
    let text = String::from_utf8_lossy(rest.strip_prefix(b"-").unwrap_or(rest));
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (200..600).contains(&code).then_some((code, is_last, text))
}

fn malformed(what: &str, line: &[u8]) -> io::Error {
    let shown: String = String::from_utf8_lossy(line).escape_debug().take(60).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {shown}"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<Reply> {
        Reply::read(&mut &bytes[..]).await
    }

    #[tokio::test]
    async fn the_code_is_the_reply_whatever_stands_behind_it() {
        for (bytes, code, text) in [
            (&b"250 2.0.0 queued\r\n"[..], 250, "250 2.0.0 queued"),
            (b"250\r\n", 250, "250"),
            (b"250\n", 250, "250"),
            (b"250 \r\n", 250, "250"),
            (b"354 adelante\n", 354, "354 adelante"),
            (b"250 2.0.0 recibido: n\xfamero 7\r\n", 250, "250 2.0.0 recibido: n\u{fffd}mero 7"),
            (b"550 a\x1b[2J\x00b\r\n", 550, "550 a [2J b"),
            (b"250-a\r\n250-b\n250 c\r\n", 250, "250 a b c"),
            (b"250-a\r\n250\r\n", 250, "250 a"),
        ] {
            let reply = read(bytes).await.expect("a reply");
            assert_eq!((reply.code, &*reply.text()), (code, text));
        }
    }

    #[tokio::test]
    async fn what_is_no_reply_is_an_error() {
        let (long, many) = ([b"250 ", &[b'x'; 9000][..], b"\r\n"].concat(), b"250-x\r\n".repeat(101));
        for bytes in [
            &b""[..],
            b"25",
            b"250",
            b"2505 x\r\n",
            b"hello\r\n",
            b"\r\n",
            b"150 x\r\n",
            b"650 x\r\n",
            b"250-x\r\n",
            &long,
            &many,
        ] {
            assert!(read(bytes).await.is_err(), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(20)]));
        }
    }

    #[test]
    fn the_enhanced_code_is_the_first_word_or_follows_a_number_sign() {
        for (text, expected) in [
            ("5.1.1 no such user", Some((1, 1))),
            ("5.1.10 null MX", Some((1, 10))),
            ("sorry, no mailbox here by that name (#5.1.1)", Some((1, 1))),
            ("#5.7.1 relaying denied", Some((7, 1))),
            ("client 5.6.7.8 is blocked", None),
            ("5.6.7.8 is blocked", None),
            ("no such user", None),
        ] {
            let reply = Reply { code: 550, lines: vec![text.into()] };
            assert_eq!(reply.enhanced(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_reply_of_bounded_size_or_an_error(bytes in vec(prop_oneof![Just(b'\n'), Just(b'2'), Just(b'-'), any::<u8>()], 0..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            if let Ok(reply) = runtime.block_on(read(&bytes)) {
                prop_assert!((200..600).contains(&reply.code));
                prop_assert!(!reply.text().contains(char::is_control));
            }
        }
    }
}
