//! TLS of what listens: certificates that may be exchanged while connections go on.
//!
//! In: connections as they are accepted. Out: the same, encrypted, with the [`Peer`] that a client certificate names. Each handshake uses the
//! files as they were last found good; open connections keep what they began with.

mod files;
mod peer;
mod watch;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use clap::Args;
use metrics::counter;
use rustls::ServerConfig;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::files::Files;
pub use self::peer::Peer;
use crate::shutdown::Tasks;

/// From the accept to the end of the handshake. A client that says nothing keeps a place for no longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a listener proves itself with.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Config {
    /// Encrypt: a file with the server's certificate, and those between it and its CA, in PEM. The file is read again when it changes.
    #[arg(long, env = "COMANDA_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The file of the certificate's private key, in PEM.
    #[arg(long, env = "COMANDA_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// Which client certificates a listener takes.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Clients {
    /// A file with the CA of client certificates, in PEM. A client that shows another certificate is refused.
    #[arg(long, env = "COMANDA_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub client_ca: Option<PathBuf>,
    /// Refuse clients without a certificate too.
    #[arg(long, env = "COMANDA_REQUIRE_CLIENT_CERT", requires = "client_ca")]
    pub require_client_cert: bool,
}

/// What is spoken inside TLS (ALPN). A client that asks for something else is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Http2,
    /// The gateway.
    Http1,
}

impl Protocol {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Http2 => b"h2",
            Self::Http1 => b"http/1.1",
        }
    }
}

/// TLS of a listener. Clones share what the files hold.
#[derive(Clone, Debug)]
pub struct Tls(tokio::sync::watch::Receiver<Arc<ServerConfig>>);

impl Config {
    /// Whether TLS is asked for.
    pub fn is_set(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Reads the files, and follows them until the stop; `None` where TLS is not asked for. Fails with what is wrong with which file.
    pub fn listen(&self, clients: &Clients, protocol: Protocol, tasks: &Tasks) -> Result<Option<Tls>> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let files = Files {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: clients.client_ca.clone(),
            require_client_cert: clients.require_client_cert,
            protocol,
        };
        Ok(Some(Tls(watch::follow(files, tasks)?)))
    }
}

impl Tls {
    /// Agrees on encryption with a new connection, within 5 s.
    pub async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.0.borrow().clone();
        let result = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await;
        let result = result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if result.is_err() {
            counter!("comanda_tls_failed_handshakes_total").increment(1);
        }
        result
    }
}
