//! The credentials of a call, by their kind. Pure.

use tonic::codegen::http::{HeaderMap, header};

use super::{key, refusal::Why};
use crate::tracking;

/// What a caller shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing.
    None,
    /// The tracking token of an order.
    Tracking(&'a str),
    /// An API key.
    Key(&'a str),
    /// A JSON Web Token.
    Jwt(&'a str),
    /// Something for somebody else, such as a password for a proxy in front.
    Other,
}

impl<'a> Credential<'a> {
    /// Of the header `authorization`.
    pub fn of(headers: &'a HeaderMap) -> Result<Self, Why> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(Self::None) };
        if values.next().is_some() {
            return Err(Why::Malformed);
        }
        let text = value.to_str().map_err(|_| Why::Malformed)?;
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("bearer") { Self::of_token(token.trim()) } else { Ok(Self::Other) }
    }

    /// Of what stands behind `Bearer`.
    pub fn of_token(token: &'a str) -> Result<Self, Why> {
        if token.starts_with(tracking::PREFIX) {
            Ok(Self::Tracking(token))
        } else if token.starts_with(key::PREFIX) {
            Ok(Self::Key(token))
        } else if token.split('.').count() == 3 {
            Ok(Self::Jwt(token))
        } else {
            Err(Why::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, value.parse().expect("a value"))).collect()
    }

    #[test]
    fn credentials_are_told_apart_by_how_they_begin() {
        for (value, credential) in [
            ("Bearer trk_x", Ok(Credential::Tracking("trk_x"))),
            ("bearer  cmd_a_b", Ok(Credential::Key("cmd_a_b"))),
            ("BEARER a.b.c", Ok(Credential::Jwt("a.b.c"))),
            ("Basic YTpi", Ok(Credential::Other)),
            ("Bearer", Err(Why::Malformed)),
            ("Bearer ", Err(Why::Malformed)),
            ("Bearer a.b", Err(Why::Malformed)),
            ("cmd_a_b", Ok(Credential::Other)),
        ] {
            assert_eq!(Credential::of(&headers(&[value])), credential, "{value}");
        }
        assert_eq!(Credential::of(&HeaderMap::new()), Ok(Credential::None));
    }

    #[test]
    fn of_several_credentials_none_counts() {
        assert_eq!(Credential::of(&headers(&["Bearer cmd_a_b", "Bearer cmd_a_b"])), Err(Why::Malformed));
        assert_eq!(Credential::of(&headers(&["Basic YTpi", "Bearer cmd_a_b"])), Err(Why::Malformed));
    }
}
