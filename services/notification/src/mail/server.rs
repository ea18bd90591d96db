//! A mail server's address, as `SMTP_URL` gives it.

use std::str::FromStr;

use comanda_kit::secret::Secret;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// Where mails are handed in, and as which user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether and how the connection is encrypted.
    pub security: Security,
    /// The user to log in as; `None` where the server wants no login.
    pub user: Option<String>,
    /// A password that the URL held.
    pub password: Option<Secret>,
}

/// Whether and how a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plain,
    /// After a STARTTLS that must succeed.
    StartTls,
    /// From the first byte.
    Tls,
}

impl Security {
    fn default_port(self) -> u16 {
        match self {
            Self::Plain => 25,
            Self::StartTls => 587,
            Self::Tls => 465,
        }
    }
}

/// Why a text is no address of a mail server. The text itself is left out of every message: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoServer {
    /// No URL at all, or one without a host.
    #[error("SMTP_URL must look like smtp://user@host:port, smtp://host:port?tls=required or smtps://host")]
    Shape,
    /// A slash after the host.
    #[error(
        "SMTP_URL must have no path. In a user or password write / as %2F, ? as %3F, # as %23, : as %3A and @ as %40"
    )]
    Path,
    /// A number sign.
    #[error("SMTP_URL must have no fragment (#...). In a user or password write # as %23")]
    Fragment,
    /// An option that does not exist, or not with this scheme.
    #[error("the only option of SMTP_URL is ?tls=required, with smtp://. In a user or password write ? as %3F")]
    Option,
    /// Port 0.
    #[error("the port in SMTP_URL must be 1 to 65535")]
    Port,
}

impl FromStr for Server {
    type Err = NoServer;

    fn from_str(text: &str) -> Result<Self, NoServer> {
        // The parser would drop these.
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(NoServer::Shape);
        }
        let url = Url::parse(text).map_err(|_| NoServer::Shape)?;
        let (security, host) = (security(&url)?, host(&url)?);
        if !url.path().is_empty() {
            return Err(NoServer::Path);
        }
        if url.fragment().is_some() {
            return Err(NoServer::Fragment);
        }
        let port = url.port().unwrap_or(security.default_port());
        if port == 0 {
            return Err(NoServer::Port);
        }
        let user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        let password = url.password().map(|password| Secret::new(decoded(password)));
        if user.is_none() && password.is_some() {
            return Err(NoServer::Shape);
        }
        Ok(Self { host, port, security, user, password })
    }
}

fn security(url: &Url) -> Result<Security, NoServer> {
    match (url.scheme(), url.query()) {
        ("smtp", None) => Ok(Security::Plain),
        ("smtp", Some("tls=required")) => Ok(Security::StartTls),
        ("smtps", None) => Ok(Security::Tls),
        ("smtp" | "smtps", Some(_)) => Err(NoServer::Option),
        _ => Err(NoServer::Shape),
    }
}

/// The URL parser leaves the hosts of unknown schemes as they are, so a name of another script is encoded here.
fn host(url: &Url) -> Result<String, NoServer> {
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
        Some(Host::Domain(name)) => match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.is_empty() => Ok(name),
            Ok(Host::Ipv4(address)) => Ok(address.to_string()),
            _ => Err(NoServer::Shape),
        },
        None => Err(NoServer::Shape),
    }
}

