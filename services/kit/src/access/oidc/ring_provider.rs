//! Signatures of tokens, verified by ring, as jsonwebtoken asks for it. Nothing is signed here, and no secret is shared with a provider.

use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind, Result},
    signature,
};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    // Only called for thumbprints and for making sets of keys, which nobody does here.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes jsonwebtoken use ring.
pub fn install() {
    // Fails where it was done before.
    let _ = PROVIDER.install_default();
}

/// Whether signatures of this algorithm can be verified.
pub fn is_known(algorithm: Algorithm) -> bool {
    rsa(algorithm).is_some() || other(algorithm).is_some()
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn other(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &ED25519,
        _ => return None,
    })
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(Error::from(ErrorKind::UnsupportedAlgorithm))
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if key.family() != algorithm.family() || !is_known(*algorithm) {
        return Err(Error::from(ErrorKind::InvalidAlgorithm));
    }
    Ok(Box::new(Verifier { algorithm: *algorithm, key: key.kind().clone() }))
}

struct Verifier {
    algorithm: Algorithm,
    key: DecodingKeyKind,
}

impl Verifier {
    fn check(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        match &self.key {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let key = RsaPublicKeyComponents { n: without_zeros(n), e: without_zeros(e) };
                key.verify(rsa(self.algorithm)?, message, signature).ok()
            }
            DecodingKeyKind::SecretOrDer(key) => {
                UnparsedPublicKey::new(other(self.algorithm)?, key).verify(message, signature).ok()
            }
        }
    }
}

/// Some providers begin a number with zeros, which ring does not take.
fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        self.check(message, signature).ok_or_else(signature::Error::new)
    }
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use serde_json::{Map, Value};

    use super::*;

    /// Made by `openssl genrsa 2048` and signed by `openssl dgst -sha256`.
    const MODULUS: &str = "3ihVo7ScGiy7RM_RMHq8bAykQE5RFGFjJg1jH7nveEwLGghATEcqruHuYT-CB8r1ju1sP8aYn15uQB6i9-_ckkN9hw5nSd7uQBdjQqaPr8UyPplqjPKPyc1yoBPGC35gjcyFTjPF6Qr7SCUFHI2V69FHsp62T6k5mj7oXog1txRUQcKd-1RaSfrZSH9tJvpsP2KV15rJQiz0xUeNseglq_bnkuZkCHLBI_mdcxB5i8Smcxnp0OBUjR1GYQ8SHQn3Yr9D1InaqUcW97tpZajmc1THqins-0f-Xeh89YjpP9XLkKfDtNpOfZyv0t7mxWuxXAeRj_PPZ4adMpnrwcRk9w";
    const TOKEN: &str = "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogInIifQ.eyJpc3MiOiAiaHR0cHM6Ly9sb2dpbi5leGFtcGxlIiwgImF1ZCI6ICJjb21hbmRhIiwgInN1YiI6ICJhbmEiLCAidGVuYW50IjogImFjbWUiLCAicm9sZSI6ICJzdGFmZiIsICJleHAiOiA0MTAyNDQ0ODAwfQ.HX7ZR2HdqTje1qMgaQo9yA5EznR75s27223wi7F5pjPd0b-bYiVWHLsCC6jNE1t6eCLdA5W8vJ5ZufF4jfuPiZRhGHTiVAcnHakk53w-0VtlgWj9UaQ2V38ydfz7d4_Fuj0hGvJi1Qxn5HlWM8AHVS2KKeSfDnzVSiIu_AmYxrrFt0yWXOGnPVbLFz3RvpzQnbpLwVj_XgnBEb9bFQgE-6mq3vJ_8bzKdOv9moJWUtGmAfQ6g_tablcvi0g4o3vY8JXfK2YOjQcNZOeKmwq8JXGGh_-y4XzEeUUI7XJyOaz3d6CRb-t5A-m0INqFUqTYeOQWPulDi-km3VBetd9jAw";

    fn is_verified(token: &str, modulus: &str) -> bool {
        install();
        let key = DecodingKey::from_rsa_components(modulus, "AQAB").expect("numbers");
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&["comanda"]);
        decode::<Map<String, Value>>(token, &key, &validation).is_ok()
    }

    #[test]
    fn a_signature_of_openssl_is_verified_and_a_damaged_one_is_not() {
        assert!(is_verified(TOKEN, MODULUS));
        let damaged = format!("{}AAAA", &TOKEN[..TOKEN.len() - 4]);
        assert!(!is_verified(&damaged, MODULUS));
        assert!(!is_verified(TOKEN, &MODULUS.replace("3ihV", "3ihW")));
    }

    #[test]
    fn every_algorithm_that_may_be_chosen_is_known_and_secrets_are_not() {
        for known in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
            assert!(is_known(known.parse().expect("an algorithm")), "{known}");
        }
        for unknown in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            assert!(!is_known(unknown));
        }
        assert_eq!(without_zeros(&[0, 0, 7, 0]), [7, 0]);
    }
}
