//! Tokens of an OpenID provider: JSON Web Tokens that it has signed.
//!
//! The algorithms are a setting, so a token cannot choose one. `exp`, `iss`, `aud` and `sub` must be there; `nbf` is minded where it is. The
//! keys come from the [`provider`]; what the claims mean is in [`claims`].

pub mod claims;
pub mod keys;
mod ring_provider;

pub mod provider;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use clap::Args;
use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use url::Url;

use self::{keys::VerifyingKey, provider::Provider};
use super::{
    principal::Principal,
    refusal::{Refusal, Why},
};

/// How far the clocks of this machine and of the provider may be apart.
const LEEWAY: Duration = Duration::from_secs(5);
/// For how long a token that was verified is not verified again, and how many such tokens are kept.
const REMEMBERED: Duration = Duration::from_secs(15);
const MOST_REMEMBERED: usize = 10_000;

/// Settings of the provider.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Settings {
    /// Take tokens of this OpenID provider, as `iss` in them names it. Its keys are found through /.well-known/openid-configuration. Needs
    /// --access required and --oidc-audience.
    #[arg(long, env = "COMANDA_OIDC_ISSUER", value_name = "URL", value_parser = issuer, requires = "oidc_audience")]
    pub oidc_issuer: Option<String>,
    /// What `aud` of a token must contain: tokens for other programs are refused.
    #[arg(long, env = "COMANDA_OIDC_AUDIENCE", value_name = "TEXT")]
    pub oidc_audience: Option<String>,
    /// The algorithms with which tokens may be signed, separated by commas; of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA.
    #[arg(
        long, env = "COMANDA_OIDC_ALGORITHMS", value_name = "NAME", value_delimiter = ',', value_parser = algorithm,
        default_value = "RS256,ES256"
    )]
    pub oidc_algorithm: Vec<Algorithm>,
    /// All tokens are of this tenant; without it --oidc-tenant-claim tells.
    #[arg(long, env = "COMANDA_OIDC_TENANT", value_name = "NAME")]
    pub oidc_tenant: Option<String>,
    /// The claim that names the tenant. A dot leads into an object, as in realm_access.roles.
    #[arg(long, env = "COMANDA_OIDC_TENANT_CLAIM", value_name = "NAME", default_value = "tenant")]
    pub oidc_tenant_claim: String,
    /// The claim that names the role, as a text or a list of which the role that may do most counts.
    #[arg(long, env = "COMANDA_OIDC_ROLE_CLAIM", value_name = "NAME", default_value = "role")]
    pub oidc_role_claim: String,
    /// The claim that names the caller: the actor in the history, of a customer its customer_id, of a courier its courier_id.
    #[arg(long, env = "COMANDA_OIDC_SUBJECT_CLAIM", value_name = "NAME", default_value = "sub")]
    pub oidc_subject_claim: String,
    /// A PEM file of certificates to trust, besides those of the public authorities, when the provider is asked for its keys.
    #[arg(long, env = "COMANDA_OIDC_CA", value_name = "FILE")]
    pub oidc_ca: Option<PathBuf>,
    /// How often the provider is asked for its keys, in milliseconds.
    #[arg(long, env = "COMANDA_OIDC_REFRESH_MS", default_value_t = 300_000, hide = true)]
    pub oidc_refresh_ms: u64,
    /// The least time between two such questions because of a key that is not known, in milliseconds.
    #[arg(long, env = "COMANDA_OIDC_COOLDOWN_MS", default_value_t = 10_000, hide = true)]
    pub oidc_cooldown_ms: u64,
}

fn issuer(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if provider::is_private(&url) { Ok(text.to_owned()) } else { Err("must be an https URL".into()) }
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    let algorithm: Option<Algorithm> = name.parse().ok();
    algorithm
        .filter(|algorithm| ring_provider::is_known(*algorithm))
        .ok_or_else(|| "must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA".to_owned())
}

/// Verifies tokens.
#[derive(Debug)]
pub struct Oidc {
    settings: Settings,
    issuer: String,
    audience: String,
    provider: Arc<Provider>,
    remembered: Mutex<HashMap<[u8; 32], (Principal, Instant)>>,
}

impl Oidc {
    /// Of the provider of the settings; `None` where they name none.
    pub fn of(settings: &Settings) -> Result<Option<Self>> {
        let Some(issuer) = settings.oidc_issuer.clone() else { return Ok(None) };
        let audience = settings.oidc_audience.clone().context("--oidc-issuer needs --oidc-audience")?;
        ring_provider::install();
        let provider = Arc::new(Provider::new(&issuer, settings)?);
        Ok(Some(Self { settings: settings.clone(), issuer, audience, provider, remembered: Mutex::default() }))
    }

    /// Where the keys come from.
    pub fn provider(&self) -> Arc<Provider> {
        self.provider.clone()
    }

    /// Whose token this is.
    pub async fn verify(&self, token: &str) -> Result<Principal, Refusal> {
        let hash = Sha256::digest(token).into();
        if let Some(principal) = self.known(&hash) {
            return Ok(principal);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::of(Why::Invalid))?;
        // No extension of the format is understood here, so none may be critical (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(Refusal::of(Why::Invalid));
        }
        let key = self.provider.key(header.kid.as_deref().unwrap_or_default()).await?;
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &self.validation(&key));
        let claims = decoded.map_err(|error| Refusal::of(why(error.kind())))?.claims;
        let principal = claims::principal(&self.settings, &claims, LEEWAY).map_err(Refusal::of)?;
        // Times in tokens are whole seconds there, and not here: a stream would be let in again and again during the last one.
        if !is_good(&principal) {
            return Err(Refusal::to(principal.scope, Why::Expired));
        }
        self.remember(hash, principal.clone());
        Ok(principal)
    }

    fn validation(&self, key: &VerifyingKey) -> Validation {
        let (algorithms, leeway) = (key.algorithms.clone(), LEEWAY.as_secs());
        let mut validation = Validation { algorithms, leeway, validate_nbf: true, ..Validation::default() };
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation
    }

    fn known(&self, hash: &[u8; 32]) -> Option<Principal> {
        let remembered = self.remembered();
        let (principal, seen) = remembered.get(hash)?;
        (is_good(principal) && seen.elapsed() < REMEMBERED).then(|| principal.clone())
    }

    fn remember(&self, hash: [u8; 32], principal: Principal) {
        let mut remembered = self.remembered();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, (_, seen)| seen.elapsed() < REMEMBERED);
        }
        if remembered.len() < MOST_REMEMBERED {
            remembered.insert(hash, (principal, Instant::now()));
        }
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<[u8; 32], (Principal, Instant)>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_good(principal: &Principal) -> bool {
    principal.expires.is_none_or(|expires| SystemTime::now() < expires)
}

fn why(error: &ErrorKind) -> Why {
    match error {
        ErrorKind::ExpiredSignature => Why::Expired,
        ErrorKind::ImmatureSignature => Why::NotYetValid,
        _ => Why::Invalid,
    }
}