/// `%40` is how an @ is written within a user's name.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> String {
        utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
    }

    fn server(text: &str) -> Server {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn error(text: &str) -> NoServer {
        text.parse::<Server>().expect_err(text)
    }

    proptest! {
        #[test]
        fn each_part_of_a_url_is_taken_as_it_is(
            host in "[a-z][a-z0-9-]{0,9}x(\\.[a-z]{1,5})?", port in 0..70_000_u32, user in ".{1,9}", password in ".{1,9}", scheme in 0..3_usize
        ) {
            prop_assume!(!host.starts_with("xn--"));
            let (scheme, query) = [("smtp", ""), ("smtp", "?tls=required"), ("smtps", "")][scheme];
            let url = format!("{scheme}://{}:{}@{host}:{port}{query}", encoded(&user), encoded(&password));
            let server: Result<Server, _> = url.parse();
            match u16::try_from(port).ok().filter(|port| *port > 0) {
                None => prop_assert!(server.is_err(), "{url}"),
                Some(port) => {
                    let server = server.expect("a valid URL");
                    prop_assert_eq!((server.host, server.port), (host, port));
                    prop_assert_eq!((server.user, server.password), (Some(user), Some(Secret::new(password))));
                }
            }
        }

        #[test]
        fn any_text_is_refused_without_showing_it_or_has_a_host_and_a_port(text in "(smtps?://)?[a-z:@%\\[\\]/?#=.0-9+ñ]{0,20}geheim[a-z:@%\\[\\]/?#=.0-9+ñ]{0,20}") {
            match text.parse::<Server>() {
                Ok(server) => prop_assert!(!server.host.is_empty() && server.port > 0, "{server:?}"),
                Err(error) => prop_assert!(!error.to_string().contains("geheim")),
            }
        }
    }

    #[test]
    fn a_password_with_a_character_of_urls_is_refused_and_never_cut() {
        assert_eq!(error("smtp://pedidos:31/geheim@mail.example"), NoServer::Path);
        assert_eq!(error("smtp://pedidos:31?geheim@mail.example"), NoServer::Option);
        assert_eq!(error("smtp://pedidos:31#geheim@mail.example"), NoServer::Fragment);
        assert_eq!(error("smtps://mail.example/geheim"), NoServer::Path);
        let at = server("smtp://pedidos:a@b@mail.example");
        assert_eq!((&*at.host, at.password), ("mail.example", Some(Secret::new("a@b"))));
    }

    #[test]
    fn an_unknown_option_a_path_or_a_fragment_is_refused() {
        for wrong in [
            "smtp://h?tls=maybe",
            "smtp://h?",
            "smtp://h?TLS=required",
            "smtp://h?tls=required&x=1",
            "smtps://h?tls=required",
        ] {
            assert_eq!(error(wrong), NoServer::Option, "{wrong}");
        }
        for wrong in ["smtp://h/", "smtp://h:25/x?tls=required", "smtp://h//"] {
            assert_eq!(error(wrong), NoServer::Path, "{wrong}");
        }
        assert_eq!(error("smtp://h#"), NoServer::Fragment);
    }

    #[test]
    fn a_wrong_port_or_host_is_not_replaced_by_another_one() {
        for wrong in [
            "smtp://h:99999",
            "smtp://u@[::1]:70000",
            "smtp://h:x",
            "smtp://[]",
            "smtp://user@[]:25",
            "smtp://",
            "smtp://u:p@",
            "smtp://:p@h",
        ] {
            assert_eq!(error(wrong), NoServer::Shape, "{wrong}");
        }
        assert_eq!(error("smtp://h:0"), NoServer::Port);
        for wrong in ["", "mail.example", "http://mail.example", "smtp:h", " smtp://h", "smtp://mail.exa\nmple"] {
            assert_eq!(error(wrong), NoServer::Shape, "{wrong}");
        }
    }

    #[test]
    fn a_url_names_server_encryption_and_user() {
        let plain =
            Server { host: "mail.example".into(), port: 2525, security: Security::Plain, user: None, password: None };
        assert_eq!(server("smtp://mail.example:2525"), plain);
        let tls = server("smtps://ana%40example.com:p%25w@mail.example");
        assert_eq!((tls.port, tls.security, tls.user.as_deref()), (465, Security::Tls, Some("ana@example.com")));
        assert_eq!(tls.password, Some(Secret::new("p%w")));
        let start = server("smtp://ana@[::1]?tls=required");
        assert_eq!((&*start.host, start.port, start.security), ("::1", 587, Security::StartTls));
        assert_eq!(server("smtp://correo.ñandú.cl").host, "correo.xn--and-6ma2c.cl");
        assert!(!format!("{:?}", server("smtp://u:geheim@h")).contains("geheim"));
    }
}
