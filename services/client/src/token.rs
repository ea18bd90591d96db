//! A place in the stream of all orders.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};

/// Marks a place in the stream of all orders. It holds for about 10 minutes, with the same filter. As text it is base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeToken(Vec<u8>);

impl ResumeToken {
    /// The token of a response; `None` where it carries none.
    pub fn new(bytes: impl AsRef<[u8]>) -> Option<Self> {
        let bytes = bytes.as_ref();
        (!bytes.is_empty()).then(|| Self(bytes.to_vec()))
    }

    /// As a request carries it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for ResumeToken {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text.trim()).map_err(|error| format!("is not base64: {error}"))?;
        Self::new(bytes).ok_or_else(|| "is empty".to_owned())
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_base64_and_not_empty() {
        let token: ResumeToken = "AQI=".parse().expect("valid");
        assert_eq!((token.as_bytes(), token.to_string()), (&[1, 2][..], "AQI=".to_owned()));
        assert!("".parse::<ResumeToken>().is_err() && "%".parse::<ResumeToken>().is_err());
    }
}
