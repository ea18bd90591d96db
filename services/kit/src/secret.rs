//! Settings that must not appear in a log, an error or a debug output.

use std::{convert::Infallible, fmt, str::FromStr};

use crate::settings;

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
        settings::variable(variable)?.into_string().ok().map(Self)
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
}
