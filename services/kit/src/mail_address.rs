//! E-mail addresses. One parser decides which addresses an order may have and which a mail can be built for, so that no mail of an accepted
//! order fails on its address.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use lettre::{Address, message::Mailbox};

use crate::text::is_invisible;

/// The longest path of RFC 5321, section 4.5.3.1.3, without its brackets.
const MAX_OCTETS: usize = 254;
/// RFC 5321, section 4.5.3.1.1.
const MAX_LOCAL_OCTETS: usize = 64;

/// An address that a mail can be sent to: a local part without quotes and a domain name, nothing beside them.
///
/// The local part may hold letters of any script (RFC 6531); the domain may be an internationalized one (IDNA 2008, UTS #46).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress {
    /// With the domain in ASCII.
    address: Address,
}

/// A text that is no [`MailAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an e-mail address such as ana@example.com, at most 254 octets long, without a name beside it, quotes, invisible characters \
     or an IP address"
)]
pub struct NotAnAddress;

impl MailAddress {
    /// Parses an address. It may be used as it is: nothing is trimmed.
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnAddress)?;
        let is_plain = text.len() <= MAX_OCTETS && local.len() <= MAX_LOCAL_OCTETS && !text.chars().any(is_invisible);
        if !is_plain || local.contains('"') {
            return Err(NotAnAddress);
        }
        let ascii = format!("{local}@{}", domain_in_ascii(domain).ok_or(NotAnAddress)?);
        let address = mailbox(&ascii).filter(|_| ascii.len() <= MAX_OCTETS).ok_or(NotAnAddress)?;
        let is_mailable = ascii == text || mailbox(text).is_some();
        is_mailable.then_some(Self { address }).ok_or(NotAnAddress)
    }

    /// The part before the @.
    pub fn local(&self) -> &str {
        self.address.user()
    }

    /// The domain as DNS and SMTP have it: labels in other scripts are in Punycode (`xn--...`).
    pub fn domain_ascii(&self) -> &str {
        self.address.domain()
    }

    /// Whether only a server with the extension SMTPUTF8 can take a mail to this address: its local part is not ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        !self.local().is_ascii()
    }

    /// The address for envelopes and headers, its domain in ASCII.
    pub fn as_address(&self) -> &Address {
        &self.address
    }
}

/// `None` for what is no domain name of the public kind: an address literal, a bare IP address, an underscore, an empty label.
fn domain_in_ascii(domain: &str) -> Option<String> {
    let ascii =
        Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let ascii = ascii.ok()?.into_owned();
    let last = ascii.rsplit('.').next()?;
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    (!is_number).then_some(ascii)
}

/// The address that lettre reads in a header of this text, if it reads nothing beside it. It reads its own headers again to know whom a mail
/// goes to, with another parser than that of [`Address`].
fn mailbox(text: &str) -> Option<Address> {
    let address: Address = text.parse().ok()?;
    let read: Mailbox = text.parse().ok()?;
    (read.name.is_none() && read.email == address).then_some(address)
}

#[cfg(test)]
mod tests {
    use lettre::Message;
    use proptest::prelude::*;

    use super::*;

    /// Builds a mail as the notification service does, with and without a name.
    fn must_be_mailable(address: &MailAddress) {
        for name in [None, Some("Ana, \"la jefa\" <x@y.cl>".to_owned())] {
            let from = "Comanda <no-reply@example.com>".parse().expect("an address");
            let to = Mailbox::new(name, address.as_address().clone());
            let mail = Message::builder().from(from).to(to).subject("Pedido 7").body("Listo".to_owned());
            let mail = mail.unwrap_or_else(|error| panic!("no mail can be built for {address:?}: {error}"));
            assert_eq!(mail.envelope().to(), [address.as_address().clone()]);
        }
    }

    #[test]
    fn common_addresses_are_accepted_and_can_be_mailed() {
        let longest = format!("{}@{}.cl", "a".repeat(64), ["b".repeat(61), "c".repeat(61), "d".repeat(61)].join("."));
        for text in [
            "ana@example.com",
            "o'higgins+pedidos@sub.example.co.uk",
            "a.b_c-d=e{f}@x--y.cl",
            "ana@localhost",
            "1@2.example",
            &longest,
        ] {
            let address = MailAddress::parse(text).unwrap_or_else(|_| panic!("{text} is an address"));
            assert_eq!(address.as_address().to_string(), text);
            assert!(!address.needs_smtputf8());
            must_be_mailable(&address);
        }
    }

    #[test]
    fn a_domain_of_another_script_becomes_punycode_and_only_a_local_part_needs_smtputf8() {
        for (text, domain, needs) in [
            ("ana@ñandú.cl", "xn--and-6ma2c.cl", false),
            ("pedidos@例え.jp", "xn--r8jz45g.jp", false),
            ("josé@correo.cl", "correo.cl", true),
            ("ana@EXAMPLE.com", "example.com", false),
        ] {
            let address = MailAddress::parse(text).unwrap_or_else(|_| panic!("{text} is an address"));
            assert_eq!((address.domain_ascii(), address.needs_smtputf8()), (domain, needs));
            must_be_mailable(&address);
        }
    }

    #[test]
    fn what_no_mail_can_be_sent_to_is_refused() {
        let (long_local, long) = (format!("{}@x.cl", "a".repeat(65)), format!("a@{}cl", "abcdefghi.".repeat(26)));
        // 59 of these letters fit into a label, but not into its Punycode.
        let long_label = format!("a@{}.cl", "ñ".repeat(31) + &"ü".repeat(28));
        for text in [
            "",
            "@",
            "ana",
            "ana@",
            "@x.cl",
            "Ana <ana@x.cl>",
            "<ana@x.cl>",
            "ana@x.cl, eve@x.cl",
            " ana@x.cl",
            "ana@x.cl\r\n",
            "\"ana rojas\"@x.cl",
            "\"ana\"@x.cl",
            "ana..b@x.cl",
            ".ana@x.cl",
            "ana.@x.cl",
            "ana(jefa)@x.cl",
            "ana@x.cl.",
            "ana@.x.cl",
            "ana@x..cl",
            "ana@-x.cl",
            "ana@x_y.cl",
            "ana@[10.0.0.1]",
            "ana@[IPv6:::1]",
            "ana@10.0.0.1",
            "ana@x.1",
            "a@b@x.cl",
            "ana\u{200b}@x.cl",
            "ana@x\u{ad}.cl",
            "\u{202e}ana@x.cl",
            "ana\u{feff}@x.cl",
            "ana\u{3164}@x.cl",
            "ana@x y.cl",
            "ana\u{7f}@x.cl",
            &long_local,
            &long,
            &long_label,
        ] {
            assert_eq!(MailAddress::parse(text), Err(NotAnAddress), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn an_accepted_address_can_be_mailed(
            text in prop_oneof![
                "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~ñ-]{1,12}@[a-z0-9.ñü-]{1,12}",
                "[a-zñ\"<>() ,;:\\[\\]\\\\@.]{0,12}@[a-z.\\-\\[\\]0-9:<>ñ]{0,12}",
                "\\PC{1,6}@\\PC{1,6}",
                any::<String>(),
            ]
        ) {
            if let Ok(address) = MailAddress::parse(&text) {
                must_be_mailable(&address);
                prop_assert!(address.domain_ascii().is_ascii());
                prop_assert_eq!(address.needs_smtputf8(), !address.local().is_ascii());
            }
        }
    }
}
