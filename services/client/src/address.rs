//! The address of a server, as a person types it.

use std::{fmt, str::FromStr};

use tonic::transport::{Endpoint, Uri};

use crate::error::Error;

/// The address of a server: `HOST:PORT`, `http://HOST:PORT`, or with TLS `https://HOST:PORT`. An IPv6 address stands in brackets: `[::1]:50051`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Uri);

impl Address {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::from(self.0.clone())
    }

    /// Whether connections to it are encrypted.
    pub fn has_tls(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host as it stands in the address, and the port.
    pub fn host_and_port(&self) -> (&str, u16) {
        (self.0.host().unwrap_or_default(), self.0.port_u16().unwrap_or_default())
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let full = if text.contains("://") { text.trim().to_owned() } else { format!("http://{}", text.trim()) };
        let uri: Uri =
            full.parse().map_err(|_| format!("{text:?} is not HOST:PORT, http://HOST:PORT or https://HOST:PORT"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(format!("{text:?}: an address begins with http:// or https://"));
        }
        if uri.port().is_none() {
            return Err(format!("{text:?} has no port from 1 to 65535, as in 127.0.0.1:50051"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || has_user(&uri) {
            return Err(format!("{text:?}: an address is a host and a port, with nothing before or after them"));
        }
        Ok(Self(uri))
    }
}

fn has_user(uri: &Uri) -> bool {
    uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.has_tls() { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.0.authority().map_or("", |authority| authority.as_str()))
    }
}

/// The roles of Comanda that serve calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves OrderService.
    Ordering,
    /// Serves LifecycleService.
    StateMachine,
    /// Serves WatchService and MailService.
    Notification,
    /// Serves DispatchService.
    Dispatch,
    /// Serves AnalyticsService.
    Analytics,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] =
        [Self::Ordering, Self::StateMachine, Self::Notification, Self::Dispatch, Self::Analytics];

    /// Its name, as in `comanda NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordering => "ordering",
            Self::StateMachine => "state-machine",
            Self::Notification => "notification",
            Self::Dispatch => "dispatch",
            Self::Analytics => "analytics",
        }
    }

    pub(crate) fn unreachable(self, address: &Address, cause: &(dyn std::error::Error + 'static)) -> Error {
        Error::unreachable(format!("cannot reach {} at {address}: {}", self.name(), crate::error::root_cause(cause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_and_a_final_slash_are_optional() {
        for text in ["localhost:50051", "http://localhost:50051", " http://localhost:50051/ "] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), "http://localhost:50051");
        }
        assert_eq!("https://localhost:1/".parse::<Address>().expect("TLS").to_string(), "https://localhost:1");
        assert_eq!("[::1]:1".parse::<Address>().expect("IPv6").to_string(), "http://[::1]:1");
    }

    #[test]
    fn an_unusable_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("localhost", "no port"),
            ("ftp://localhost:1", "begins with http"),
            ("https://localhost", "no port"),
            ("a b:1", "is not HOST"),
            ("localhost:1/orders", "with nothing"),
            ("localhost:1?x=1", "with nothing"),
            ("ana@localhost:1", "with nothing"),
            ("localhost:70000", "no port"),
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
        assert!("".parse::<Address>().is_err());
    }
}
