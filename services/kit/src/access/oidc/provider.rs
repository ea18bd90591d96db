//! The provider's keys, read in the background. One that does not answer, is slow or answers nonsense changes nothing: the last good keys
//! stay, for a day.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use jsonwebtoken::Algorithm;
use metrics::{counter, gauge};
use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::{Host, Url};

use super::{
    Settings,
    keys::{KeySet, VerifyingKey},
};
use crate::{
    access::refusal::{Refusal, Why},
    errors::ApiError,
};

/// For both questions together, and for each.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// What is read of an answer.
const MOST_BYTES: usize = 256 * 1024;
/// After a failure the provider is asked again sooner.
const RETRY: Duration = Duration::from_secs(10);
/// How long keys are good that could not be read again.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long a call waits for a key that is not known yet.
const WAIT: Duration = Duration::from_secs(3);

/// A provider and its keys.
#[derive(Debug)]
pub struct Provider {
    issuer: String,
    client: Client,
    allowed: Vec<Algorithm>,
    refresh: Duration,
    cooldown: Duration,
    keys: watch::Sender<Option<Loaded>>,
    wanted: Notify,
    asked: Mutex<Asked>,
}

#[derive(Clone, Debug)]
struct Loaded {
    keys: Arc<KeySet>,
    since: Instant,
}

/// When the provider was asked for the last time.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Never,
    Now,
    At(Instant),
}

/// Whether no other machine can read or change what such an address answers.
pub fn is_private(url: &Url) -> bool {
    let is_loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && is_loopback
}

impl Provider {
    /// The provider with this name. It is asked for nothing yet.
    pub fn new(issuer: &str, settings: &Settings) -> Result<Self> {
        Ok(Self {
            issuer: issuer.to_owned(),
            client: client(settings)?,
            allowed: settings.oidc_algorithm.clone(),
            refresh: Duration::from_millis(settings.oidc_refresh_ms),
            cooldown: Duration::from_millis(settings.oidc_cooldown_ms),
            keys: watch::Sender::new(None),
            wanted: Notify::new(),
            asked: Mutex::new(Asked::Never),
        })
    }

    /// The key with this id. For one that is not known the provider is asked again, but not often: tokens with invented ids must not keep it busy.
    pub async fn key(&self, key_id: &str) -> Result<Arc<VerifyingKey>, Refusal> {
        let mut loads = self.keys.subscribe();
        if let Some(key) = self.known(key_id) {
            return Ok(key);
        }
        if self.may_ask() {
            self.wanted.notify_one();
            let _ = timeout(WAIT, loads.changed()).await;
        }
        match self.known(key_id) {
            Some(key) => Ok(key),
            None if self.is_loaded() => Err(Refusal::of(Why::Invalid)),
            // Nobody can tell whether the token is good.
            None => Err(Refusal::Failed(ApiError::unavailable())),
        }
    }

    fn known(&self, key_id: &str) -> Option<Arc<VerifyingKey>> {
        self.keys.borrow().as_ref().filter(|loaded| loaded.since.elapsed() < STALE)?.keys.get(key_id)
    }

    fn is_loaded(&self) -> bool {
        self.keys.borrow().as_ref().is_some_and(|loaded| loaded.since.elapsed() < STALE)
    }

    fn may_ask(&self) -> bool {
        match *self.asked.lock().unwrap_or_else(PoisonError::into_inner) {
            Asked::Never | Asked::Now => true,
            Asked::At(time) => time.elapsed() >= self.cooldown,
        }
    }

    /// Reads the keys, again and again, until the stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            self.note(Asked::Now);
            let Some(read) = stop.run_until_cancelled(timeout(PATIENCE, self.read())).await else { break };
            self.note(Asked::At(Instant::now()));
            let next = self.take(read.unwrap_or_else(|_| bail_late()));
            tokio::select! {
                () = sleep(next) => {}
                () = self.asked_for() => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// Keeps what was read; returns when to read again. Who waits is woken either way.
    fn take(&self, read: Result<KeySet>) -> Duration {
        match read {
            Ok(keys) => {
                gauge!("comanda_oidc_keys").set(keys.count() as f64);
                self.keys.send_replace(Some(Loaded { keys: Arc::new(keys), since: Instant::now() }));
                self.refresh
            }
            Err(error) => {
                counter!("comanda_oidc_failures_total").increment(1);
                warn!("the keys of {} could not be read: {error:#}", self.issuer);
                self.keys.send_modify(|_| {});
                RETRY.min(self.refresh)
            }
        }
    }

    /// Ends when a call misses a key and the cooldown is over.
    async fn asked_for(&self) {
        loop {
            self.wanted.notified().await;
            if self.may_ask() {
                info!("a token names an unknown key: asking {} again", self.issuer);
                return;
            }
        }
    }

    fn note(&self, asked: Asked) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }

    async fn read(&self) -> Result<KeySet> {
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let configuration: Value = serde_json::from_slice(&self.get(&address).await?).context("no configuration")?;
        let text = |name: &str| configuration.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        ensure!(text("issuer") == self.issuer, "the configuration is that of another issuer: {}", text("issuer"));
        let address = text("jwks_uri");
        ensure!(Url::parse(&address).is_ok_and(|url| is_private(&url)), "jwks_uri is no https URL: {address}");
        KeySet::read(&self.get(&address).await?, &self.allowed).context("no set of keys")
    }

    async fn get(&self, address: &str) -> Result<Vec<u8>> {
        let mut answer = self.client.get(address).send().await?.error_for_status()?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
            ensure!(bytes.len() <= MOST_BYTES, "{address} answers more than {MOST_BYTES} bytes");
        }
        Ok(bytes)
    }
}

fn bail_late() -> Result<KeySet> {
    bail!("no answer within {PATIENCE:?}")
}

fn client(settings: &Settings) -> Result<Client> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &settings.oidc_ca {
        let pem = fs::read(path).with_context(|| format!("--oidc-ca {} cannot be read", path.display()))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate?).with_context(|| format!("--oidc-ca {}", path.display()))?;
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = Client::builder().tls_backend_preconfigured(tls).redirect(redirect::Policy::none());
    Ok(client.connect_timeout(CONNECT_PATIENCE).timeout(PATIENCE).build()?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_provider_is_asked_where_nobody_else_can_answer() {
        for (address, is_fine) in [
            ("https://login.example/realms/a", true),
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://login.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(is_private(&Url::parse(address).expect("a URL")), is_fine, "{address}");
        }
    }

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_call_after_the_cooldown_may_ask_again_and_none_before() {
        let settings = Cli::parse_from(["test", "--oidc-cooldown-ms", "1500"]).settings;
        let provider = Provider::new("https://login.example", &settings).expect("valid");
        assert!(provider.may_ask(), "it was never asked");
        provider.note(Asked::At(Instant::now()));
        tokio::time::advance(Duration::from_millis(1499)).await;
        assert!(!provider.may_ask());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(provider.may_ask());
    }
}
