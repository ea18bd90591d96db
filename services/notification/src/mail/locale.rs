//! The languages of mails.

use clap::ValueEnum;
use comanda_proto::v1::WorkflowStatus;

/// A language that mails are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Locale {
    /// Spanish.
    Es,
    /// English.
    En,
}

impl Locale {
    /// The language of a BCP 47 tag such as `es-MX`, if there are templates in it.
    pub fn of_tag(tag: &str) -> Option<Self> {
        [Self::Es, Self::En].into_iter().find(|locale| language(tag).eq_ignore_ascii_case(locale.code()))
    }

    /// As workflows and templates name it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Es => "es",
            Self::En => "en",
        }
    }

    /// How people call a status: in the customer's language where the workflow has it (es-CL finds es), else in the mail's, else in any
    /// that there is, else the status itself.
    pub fn label<'w>(self, status: &'w WorkflowStatus, tag: &str) -> &'w str {
        let labels = &status.labels;
        let find =
            |wanted: &str| labels.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, label)| label);
        let related = |wanted: &str| {
            labels.iter().find(|(key, _)| language(key).eq_ignore_ascii_case(language(wanted))).map(|(_, label)| label)
        };
        let found = find(tag).or_else(|| find(language(tag))).or_else(|| related(tag));
        let found = found.or_else(|| find(self.code())).or_else(|| related(self.code()));
        found.or_else(|| labels.values().next()).map_or(&status.name, |label| label)
    }
}

fn language(tag: &str) -> &str {
    tag.split(['-', '_']).next().unwrap_or_default()
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

    fn status(labels: &[(&str, &str)]) -> WorkflowStatus {
        let labels = labels.iter().map(|(key, label)| ((*key).to_owned(), (*label).to_owned())).collect();
        WorkflowStatus { name: "ready".into(), labels, ..Default::default() }
    }

    #[test]
    fn a_label_falls_back_to_a_language_that_there_is() {
        for (labels, tag, expected) in [
            (&[("es", "listo"), ("en", "ready now")][..], "es-CL", "listo"),
            (&[("es", "listo"), ("es-CL", "al tiro")], "es-cl", "al tiro"),
            (&[("es", "listo"), ("pt", "pronto")], "pt-BR", "pronto"),
            (&[("pt-BR", "pronto"), ("es", "listo")], "pt", "pronto"),
            (&[("es", "listo")], "en", "listo"),
            (&[("es", "listo"), ("pt", "pronto")], "de", "listo"),
            (&[("pt", "pronto")], "de", "pronto"),
            (&[], "de", "ready"),
        ] {
            assert_eq!(Locale::Es.label(&status(labels), tag), expected, "{tag} {labels:?}");
        }
    }
}
