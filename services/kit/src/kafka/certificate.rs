//! What is wrong with a broker's certificate. librdkafka says only that something is.

use std::{
    io,
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
};

use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

use super::{REQUEST_TIMEOUT, trouble::Cause};

/// Asks the broker (host:port) for its certificate and checks it by the CAs of a file; `None` where nothing is found to be wrong. Blocks, for
/// some seconds at most. Neither a login nor a certificate is shown to the broker.
pub fn examine(broker: &str, ca: &str) -> Option<Cause> {
    let error = shake_hands(broker, ca).err()?;
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(error) => Some(of_certificate(error)),
        rustls::Error::InvalidMessage(_) => Some(Cause::NotEncrypted),
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> Cause {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match error {
        UnknownIssuer | BadSignature => Cause::Issuer,
        NotValidForName | NotValidForNameContext { .. } => Cause::Name,
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => Cause::Time,
        _ => Cause::Certificate,
    }
}

fn shake_hands(broker: &str, ca: &str) -> io::Result<()> {
    let address = broker.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, REQUEST_TIMEOUT)?;
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    let mut connection = ClientConnection::new(Arc::new(trusting(ca)?), name(broker)?).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(())
}

fn trusting(ca: &str) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(ca).map_err(io::Error::other)?;
    // A file of the system may hold what rustls does not take.
    roots.add_parsable_certificates(found.filter_map(Result::ok));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn name(broker: &str) -> io::Result<ServerName<'static>> {
    let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']);
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}
