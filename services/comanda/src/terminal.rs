//! Text that others wrote, made safe to look at.

use std::borrow::Cow;

/// Text from a server or a file, as it may reach a terminal: characters that a terminal obeys, that turn the reading direction round or
/// that break a line are shown escaped, `\n` or `\u{202e}`. All others stay as they are.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => safe.extend(character.escape_default()),
            character if is_unsafe(character) => safe.extend(character.escape_unicode()),
            character => safe.push(character),
        }
    }
    safe.into()
}

/// [`escape`] for text whose line feeds are our own.
pub fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// JSON with the same characters as `\u` and four hexadecimal digits, which means the same to a parser. They only occur inside strings.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_unsafe) {
        return json.into();
    }
    let mut safe = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        match is_unsafe(character) {
            true => {
                character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")))
            }
            false => safe.push(character),
        }
    }
    safe.into()
}

fn is_unsafe(character: char) -> bool {
    character.is_control() || is_bidi_control(character) || is_unseen(character)
}

/// Bidirectional controls of Unicode (UAX #9).
fn is_bidi_control(character: char) -> bool {
    matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Separators of lines and paragraphs, the byte order mark, deprecated format characters, annotations and tags: nothing that a name needs.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        for (text, shown) in [
            ("a\x1b[2J\x07", "a\\u{1b}[2J\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("one\r\ntwo\t", "one\\r\\ntwo\\t"),
            ("\u{202e}atar\u{2069}", "\\u{202e}atar\\u{2069}"),
            ("x\u{200f}\u{61c}\u{2028}y", "x\\u{200f}\\u{61c}\\u{2028}y"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn names_of_every_script_stay_as_they_are() {
        for text in ["Ñandú 🌮 👩‍🍳", "שלום", "مرحبا", "寿司 \\n"] {
            assert!(matches!(escape(text), Cow::Borrowed(same) if same == text));
        }
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left_and_json_means_the_same(text in "\\PC{0,9}|[\u{0}-\u{20}\u{7f}-\u{a0}\u{2000}-\u{206f}\u{e0000}-\u{e0080}a-c]{0,9}") {
            prop_assert!(!escape(&text).contains(is_unsafe));
            let json = escape_json(&serde_json::to_string(&text)?).into_owned();
            prop_assert!(!json.contains(is_unsafe));
            prop_assert_eq!(serde_json::from_str::<String>(&json)?, text);
        }
    }
}
