//! Which characters of a text a reader sees, by the properties of Unicode.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{BidiClass, BidiControl, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, WhiteSpace},
};

/// A symbol by its category, but a cell of no dots on the screen.
const BRAILLE_BLANK: char = '\u{2800}';

/// Whether nothing of a character is seen: a control or format character, a blank or one of no width. Bidirectional controls and the
/// byte order mark are among them.
pub fn is_invisible(character: char) -> bool {
    // Most characters of most texts.
    if character.is_ascii() {
        return !character.is_ascii_graphic();
    }
    character == BRAILLE_BLANK
        || CodePointSetData::new::<WhiteSpace>().contains(character)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
        || matches!(category(character), GeneralCategory::Control | GeneralCategory::Format)
}

/// Whether a character changes the direction of the text around it, and so can move what stands beside it.
pub fn is_bidi_control(character: char) -> bool {
    CodePointSetData::new::<BidiControl>().contains(character)
}

/// Whether a reader sees anything of a text. A combining mark alone is nothing: it only changes the character before it.
pub fn has_visible(text: &str) -> bool {
    text.chars().any(|character| !is_invisible(character) && !is_mark(character))
}

/// Whether a character is written from right to left, so that what stands beside it may change its place.
pub fn is_right_to_left(character: char) -> bool {
    !character.is_ascii()
        && matches!(
            CodePointMapData::<BidiClass>::new().get(character),
            BidiClass::RightToLeft | BidiClass::ArabicLetter | BidiClass::ArabicNumber
        )
}

fn is_mark(character: char) -> bool {
    GeneralCategoryGroup::Mark.contains(category(character))
}

fn category(character: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_format_characters_are_not_visible() {
        for nothing in [
            "",
            " \t",
            "\u{a0}\u{3000}",
            "\u{200b}\u{200d}\u{feff}",
            "\u{202e}\u{2066}",
            "\u{3164}\u{2800}",
            "\u{301}\u{fe0f}",
            "\u{e0041}",
        ] {
            assert!(!has_visible(nothing), "{nothing:?}");
        }
    }

    #[test]
    fn bidirectional_controls_are_known_and_letters_written_from_right_to_left_are_none() {
        let all = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert!(all.chars().all(is_bidi_control));
        assert!(!"aשם م\u{200d}".chars().any(is_bidi_control));
    }

    #[test]
    fn letters_of_every_script_and_symbols_are_visible() {
        for something in
            ["x", " \u{202e}a", "Ñandú", "שלום", "مرحبا", "寿司", "हिन्दी", "🌮", "👩‍🍳", "½", "-", "\u{1fae8}"]
        {
            assert!(has_visible(something), "{something:?}");
        }
    }
}
