//! Names and other words of people, as they may stand in a mail: none of them changes what is written around it.

use comanda_kit::text::is_right_to_left;

/// One line without control characters, and without those that turn the direction of what follows them (Unicode TR 9).
pub fn clean(text: &str) -> String {
    let kept = text.chars().filter(|c| !turns_direction(*c));
    kept.map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// A text that is written from right to left, set apart so that the numbers beside it keep their places. Others stay as they are.
pub fn isolated(text: &str) -> String {
    if text.chars().any(is_right_to_left) { format!("\u{2068}{text}\u{2069}") } else { text.to_owned() }
}

/// Embeddings, overrides and isolates. Marks only choose the place of the characters beside them, and [`isolated`] keeps those apart.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_on_its_line_and_turns_nothing_round() {
        assert_eq!(clean("Te \u{202e}edrev\u{202c} \u{2067}x"), "Te edrev x");
        assert_eq!(clean("a\r\nBcc: b\u{2028}c\u{85}d\0"), "a  Bcc: b c d ");
        assert_eq!(clean("  Café  =?utf-8?q?x?="), "  Café  =?utf-8?q?x?=");
    }

    #[test]
    fn only_what_runs_from_right_to_left_is_set_apart() {
        assert_eq!(isolated("Pizza 2"), "Pizza 2");
        assert_eq!(isolated("فلافل (L) 3"), "\u{2068}فلافل (L) 3\u{2069}");
        assert_eq!(isolated("שניצל"), "\u{2068}שניצל\u{2069}");
        assert_eq!(isolated("x\u{200f}"), "\u{2068}x\u{200f}\u{2069}");
    }
}
