//! The keys of a provider (JSON Web Key Set, RFC 7517). Pure.

use std::{collections::HashMap, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde_json::Value;

/// How many keys are read of a set.
const MOST: usize = 100;

/// A key, and what may be verified with it.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    /// The public key.
    pub key: DecodingKey,
    /// The algorithms that fit to it and that the settings allow.
    pub algorithms: Vec<Algorithm>,
}

/// The keys by their ids.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, Arc<VerifyingKey>>);

impl KeySet {
    /// Reads a set; what cannot verify a signature of an allowed algorithm is left out. `None` for what is no set.
    pub fn read(text: &[u8], allowed: &[Algorithm]) -> Option<Self> {
        let set: Value = serde_json::from_slice(text).ok()?;
        let keys = set.get("keys")?.as_array()?.iter().take(MOST);
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        Some(Self(keys.filter_map(|jwk| read(&jwk, allowed)).collect()))
    }

    /// The key with this id. A token that names none means the only one there is.
    pub fn get(&self, key_id: &str) -> Option<Arc<VerifyingKey>> {
        match (key_id, self.0.len()) {
            ("", 1) => self.0.values().next().cloned(),
            _ => self.0.get(key_id).cloned(),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn read(jwk: &Jwk, allowed: &[Algorithm]) -> Option<(String, Arc<VerifyingKey>)> {
    if jwk.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
        return None;
    }
    let named = jwk.common.key_algorithm.map(|named| named.to_string());
    let fits = |algorithm: &&Algorithm| named.as_ref().is_none_or(|named| *named == format!("{algorithm:?}"));
    let algorithms: Vec<_> =
        of_kind(&jwk.algorithm).iter().filter(fits).filter(|a| allowed.contains(a)).copied().collect();
    if algorithms.is_empty() {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some((jwk.common.key_id.clone().unwrap_or_default(), Arc::new(VerifyingKey { key, algorithms })))
}

/// What keys of a kind verify. A secret is in no public set, so HMAC never counts.
fn of_kind(parameters: &AlgorithmParameters) -> &'static [Algorithm] {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    fn set(keys: Value) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes(), &ALL).expect("a set")
    }

    #[test]
    fn a_key_verifies_what_fits_to_its_kind_and_is_allowed() {
        let rsa = json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"});
        let ec =
            json!({"kty": "EC", "kid": "e", "crv": "P-256", "x": "AQAB", "y": "AQAB", "use": "sig", "alg": "ES256"});
        let keys = set(json!([rsa, ec]));
        assert_eq!(keys.get("r").expect("a key").algorithms, [Algorithm::RS256]);
        assert_eq!(keys.get("e").expect("a key").algorithms, [Algorithm::ES256]);
        assert!(keys.get("").is_none() && keys.get("x").is_none());
        assert!(set(json!([rsa])).get("").is_some());
    }

    #[test]
    fn a_key_that_is_not_for_signatures_or_of_an_unknown_kind_is_left_out() {
        for key in [
            json!({"kty": "oct", "kid": "h", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB", "use": "enc"}),
            json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB", "alg": "RS512"}),
            json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB", "alg": "HS256"}),
            json!({"kty": "EC", "kid": "e", "crv": "secp256k1", "x": "AQAB", "y": "AQAB"}),
            json!({"kty": "RSA", "n": "***", "e": "AQAB"}),
            json!(7),
        ] {
            assert_eq!(set(json!([key])).count(), 0, "{key}");
        }
    }

    #[test]
    fn of_an_enormous_set_only_so_many_keys_are_read() {
        let keys: Vec<_> =
            (0..1000).map(|n| json!({"kty": "RSA", "kid": n.to_string(), "n": "AQAB", "e": "AQAB"})).collect();
        assert_eq!(set(json!(keys)).count(), MOST);
    }

    proptest! {
        #[test]
        fn what_is_no_set_is_none(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(KeySet::read(&bytes, &ALL).is_none());
        }
    }
}
