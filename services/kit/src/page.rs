//! Page tokens (<https://google.aip.dev/158>): opaque, and only valid for the caller's tenant and the filter that they were made for.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    access::Scope,
    errors::{ApiError, Violations},
    planted,
};

const HASH_BYTES: usize = 8;

/// What a token holds.
#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(bytes = "vec", tag = "1")]
    filter_hash: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    position: Vec<u8>,
}

/// Stable hash of a filter and of what its caller may reach, so that a token cannot be used with another filter, by another tenant, or by
/// another customer.
pub fn filter_hash(scope: &Scope, filter: &impl Message) -> Vec<u8> {
    let mut hash = Sha256::new();
    if !planted!("page-token-without-tenant") {
        hash.update(scope.tenant());
        hash.update([0]);
    }
    if let Some(customer_id) = scope.customer_id() {
        hash.update(customer_id);
        // No filter begins with it: no field of a message has the number 0.
        hash.update([0]);
    }
    hash.update(filter.encode_to_vec());
    hash.finalize()[..HASH_BYTES].to_vec()
}

/// A token that continues after `position` of a list with this filter.
pub fn token(scope: &Scope, filter: &impl Message, position: &impl Message) -> String {
    let token = Token { filter_hash: filter_hash(scope, filter), position: position.encode_to_vec() };
    BASE64_URL_SAFE_NO_PAD.encode(token.encode_to_vec())
}

/// The position in a token; `None` for the empty token of a first page.
pub fn position<P: Message + Default>(
    scope: &Scope,
    filter: &impl Message,
    token: &str,
) -> Result<Option<P>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| bad_token())?;
    let token = Token::decode(&*bytes).map_err(|_| bad_token())?;
    if token.filter_hash != filter_hash(scope, filter) {
        return Err(bad_token());
    }
    P::decode(&*token.position).map(Some).map_err(|_| bad_token())
}

/// The error for a token that is not ours.
pub fn bad_token() -> ApiError {
    ApiError::invalid_field("page_token", "must be a next_page_token of the same list with the same filter, or empty")
}

/// The size of a page: 0 means `default`; more than `most` means `most` (AIP-158); a negative one is refused.
pub fn size(violations: &mut Violations, page_size: i32, default: i64, most: i64) -> i64 {
    violations.require(page_size >= 0, "page_size", "must be 0 or more");
    if page_size == 0 { default } else { i64::from(page_size).min(most) }
}

#[cfg(test)]
mod tests {
    use comanda_proto::access::Role;

    use super::*;

    #[test]
    fn a_token_returns_its_position_with_its_own_filter_and_tenant_only() {
        let (mine, other) = ("mine".to_string(), "other".to_string());
        let (scope, foreign) = (Scope::built_in(), Scope::new("acme", "owner", Role::Owner));
        let customer = |name| Scope::new(scope.tenant(), name, Role::Customer);
        let here = "here".to_string();
        let token = token(&scope, &mine, &here);
        assert_eq!(position(&scope, &mine, &token).expect("own token"), Some(here.clone()));
        assert!(position::<String>(&scope, &other, &token).is_err());
        assert!(position::<String>(&foreign, &mine, &token).is_err());
        assert!(position::<String>(&customer("ana"), &mine, &token).is_err());
        let of_ana = super::token(&customer("ana"), &mine, &here);
        assert!(position::<String>(&customer("ana"), &mine, &of_ana).is_ok());
        assert!(position::<String>(&customer("bob"), &mine, &of_ana).is_err());
        assert!(position::<String>(&scope, &mine, "no token!").is_err());
        assert_eq!(position::<String>(&scope, &mine, "").expect("first page"), None);
    }

    #[test]
    fn a_page_size_above_the_maximum_is_the_maximum() {
        let mut violations = Violations::default();
        let sizes = [0, 7, 100_000].map(|asked| size(&mut violations, asked, 50, 500));
        assert_eq!((sizes, violations.check().is_ok()), ([50, 7, 500], true));
        let mut violations = Violations::default();
        size(&mut violations, -1, 50, 500);
        assert!(violations.check().is_err());
    }
}
