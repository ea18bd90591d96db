//! Tracking tokens: the holder of one may read one order until the token expires, and nothing else. None is stored: a token says what
//! it is for, and is signed (Ed25519, RFC 8032).
//!
//! A token is `trk_` and, as base64url: the order's id (16 bytes), when it expires (seconds since 1970, 8 bytes, big-endian), the tenant
//! (UTF-8), and the signature of all before (64 bytes).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Args, value_parser};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::{PemObject, SectionKind};
use uuid::Uuid;

/// Tells tokens from other credentials.
pub const PREFIX: &str = "trk_";
const SIGNATURE: usize = 64;
const ORDER_ID: usize = 16;
const EXPIRY: usize = 8;
/// What a public key of Ed25519 has before its 32 bytes in a PEM file (RFC 8410).
const PUBLIC_KEY_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Settings of tracking tokens.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// A PEM file of the keys of tracking tokens, with which customers look at their one order. `openssl genpkey -algorithm ed25519` makes
    /// one. The first PRIVATE KEY signs; each PRIVATE KEY and PUBLIC KEY is accepted, so that keys can be exchanged. Only ordering and
    /// notification need a private one. Without the file there are no tokens.
    #[arg(long, env = "COMANDA_TRACKING_KEYS", value_name = "FILE")]
    pub tracking_keys: Option<PathBuf>,
    /// How many days after its order's creation a tracking token expires.
    #[arg(long, env = "COMANDA_TRACKING_DAYS", default_value_t = 30, value_parser = value_parser!(u16).range(1..=3650))]
    pub tracking_days: u16,
}

impl Config {
    /// The keys; `None` where there are no tokens.
    pub fn keys(&self) -> Result<Option<Arc<Keys>>> {
        let lifetime = Duration::from_secs(u64::from(self.tracking_days) * 24 * 3600);
        let load = |path: &PathBuf| Ok(Arc::new(Keys::load(path, lifetime)?));
        self.tracking_keys.as_ref().map(load).transpose()
    }
}

/// Keys that sign and verify tokens.
#[derive(Debug)]
pub struct Keys {
    signer: Option<Ed25519KeyPair>,
    verifiers: Vec<UnparsedPublicKey<Vec<u8>>>,
    lifetime: Duration,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The order's tenant.
    pub tenant: String,
    /// The order.
    pub order_id: Uuid,
    /// When the token is good no more.
    pub expires: SystemTime,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no token of these keys.
    #[error("this is not a valid tracking token")]
    Invalid,
    /// Its time is over.
    #[error("this tracking token has expired")]
    Expired,
}

impl Keys {
    fn load(path: &Path, lifetime: Duration) -> Result<Self> {
        let pem = fs::read(path).with_context(|| format!("the tracking keys {} cannot be read", path.display()))?;
        Self::of_pem(&pem, lifetime).with_context(|| format!("the tracking keys {}", path.display()))
    }

    /// Of the text of a PEM file.
    pub fn of_pem(pem: &[u8], lifetime: Duration) -> Result<Self> {
        let mut keys = Self { signer: None, verifiers: Vec::new(), lifetime };
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            match section.context("this is no PEM file")? {
                (SectionKind::PrivateKey, der) => keys.add_private(&der)?,
                (SectionKind::PublicKey, der) => keys.add_public(&der)?,
                (kind, _) => bail!("there is a {kind:?} in it; only PRIVATE KEY and PUBLIC KEY belong there"),
            }
        }
        ensure!(!keys.verifiers.is_empty(), "there is no key in it; `openssl genpkey -algorithm ed25519` makes one");
        Ok(keys)
    }

    fn add_private(&mut self, der: &[u8]) -> Result<()> {
        let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) else {
            bail!("a private key in it is not of Ed25519");
        };
        self.verifiers.push(UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref().to_vec()));
        self.signer.get_or_insert(pair);
        Ok(())
    }

    fn add_public(&mut self, der: &[u8]) -> Result<()> {
        let key = der.strip_prefix(&PUBLIC_KEY_HEAD).filter(|key| key.len() == 32);
        let key = key.context("a public key in it is not of Ed25519")?;
        self.verifiers.push(UnparsedPublicKey::new(&ED25519, key.to_vec()));
        Ok(())
    }

    /// Whether there is a private key.
    pub fn can_sign(&self) -> bool {
        self.signer.is_some()
    }

    /// The token of an order; `None` where there is no private key. It is the same each time: it expires a fixed time after the creation that the
    /// order's id (a UUIDv7) names.
    pub fn token(&self, tenant: &str, order_id: Uuid) -> Option<String> {
        let signer = self.signer.as_ref()?;
        let (created, _) = order_id.get_timestamp()?.to_unix();
        let mut bytes = Vec::with_capacity(ORDER_ID + EXPIRY + tenant.len() + SIGNATURE);
        bytes.extend_from_slice(order_id.as_bytes());
        bytes.extend_from_slice(&(created + self.lifetime.as_secs()).to_be_bytes());
        bytes.extend_from_slice(tenant.as_bytes());
        let signature = signer.sign(&bytes);
        bytes.extend_from_slice(signature.as_ref());
        Some(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// What a token is for, if one of these keys has signed it and it has not expired.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, Refused> {
        let bytes = bytes_of(token).ok_or(Refused::Invalid)?;
        let (signed, signature) = bytes.split_at(bytes.len() - SIGNATURE);
        if !self.verifiers.iter().any(|key| key.verify(signed, signature).is_ok()) {
            return Err(Refused::Invalid);
        }
        let claims = read(signed).ok_or(Refused::Invalid)?;
        if now < claims.expires { Ok(claims) } else { Err(Refused::Expired) }
    }
}

