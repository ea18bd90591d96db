//! The languages of mails.

use clap::ValueEnum;

/// A language that mails are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Locale {
    /// Spanish.
    Es,
    /// English.
    En,
}

impl Locale {
    /// The language of a BCP 47 tag such as `es-MX`, if it is one of ours.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let language = tag.split(['-', '_']).next().unwrap_or_default();
        [Self::Es, Self::En].into_iter().find(|locale| language.eq_ignore_ascii_case(locale.code()))
    }

    /// As workflows and templates name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Es => "es",
            Self::En => "en",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_part_of_a_tag_decides() {
        for (tag, locale) in [
            ("es", Some(Locale::Es)),
            ("es-MX", Some(Locale::Es)),
            ("EN_us", Some(Locale::En)),
            ("de-AT", None),
            ("", None),
            ("est", None),
        ] {
            assert_eq!(Locale::of_tag(tag), locale, "{tag}");
        }
    }
}
