//! The files of a listener's TLS, and what they make together.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::parse_x509_certificate;

use super::Protocol;

/// Where they are, and what else a listener's TLS depends on.
#[derive(Clone, Debug)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub client_ca: Option<PathBuf>,
    pub require_client_cert: bool,
    pub protocol: Protocol,
}

/// What the files hold at a moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What was made of them.
pub struct Loaded {
    pub config: Arc<ServerConfig>,
    /// When the first of the certificates ends, in seconds since 1970.
    pub expiry: i64,
}

impl Files {
    /// Reads them. Blocks.
    pub fn read(&self) -> Result<Content> {
        Ok(Content {
            cert: read(&self.cert)?,
            key: read(&self.key)?,
            client_ca: self.client_ca.as_deref().map(read).transpose()?,
        })
    }

    /// Checks that they belong together.
    pub fn load(&self, content: &Content) -> Result<Loaded> {
        let chain = certificates(&content.cert).with_context(|| shown(&self.cert))?;
        let expiry = first_expiry(&chain).with_context(|| shown(&self.cert))?;
        let key = PrivateKeyDer::from_pem_slice(&content.key)
            .with_context(|| format!("{}: no private key in PEM", shown(&self.key)))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().context("no version of TLS")?;
        let config = builder.with_client_cert_verifier(self.clients(content)?).with_single_cert(chain, key);
        let mut config = config.with_context(|| format!("{} and {}", shown(&self.cert), shown(&self.key)))?;
        config.alpn_protocols = vec![self.protocol.name().to_vec()];
        Ok(Loaded { config: Arc::new(config), expiry })
    }

    fn clients(&self, content: &Content) -> Result<Arc<dyn ClientCertVerifier>> {
        let (Some(path), Some(pem)) = (&self.client_ca, &content.client_ca) else { return Ok(Arc::new(NoClientAuth)) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem).with_context(|| shown(path))? {
            roots.add(certificate).with_context(|| shown(path))?;
        }
        let provider = Arc::new(ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = if self.require_client_cert { builder } else { builder.allow_unauthenticated() };
        builder.build().with_context(|| shown(path))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Every certificate of a file; there must be one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().context("not a certificate in PEM")?;
    ensure!(!certificates.is_empty(), "no certificate in PEM");
    Ok(certificates)
}

fn first_expiry(chain: &[CertificateDer<'_>]) -> Result<i64> {
    let mut first = i64::MAX;
    for certificate in chain {
        let (_, parsed) = parse_x509_certificate(certificate).context("not an X.509 certificate")?;
        first = first.min(parsed.validity().not_after.timestamp());
    }
    Ok(first)
}
