//! API keys: `cmd_ID_SECRET`. The id says which key it is and is no secret. The secret has 43 characters of 62, which is 256 random bits, so a
//! plain SHA-256 of it can be stored: there is nothing to guess. Pure but for the random numbers.

use rand::{RngExt, distr::Alphanumeric};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// Tells API keys from other credentials.
pub const PREFIX: &str = "cmd_";
const ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 43;

/// What is stored of a secret.
pub type Hash = [u8; 32];

/// A key as its holder shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Which key.
    pub key_id: &'a str,
    /// Of its secret.
    pub hash: Hash,
}

/// A new random id.
pub fn new_id() -> String {
    random(ID_CHARS)
}

/// A new secret of a key: the whole key, which is shown once, and what is stored.
pub fn new_secret(key_id: &str) -> (Secret, Hash) {
    let secret = random(SECRET_CHARS);
    let hash = Sha256::digest(&secret).into();
    (Secret::new(format!("{PREFIX}{key_id}_{secret}")), hash)
}

/// Reads a key; `None` for what nobody has given out.
pub fn read(text: &str) -> Option<Shown<'_>> {
    let (key_id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let is_random = |text: &str, chars| text.len() == chars && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_random(key_id, ID_CHARS) && is_random(secret, SECRET_CHARS))
        .then(|| Shown { key_id, hash: Sha256::digest(secret).into() })
}

/// Whether two hashes are the same. It takes as long whether they are or not.
pub fn is_same(stored: &[u8], shown: &Hash) -> bool {
    stored.ct_eq(shown).into()
}

fn random(chars: usize) -> String {
    // Seeded by the operating system, and fit for secrets.
    rand::rng().sample_iter(Alphanumeric).take(chars).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_read_back_and_no_two_are_the_same() {
        let key_id = new_id();
        let (key, hash) = new_secret(&key_id);
        assert_eq!(read(key.reveal()), Some(Shown { key_id: &key_id, hash }));
        assert!(!format!("{key:?}").contains("cmd_"));
        assert!(is_same(&hash, &hash) && !is_same(&hash, &new_secret(&key_id).1) && !is_same(&hash[..31], &hash));
        assert_ne!(new_id(), key_id);
    }

    #[test]
    fn nothing_else_is_a_key() {
        let (key, _) = new_secret(&new_id());
        let key = key.reveal();
        for wrong in ["", "cmd_", "cmd__", "cmd_abc_def", &key[1..], &format!("{key}x"), &key.replace("cmd_", "cmd-")] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let changed = format!("{}é", &key[..key.len() - 2]);
        assert_eq!(read(&changed), None);
    }
}
