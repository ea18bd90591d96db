//! The name that we give to mail servers in EHLO (RFC 5321, section 4.1.1.1).

use std::net::{IpAddr, SocketAddr};

/// The name for EHLO: the set one, the host's where it is a full one, else the address as a literal. Servers refuse a name without a dot.
pub fn name(set: Option<&str>, host: Option<&str>, local: SocketAddr) -> String {
    let full = host.filter(|host| host.contains('.') && is_host_name(host));
    set.or(full).map_or_else(|| literal(local.ip()), str::to_owned)
}

/// Letters, digits, hyphens and dots.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Checks a name that is set.
pub fn parse(text: &str) -> Result<String, String> {
    let is_literal =
        text.starts_with('[') && text.ends_with(']') && text.is_ascii() && !text.contains([' ', '\r', '\n']);
    if is_literal || is_host_name(text) {
        return Ok(text.into());
    }
    Err("must be a name such as mail.example.com or an address such as [192.0.2.1]".into())
}

/// RFC 5321, section 4.1.3.
fn literal(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_dot_is_replaced_by_the_address() {
        let (v4, v6) = ("10.0.0.7:1".parse().expect("an address"), "[::1]:1".parse().expect("an address"));
        assert_eq!(name(None, Some("cocina-2"), v4), "[10.0.0.7]");
        assert_eq!(name(None, Some("bad_name.example"), v4), "[10.0.0.7]");
        assert_eq!(name(None, None, v6), "[IPv6:::1]");
        assert_eq!(name(None, None, "[::ffff:10.0.0.7]:1".parse().expect("an address")), "[10.0.0.7]");
        assert_eq!(name(None, Some("mail.example.com"), v4), "mail.example.com");
        assert_eq!(name(Some("out.example.com"), Some("mail.example.com"), v4), "out.example.com");
    }

    #[test]
    fn a_name_that_is_set_is_checked() {
        for right in ["mail.example.com", "cocina-2", "[10.0.0.7]", "[IPv6:::1]"] {
            assert_eq!(parse(right).as_deref(), Ok(right));
        }
        for wrong in ["", "a b", "x\r\nMAIL FROM:<a@b>", "a..b", "-a.cl", "ñandú.cl", "[a\r\nb]"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