/// The order that a token says it is for. Whether that is true, only [`Keys::verify`] knows.
pub fn order_of(token: &str) -> Option<Uuid> {
    let bytes = bytes_of(token)?;
    Some(read(&bytes[..bytes.len() - SIGNATURE])?.order_id)
}

fn bytes_of(token: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    (bytes.len() > ORDER_ID + EXPIRY + SIGNATURE).then_some(bytes)
}

fn read(signed: &[u8]) -> Option<Claims> {
    let (order_id, rest) = signed.split_first_chunk::<ORDER_ID>()?;
    let (expiry, tenant) = rest.split_first_chunk::<EXPIRY>()?;
    let tenant = String::from_utf8(tenant.to_vec()).ok()?;
    let expires = UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_be_bytes(*expiry)))?;
    Some(Claims { tenant, order_id: Uuid::from_bytes(*order_id), expires })
}

/// A new private key, as a PEM file.
pub fn new_key() -> Result<String> {
    let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new());
    let der = der.map_err(|_| anyhow::anyhow!("the random number generator of the system failed"))?;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Ok(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Made by `openssl genpkey -algorithm ed25519`, and its public key by `openssl pkey -pubout`.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIKetyyV+bdgZYA4bUFFqYXasxAKUqwr+R9uk3pikdTlD\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEArOu/ywETQdz0sTe5i/+2Km7pT6RxdYlsOeSowuDTXXE=\n-----END PUBLIC KEY-----\n";
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const CREATED: u64 = 1_790_000_000;

    fn keys(pem: &str) -> Keys {
        Keys::of_pem(pem.as_bytes(), DAY).expect("valid keys")
    }

    fn order_id() -> Uuid {
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, CREATED, 0))
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(CREATED + seconds)
    }

    #[test]
    fn a_token_is_good_for_its_order_until_it_expires() {
        let (keys, order_id) = (keys(PRIVATE), order_id());
        let token = keys.token("acme", order_id).expect("it has a private key");
        assert_eq!(keys.token("acme", order_id), Some(token.clone()), "it is always the same");
        assert_eq!(order_of(&token), Some(order_id));
        let claims = Claims { tenant: "acme".into(), order_id, expires: at(DAY.as_secs()) };
        assert_eq!(keys.verify(&token, at(DAY.as_secs() - 1)), Ok(claims));
        assert_eq!(keys.verify(&token, at(DAY.as_secs())), Err(Refused::Expired));
    }

    #[test]
    fn a_public_key_verifies_what_its_private_key_signed_and_signs_nothing() {
        let (token, public) = (keys(PRIVATE).token("acme", order_id()).expect("signed"), keys(PUBLIC));
        assert!(public.verify(&token, at(0)).is_ok());
        assert_eq!(public.token("acme", order_id()), None);
    }

    #[test]
    fn keys_are_exchanged_without_refusing_what_the_old_one_signed() {
        let old = keys(PRIVATE).token("acme", order_id()).expect("signed");
        let fresh = new_key().expect("random numbers");
        let both = keys(&format!("{fresh}{PUBLIC}"));
        let new = both.token("acme", order_id()).expect("signed");
        assert!(both.verify(&old, at(0)).is_ok() && both.verify(&new, at(0)).is_ok());
        assert_eq!(keys(PRIVATE).verify(&new, at(0)), Err(Refused::Invalid));
        assert_eq!(keys(&fresh).verify(&old, at(0)), Err(Refused::Invalid));
    }

    #[test]
    fn a_file_without_keys_of_the_right_kind_says_so() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMCowBQYDK2VwAyEA\n-----END CERTIFICATE-----\n";
        let other = "-----BEGIN PRIVATE KEY-----\nMCowBQYDK2VwAyEA\n-----END PRIVATE KEY-----\n";
        for (pem, said) in [("", "no key in it"), (certificate, "Certificate"), (other, "not of Ed25519")] {
            let error = Keys::of_pem(pem.as_bytes(), DAY).expect_err("no keys").to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_else_is_a_token(text in ".*", place in 0_usize..200, bit in 0_u8..6) {
            let keys = keys(PRIVATE);
            prop_assert_eq!(keys.verify(&text, at(0)), Err(Refused::Invalid));
            prop_assert_eq!(keys.verify(&format!("{PREFIX}{text}"), at(0)), Err(Refused::Invalid));
            // One changed character of a token.
            let mut token = keys.token("acme", order_id()).expect("signed").into_bytes();
            let place = PREFIX.len() + place % (token.len() - PREFIX.len());
            token[place] = if token[place] == b'A' + bit { b'z' } else { b'A' + bit };
            prop_assert_eq!(keys.verify(&String::from_utf8(token).expect("ASCII"), at(0)), Err(Refused::Invalid));
        }
    }
}
