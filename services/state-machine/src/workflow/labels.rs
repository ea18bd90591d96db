//! Labels: what people call a status, by language.

use comanda_kit::text::{has_visible, is_bidi_control};
use isolang::Language;

/// The longest label, in characters.
pub const MOST_CHARACTERS: usize = 100;
/// Codes of ISO 639 for what is no language: uncoded, multiple, undetermined, none.
const NO_LANGUAGES: [&str; 4] = ["mis", "mul", "und", "zxx"];

/// What is wrong with a label's key. A reader asks for a language tag as BCP 47 writes it, and never finds anything else.
pub fn key_problem(key: &str) -> Option<String> {
    let mut parts = key.split('-').peekable();
    let language = parts.next().unwrap_or_default();
    parts.next_if(|part| is_script(part));
    parts.next_if(|part| is_region(part));
    if parts.next().is_some() || !is_language(language) {
        return Some("is no language tag such as es, en or es-CL (BCP 47)".into());
    }
    let short = Language::from_639_3(language).and_then(|language| language.to_639_1());
    short.map(|short| format!("is never looked up: this language is written {short}"))
}

fn is_language(code: &str) -> bool {
    let known = Language::from_639_1(code).or_else(|| Language::from_639_3(code)).is_some();
    known && !NO_LANGUAGES.contains(&code)
}

fn is_script(part: &str) -> bool {
    let mut letters = part.bytes();
    part.len() == 4
        && letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.all(|letter| letter.is_ascii_lowercase())
}

fn is_region(part: &str) -> bool {
    let is_country = part.len() == 2 && part.bytes().all(|letter| letter.is_ascii_uppercase());
    is_country || part.len() == 3 && part.bytes().all(|digit| digit.is_ascii_digit())
}

/// What is wrong with a label. It stands in mails, in their subjects and on terminals.
pub fn text_problem(label: &str) -> Option<String> {
    if !(1..=MOST_CHARACTERS).contains(&label.chars().count()) || !has_visible(label) {
        return Some(format!("must have 1 to {MOST_CHARACTERS} characters, at least one of them visible"));
    }
    let unfit = label.chars().find(|c| is_unfit(*c))?;
    Some(format!("holds {}, a control character or a change of the direction of writing", unfit.escape_unicode()))
}

fn is_unfit(character: char) -> bool {
    let is_break = matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}');
    character.is_control() || is_break || is_bidi_control(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_language_tag_as_readers_look_it_up() {
        for key in ["es", "en", "fr", "es-CL", "es-419", "zh-Hant", "zh-Hant-TW", "arn", "quz"] {
            assert_eq!(key_problem(key), None, "{key}");
        }
        for key in
            ["", "ES", "Es", "es_CL", "es-cl", "espanol", "xx", "qq", "und", "e", "es-", "es-CL-x", "español", "label"]
        {
            assert!(key_problem(key).expect(key).contains("no language tag"), "{key}");
        }
        assert!(key_problem("spa").expect("never looked up").ends_with("written es"));
        assert!(key_problem("eng-US").expect("never looked up").ends_with("written en"));
    }

    #[test]
    fn a_label_is_one_visible_line() {
        for label in ["recibido", "En camino 🛵", "קבלה", "تم الاستلام", "ñ".repeat(100).as_str(), "می‌رسد"]
        {
            assert_eq!(text_problem(label), None, "{label}");
        }
        for label in
            ["", " ", "\u{200b}", "a\nb", "a\u{0}", "a\u{1b}[31m", "a\u{85}b", "a\u{202e}b", "\u{2066}a", "a\u{2028}b"]
        {
            assert!(text_problem(label).is_some(), "{label:?}");
        }
        assert!(text_problem(&"ñ".repeat(101)).is_some());
    }
}
