//! A mail server's address, as `SMTP_URL` gives it.

use std::str::FromStr;

use tonic::codegen::http::Uri;

use super::config::Secret;

/// Where mails are handed in, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether and how the connection is encrypted.
    pub security: Security,
    /// Who logs in; nobody where the server wants no login.
    pub user: Option<String>,
    /// A password that stood in the URL.
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

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text itself is left out of every message: it may hold a password.
        let shape =
            || "must look like smtp://user@host:port, smtp://host:port?tls=required or smtps://host".to_string();
        let uri: Uri = text.parse().map_err(|_| shape())?;
        let security = security(uri.scheme_str(), uri.query()).ok_or_else(shape)?;
        let host = uri.host().and_then(bare).ok_or_else(shape)?;
        let port = port(&uri, security).ok_or_else(shape)?;
        let login = uri.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
        let (user, password) = login.map(|(login, _)| credentials(login)).unwrap_or_default();
        Ok(Self { host: host.into(), port, security, user, password })
    }
}

/// A host without the brackets of an IPv6 address. The parser of URLs also takes a single one, or a pair around nothing.
fn bare(host: &str) -> Option<&str> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!bare.is_empty() && !bare.contains(['[', ']'])).then_some(bare)
}

fn security(scheme: Option<&str>, query: Option<&str>) -> Option<Security> {
    match (scheme?, query.unwrap_or_default()) {
        ("smtp", "") => Some(Security::Plain),
        ("smtp", "tls=required") => Some(Security::StartTls),
        ("smtps", "") => Some(Security::Tls),
        _ => None,
    }
}

/// A port that is none (`:99999`) is left out by the parser of URLs; taking another one instead would send mails somewhere else.
fn port(uri: &Uri, security: Security) -> Option<u16> {
    let authority = uri.authority()?.as_str();
    let (_, place) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (_, behind) = place.rsplit_once(']').unwrap_or(("", place));
    match behind.split_once(':') {
        None => Some(security.default_port()),
        Some((_, port)) => port.parse().ok().filter(|port| *port > 0),
    }
}

fn credentials(login: &str) -> (Option<String>, Option<Secret>) {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(Secret(percent_decoded(password)))),
        None => (login, None),
    };
    (Some(percent_decoded(user)), password)
}

/// `%40` is how an @ is written within a user's name.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let code = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        let (decoded, skipped) = match code {
            Some(code) if byte == b'%' => (code, 2),
            _ => (byte, 0),
        };
        bytes.push(decoded);
        rest = &tail[skipped..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a URL has it: everything but letters and digits in its code.
    fn encoded(text: &str) -> String {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    }

    proptest! {
        #[test]
        fn what_a_url_says_is_taken_as_it_is(
            host in "[a-z][a-z0-9-]{0,9}(\\.[a-z]{1,5})?", port in 0..70_000_u32, user in ".{1,9}", password in ".{1,9}", scheme in 0..3_usize
        ) {
            let (scheme, query) = [("smtp", ""), ("smtp", "?tls=required"), ("smtps", "")][scheme];
            let url = format!("{scheme}://{}:{}@{host}:{port}{query}", encoded(&user), encoded(&password));
            let server: Result<Server, _> = url.parse();
            match u16::try_from(port).ok().filter(|port| *port > 0) {
                None => prop_assert!(server.is_err(), "{url}"),
                Some(port) => {
                    let server = server.expect("a valid URL");
                    prop_assert_eq!((server.host, server.port), (host, port));
                    prop_assert_eq!((server.user, server.password), (Some(user), Some(Secret(password))));
                }
            }
        }

        #[test]
        fn any_text_is_refused_without_showing_it_or_has_a_host_and_a_port(text in "(smtps?://)?[a-z:@%\\[\\]/?=.0-9+ñ]{0,20}geheim[a-z:@%\\[\\]/?=.0-9+ñ]{0,20}") {
            match text.parse::<Server>() {
                Ok(server) => prop_assert!(!server.host.is_empty() && server.port > 0, "{server:?}"),
                Err(message) => prop_assert!(!message.contains("geheim")),
            }
        }
    }

    #[test]
    fn a_port_that_is_none_is_not_replaced_by_another_one() {
        for wrong in ["smtp://h:99999", "smtp://h:0", "smtp://u@[::1]:70000", "smtp://h:"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_that_is_nothing_but_brackets_is_none() {
        for wrong in ["smtp://geheim[@]", "smtp://[]", "smtp://user@[]:25"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_percent_sign_without_a_code_stands_for_itself() {
        assert_eq!(percent_decoded("100%+5%zz%"), "100%+5%zz%");
    }

    fn server(text: &str) -> Server {
        text.parse().expect("a valid URL")
    }

    #[test]
    fn a_url_says_where_how_and_as_whom() {
        let plain =
            Server { host: "mail.example".into(), port: 2525, security: Security::Plain, user: None, password: None };
        assert_eq!(server("smtp://mail.example:2525"), plain);
        let tls = server("smtps://ana%40example.com:p%25w@mail.example");
        assert_eq!((tls.port, tls.security, tls.user.as_deref()), (465, Security::Tls, Some("ana@example.com")));
        assert_eq!(tls.password, Some(Secret("p%w".into())));
        let start = server("smtp://ana@[::1]?tls=required");
        assert_eq!((&*start.host, start.port, start.security), ("::1", 587, Security::StartTls));
    }

    #[test]
    fn a_wrong_url_is_refused_without_showing_its_password() {
        for wrong in ["mail.example", "http://mail.example", "smtp://u:geheim@", "smtp://u:geheim@h?tls=maybe", ""] {
            let error = wrong.parse::<Server>().expect_err(wrong);
            assert!(!error.contains("geheim"));
        }
        assert!(!format!("{:?}", server("smtp://u:geheim@h")).contains("geheim"));
    }
}
