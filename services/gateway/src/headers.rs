//! What a request says in headers: a key under which it may be repeated, and the version that the resource must have.

use axum::http::{HeaderMap, header};
use uuid::Uuid;

/// <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/> (07).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Tells that the request had been applied before.
pub const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";

const MOST_KEY_CHARS: usize = 255;
/// The namespace of the request ids that are made from keys.
const KEYS: Uuid = Uuid::from_u128(0x5c3b_64a1_9d0e_4d53_9f43_6f0a_2b1d_77e4);

/// The request id that an Idempotency-Key stands for: a UUID for itself, another text for a UUID made from it and from `route`, so that one
/// key may be used on several routes. Tenants need not be told apart: the servers keep the ids of each by themselves.
pub fn request_id(headers: &HeaderMap, route: &str) -> Result<Option<Uuid>, &'static str> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value.to_str().map_err(|_| "must be ASCII")?.trim();
    let key = unquoted(text).ok_or("must be a text in quotes, or one without any")?;
    if key.is_empty() || key.chars().count() > MOST_KEY_CHARS {
        return Err("must have 1 to 255 characters");
    }
    let id = Uuid::try_parse(&key).unwrap_or_else(|_| Uuid::new_v5(&KEYS, format!("{route}\n{key}").as_bytes()));
    Ok(Some(id))
}

/// A string of structured fields (RFC 9651), or a text as most clients send it.
fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return (!text.contains('"')).then(|| text.to_owned()) };
    let inner = rest.strip_suffix('"')?;
    let (mut plain, mut characters) = (String::new(), inner.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => plain.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// What an If-Match asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing, or any version.
    Any,
    /// This version.
    Version(i64),
    /// A tag that no version has.
    Never,
}

/// The version that an If-Match asks for. Our tags are versions in quotes.
pub fn if_match(headers: &HeaderMap) -> Result<IfMatch, &'static str> {
    let mut values = headers.get_all(header::IF_MATCH).into_iter();
    let Some(value) = values.next() else { return Ok(IfMatch::Any) };
    let text = value.to_str().map_err(|_| "must be ASCII")?.trim();
    if values.next().is_some() || text.contains(',') {
        return Err("must name one version");
    }
    if text == "*" {
        return Ok(IfMatch::Any);
    }
    if text.starts_with("W/") {
        // A weak tag matches nothing here (RFC 9110, 13.1.1).
        return Ok(IfMatch::Never);
    }
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let tag = tag.filter(|tag| !tag.contains('"')).ok_or("must be an entity tag such as \"7\", in quotes")?;
    Ok(tag.parse().ok().filter(|version| *version > 0).map_or(IfMatch::Never, IfMatch::Version))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn with(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a value"))])
    }

    fn id(key: &str, route: &str) -> Result<Option<Uuid>, &'static str> {
        request_id(&with(HeaderName::from_static(IDEMPOTENCY_KEY), key), route)
    }

    #[test]
    fn a_uuid_stands_for_itself_with_and_without_quotes() {
        let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
        for key in [uuid.to_owned(), format!("\"{uuid}\""), uuid.to_uppercase()] {
            assert_eq!(id(&key, "a").map(|id| id.map(|id| id.to_string())), Ok(Some(uuid.into())));
        }
    }

    #[test]
    fn another_text_stands_for_a_uuid_of_its_route() {
        assert_eq!(id("order-7", "a"), id("\"order-7\"", "a"));
        assert_ne!(id("order-7", "a"), id("order-7", "b"));
        assert_ne!(id("order-7", "a"), id("order-8", "a"));
        assert_eq!(id(r#""a\"b\\""#, "a"), Ok(Some(Uuid::new_v5(&KEYS, b"a\na\"b\\"))));
        assert_eq!(request_id(&HeaderMap::new(), "a"), Ok(None));
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for key in ["", "\"\"", "\"a", "a\"b", &"x".repeat(256)] {
            assert!(id(key, "a").is_err(), "{key}");
        }
    }

    #[test]
    fn an_if_match_names_one_version() {
        let of = |value: &str| if_match(&with(header::IF_MATCH, value));
        assert_eq!(of("\"7\""), Ok(IfMatch::Version(7)));
        assert_eq!((of("*"), if_match(&HeaderMap::new())), (Ok(IfMatch::Any), Ok(IfMatch::Any)));
        for tag in ["\"x\"", "W/\"7\"", "\"0\"", "\"-1\""] {
            assert_eq!(of(tag), Ok(IfMatch::Never), "{tag}");
        }
        for wrong in ["7", "\"7", "\"6\", \"7\"", "\"6\"\"7\""] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
