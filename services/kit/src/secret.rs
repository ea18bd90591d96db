//! Settings that nobody may read from a log, an error or a debug output.

use std::{convert::Infallible, fmt, str::FromStr};

/// A text that is never shown.
///
/// It parses from anything, so that an argument parser never refuses it: parsers print the value that they refuse. What is inside is
/// checked where it is used, with errors that do not repeat it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value of an environment variable; `None` where it is unset or empty.
    pub fn from_environment(variable: &str) -> Option<Self> {
        std::env::var(variable).ok().filter(|text| !text.is_empty()).map(Self)
    }

    /// The content of a file, without the line end that editors add.
    pub fn read(file: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read it: {error}"))?;
        Ok(Self::new(text.trim_end_matches(['\r', '\n'])))
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_still_there() {
        let secret: Secret = "geheim".parse().expect("anything");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "(hidden) Some((hidden))");
        assert_eq!(secret.reveal(), "geheim");
    }

    #[test]
    fn a_file_may_hold_it() {
        let file = std::env::temp_dir().join(format!("comanda-secret-{}", uuid::Uuid::new_v4()));
        let path = file.display().to_string();
        assert!(Secret::read(&path).expect_err("no such file").contains("cannot read it"));
        std::fs::write(&file, "ge heim\r\n").expect("written");
        let secret = Secret::read(&path).expect("read");
        std::fs::remove_file(file).expect("removed");
        assert_eq!(secret.reveal(), "ge heim");
    }
}
