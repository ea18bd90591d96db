//! TLS of connections to servers: whom to trust, and what to show.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::Uri;

/// How connections to `https://` addresses are made. The files are read for each connection, so that new certificates need no restart; what
/// cannot be read or used changes nothing once there was something good.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// A file with the CA of the servers' certificates, in PEM. `None`: the CAs that browsers trust.
    pub ca: Option<PathBuf>,
    /// What to show to servers that ask for a certificate.
    pub identity: Option<Identity>,
    /// The name that the servers' certificates must have. `None`: the host of the address.
    pub server_name: Option<String>,
}

/// A client certificate, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its CA, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// Makes encrypted connections. Clones share the last settings that were good.
#[derive(Clone, Debug)]
pub struct Connector {
    tls: Arc<Tls>,
    protocol: &'static [u8],
    last: Arc<Mutex<Option<Arc<ClientConfig>>>>,
}

impl Connector {
    /// For connections that speak a protocol (ALPN): `h2`, `http/1.1`.
    pub fn new(tls: Tls, protocol: &'static [u8]) -> Self {
        Self { tls: Arc::new(tls), protocol, last: Arc::default() }
    }

    /// Connects to a host and port. How long it may take is up to the caller.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let config = self.config().await?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.tls.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|error| invalid(error.to_string()))?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(config).connect(name, stream).await
    }

    /// As tonic asks for a connection.
    pub(crate) async fn connect_to(self, uri: Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(invalid("an address without host and port".into()));
        };
        self.connect(host, port).await.map(TokioIo::new)
    }

    async fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let (tls, protocol) = (self.tls.clone(), self.protocol);
        let read = tokio::task::spawn_blocking(move || tls.config(protocol)).await?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (read, &*last) {
            (Ok(config), _) => Ok(last.insert(Arc::new(config)).clone()),
            (Err(_), Some(last)) => Ok(last.clone()),
            (Err(error), None) => Err(error),
        }
    }
}

impl Tls {
    fn config(&self, protocol: &[u8]) -> io::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| invalid(error.to_string()))?;
        let builder = builder.with_root_certificates(self.roots()?);
        let mut config = match &self.identity {
            Some(identity) => {
                let (chain, key) = (certificates(&identity.cert)?, identity.key()?);
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&identity.cert, error))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let Some(ca) = &self.ca else {
            return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| unusable(ca, error))?;
        }
        Ok(roots)
    }
}

impl Identity {
    fn key(&self) -> io::Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| unusable(&self.key, error))
    }
}

/// Every certificate of a file; there must be one.
fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let pem = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| unusable(path, error))?;
    if all.is_empty() { Err(unusable(path, "no certificate in PEM")) } else { Ok(all) }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read {}: {error}", path.display())))
}

fn unusable(path: &Path, why: impl std::fmt::Display) -> io::Error {
    invalid(format!("{}: {why}", path.display()))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use comanda_kit::{
        shutdown::Tasks,
        testing::certificates::{Authority, Folder},
        tls::{Clients, Config, Protocol},
    };
    use tokio::net::TcpListener;

    use super::*;

    /// A server with a certificate for this name, in files of the folder.
    async fn serve(folder: &Folder, authority: &Authority, name: &str) -> u16 {
        let (cert, key, tasks) = (folder.file("server.crt"), folder.file("server.key"), Tasks::new());
        authority.sign(&[name], &cert, &key).expect("a certificate");
        let config = Config { tls_cert: Some(cert), tls_key: Some(key) };
        let tls = config.listen(&Clients::default(), Protocol::Http2, &tasks).expect("good files").expect("TLS");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(tls.handshake(stream).await.ok());
            }
        });
        port
    }

    async fn failure(tls: Tls, port: u16) -> Option<String> {
        Connector::new(tls, b"h2").connect("127.0.0.1", port).await.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_server_needs_a_certificate_of_a_trusted_ca_for_its_name() {
        let (folder, authority) = (Folder::new().expect("a folder"), Authority::new().expect("a CA"));
        let (ours, other) = (folder.file("ca.crt"), folder.file("other.crt"));
        authority.write(&ours).expect("written");
        Authority::new().expect("a CA").write(&other).expect("written");
        let port = serve(&folder, &authority, "shop.internal").await;
        let name = Some("shop.internal".to_owned());
        let trusting = |ca: &PathBuf, name: &Option<String>| Tls {
            ca: Some(ca.clone()),
            server_name: name.clone(),
            ..Tls::default()
        };
        assert_eq!(failure(trusting(&ours, &name), port).await, None);
        let unnamed = failure(trusting(&ours, &None), port).await.expect("another name");
        assert!(unnamed.contains("not valid for name"), "{unnamed}");
        let unknown = failure(trusting(&other, &name), port).await.expect("another CA");
        assert!(unknown.contains("invalid peer certificate"), "{unknown}");
        let public = failure(Tls { server_name: name, ..Tls::default() }, port).await.expect("no public CA");
        assert!(public.contains("UnknownIssuer"), "{public}");
    }

    #[tokio::test]
    async fn files_are_read_for_each_connection_and_bad_ones_change_nothing() {
        let (folder, authority) = (Folder::new().expect("a folder"), Authority::new().expect("a CA"));
        let ca = folder.file("ca.crt");
        std::fs::write(&ca, "nothing").expect("written");
        let port = serve(&folder, &authority, "127.0.0.1").await;
        let connector = Connector::new(Tls { ca: Some(ca.clone()), ..Tls::default() }, b"h2");
        let unread = connector.connect("127.0.0.1", port).await.expect_err("a bad file").to_string();
        assert!(unread.contains("ca.crt: no certificate"), "{unread}");
        authority.write(&ca).expect("written");
        connector.connect("127.0.0.1", port).await.expect("a good file");
        std::fs::remove_file(&ca).expect("removed");
        connector.connect("127.0.0.1", port).await.expect("the last good one");
        Authority::new().expect("a CA").write(&ca).expect("written");
        connector.connect("127.0.0.1", port).await.expect_err("another CA");
    }
}
