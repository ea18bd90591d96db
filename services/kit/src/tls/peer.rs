//! Who a client certificate says that its owner is.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

/// The other end of a connection, proven by a certificate of the listener's client CA. It is among the extensions of each request of the
/// connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    names: Arc<[String]>,
    expires: SystemTime,
}

impl Peer {
    /// The owner of a certificate that has been checked.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
            return Self { names: [].into(), expires: UNIX_EPOCH };
        };
        let expires = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        Self { names: names(&parsed).into(), expires: UNIX_EPOCH + Duration::from_secs(expires) }
    }

    /// Its subject alternative names: DNS names, URIs and e-mail addresses, in the order of the certificate. May be empty.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When its certificate ends.
    pub fn expires(&self) -> SystemTime {
        self.expires
    }
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => Some((*name).to_owned()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_peer_has_the_names_of_its_certificate() {
        let mut params = CertificateParams::new(["gateway.internal".to_owned(), "10.0.0.1".to_owned()]).expect("names");
        params.subject_alt_names.push(SanType::URI("spiffe://shop/gateway".try_into().expect("a URI")));
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let peer = Peer::of(certificate.der());
        assert_eq!(peer.names(), ["gateway.internal", "spiffe://shop/gateway"]);
        assert!(peer.expires() > SystemTime::now());
        assert_eq!(Peer::of(&CertificateDer::from(vec![0; 20])).names().len(), 0);
    }
}
