//! Where a server listens, as a person types it.

use std::{fmt, str::FromStr};

use tonic::transport::Uri;

/// `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// As tonic takes it.
    pub fn uri(&self) -> String {
        self.0.clone()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches('/');
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = full.parse().map_err(|_| format!("{text:?} is not HOST:PORT or http://HOST:PORT"))?;
        match uri.scheme_str() {
            Some("http") if uri.port().is_some() => Ok(Self(full)),
            Some("http") => Err(format!("{text:?} has no port, as in http://127.0.0.1:50051")),
            _ => Err(format!("{text:?}: only http:// is spoken here; end TLS in a proxy beside the client")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_may_be_left_out() {
        for text in ["localhost:50051", "http://localhost:50051", "http://localhost:50051/"] {
            assert_eq!(text.parse(), Ok(Address("http://localhost:50051".into())));
        }
    }

    #[test]
    fn what_can_not_be_reached_is_refused_with_a_reason() {
        for (text, reason) in [("localhost", "no port"), ("https://localhost:1", "only http"), ("a b:1", "is not HOST")]
        {
            let error = text.parse::<Address>().expect_err("refused");
            assert!(error.contains(reason), "{error}");
        }
        assert!("".parse::<Address>().is_err());
    }
}
