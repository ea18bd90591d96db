//! Page tokens (<https://google.aip.dev/158>): opaque, and only valid with the filter they were made for.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::errors::{ApiError, Violations};

const FILTER_HASH_BYTES: usize = 8;

/// Stable hash of a filter, so that a token or a watch can not be resumed with another one.
pub fn filter_hash(filter: &impl Message) -> [u8; FILTER_HASH_BYTES] {
    let digest = Sha256::digest(filter.encode_to_vec());
    let mut hash = [0; FILTER_HASH_BYTES];
    hash.copy_from_slice(&digest[..FILTER_HASH_BYTES]);
    hash
}

/// A token that continues after `position` of a list with this filter.
pub fn token(filter: &impl Message, position: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode([&filter_hash(filter), position].concat())
}

/// The position in a token; `None` for the empty token of a first page.
pub fn position(filter: &impl Message, token: &str) -> Result<Option<Vec<u8>>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok().filter(|bytes| bytes.starts_with(&filter_hash(filter)));
    match bytes {
        Some(bytes) => Ok(Some(bytes[FILTER_HASH_BYTES..].to_vec())),
        None => Err(bad_token()),
    }
}

/// The error for a token that is not ours.
pub fn bad_token() -> ApiError {
    ApiError::invalid_field("page_token", "must be a next_page_token of the same list with the same filter, or empty")
}

/// Checks a page size: 0 means `default`, at most `most`.
pub fn size(violations: &mut Violations, page_size: i32, default: i64, most: i32) -> i64 {
    violations.require((0..=most).contains(&page_size), "page_size", format!("must be 0 to {most}"));
    if page_size == 0 { default } else { page_size.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_returns_its_position_with_its_own_filter_only() {
        let (mine, other) = ("mine".to_string(), "other".to_string());
        let token = token(&mine, b"here");
        assert_eq!(position(&mine, &token).expect("own token"), Some(b"here".to_vec()));
        assert!(position(&other, &token).is_err());
        assert!(position(&mine, "no token!").is_err());
        assert_eq!(position(&mine, "").expect("first page"), None);
    }
}
