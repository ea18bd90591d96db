//! Writes a mail: pure, but for the boundary between its parts, which is random.
//!
//! In: a mail of the ledger, its order's contact and workflow, the time. Out: the message as it goes over the wire.

use std::time::SystemTime;

use anyhow::{Context, Result};
use comanda_proto::v1::{Item, Workflow};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MessageBuilder, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{
    config::Config,
    locale::Locale,
    plan,
    row::Claimed,
    templates::{Facts, Templates},
};

/// A message with its envelope.
#[derive(Clone, Debug)]
pub struct Letter {
    pub from: Address,
    pub to: Address,
    pub bytes: Vec<u8>,
    /// What its file is called where mails are files.
    pub file: String,
}

impl Letter {
    /// Whether the server must take addresses beyond ASCII (SMTPUTF8).
    pub fn has_foreign_address(&self) -> bool {
        [&self.from, &self.to].into_iter().any(|address| !address.to_string().is_ascii())
    }
}

/// Writes mails.
#[derive(Debug)]
pub struct Composer {
    templates: Templates,
    from: Mailbox,
    domain: String,
    default_locale: Locale,
}

impl Composer {
    /// Takes sender, domain and default language from the settings.
    pub fn new(config: &Config) -> Result<Self> {
        Ok(Self {
            templates: Templates::load()?,
            from: config.mail_from.clone(),
            domain: config.mail_domain.clone(),
            default_locale: config.mail_default_locale,
        })
    }

    /// Writes one mail; fails where it can not be written, now or ever.
    pub fn compose(&self, mail: &Claimed, workflow: &Workflow, now: SystemTime) -> Result<Letter> {
        let contact = &mail.contact;
        let locale = Locale::of_tag(&contact.locale).unwrap_or(self.default_locale);
        let mut items = contact.items().context("the order can not be read")?;
        items.iter_mut().for_each(|item| item.name = clean(&item.name));
        let (name, status) = (clean(&contact.customer_name), clean(label(workflow, &mail.status, locale)));
        let facts = Facts { number: contact.number, name: &name, items: &items, status: &status };
        let (text, html) = self.templates.render(plan::template(workflow, &mail.status), locale, &facts)?;
        let to: Address = contact.email.parse().context("the address is none")?;
        let subject = subject(locale, contact.number, &items);
        let head = self.head(mail, now, subject).to(Mailbox::new((!name.is_empty()).then_some(name), to.clone()));
        let message = head.multipart(MultiPart::alternative_plain_html(text, html))?;
        Ok(Letter { from: self.from.email.clone(), to, bytes: message.formatted(), file: file(mail) })
    }

    fn head(&self, mail: &Claimed, now: SystemTime, subject: String) -> MessageBuilder {
        Message::builder()
            .from(self.from.clone())
            .subject(subject)
            .date(now)
            .message_id(Some(mail.key.message_id(&self.domain)))
            // Keeps out-of-office replies from being sent (RFC 3834).
            .raw_header(raw("Auto-Submitted", "auto-generated".into()))
            .raw_header(raw("X-Comanda-Order", mail.key.order_id.to_string()))
            .raw_header(raw("X-Comanda-Version", mail.key.version.to_string()))
            .raw_header(raw("X-Comanda-Status", clean(&mail.status)))
    }
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn file(mail: &Claimed) -> String {
    format!("{}-{}-{}.eml", mail.contact.number, mail.key.version, mail.key.copy)
}

/// What people call a status.
fn label<'w>(workflow: &'w Workflow, status: &'w str, locale: Locale) -> &'w str {
    let known = workflow.statuses.iter().find(|known| known.name == status);
    known.and_then(|known| known.labels.get(locale.code())).map_or(status, |label| label)
}

fn subject(locale: Locale, number: i64, items: &[Item]) -> String {
    let first = items.first().map_or("", |item| &item.name);
    let more = if items.len() > 1 { format!(" +{}", items.len() - 1) } else { String::new() };
    match locale {
        Locale::Es => format!("Pedido {number} Producto: {first}{more}"),
        Locale::En => format!("Order {number} Product: {first}{more}"),
    }
}

/// A line break within a header would begin another header, and half of one has no place in a mail at all (RFC 5322, section 2.3).
/// `=?` begins what a mail program decodes (RFC 2047), into other words than those that were written.
fn clean(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.replace("=?", "= ?")
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use comanda_proto::{
        v1::{Order, WorkflowStatus},
        views::ContactRow,
    };
    use prost::Message as _;
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::mail::row::Key;

    pub(super) fn mail(items: &[&str], name: &str, email: &str, locale: &str) -> Claimed {
        let items = items.iter().map(|name| Item { name: (*name).into(), quantity: 1, ..Default::default() }).collect();
        let order_id = Uuid::from_u128(9);
        let contact = ContactRow {
            order_id,
            tenant: "default".into(),
            number: 1042,
            customer_name: name.into(),
            email: email.into(),
            locale: locale.into(),
            content: Order { items, ..Default::default() }.encode_to_vec(),
            workflow: "delivery".into(),
            workflow_revision: 1,
        };
        let (key, next_try_time) = (Key { order_id, version: 2, copy: 0 }, OffsetDateTime::UNIX_EPOCH);
        Claimed { key, status: "preparing".into(), attempts: 0, next_try_time, is_too_old: false, contact }
    }

    pub(super) fn workflow() -> Workflow {
        let labels = [("es", "preparando"), ("en", "being prepared")].map(|(a, b)| (a.into(), b.into())).into();
        let status = WorkflowStatus { name: "preparing".into(), labels, ..Default::default() };
        Workflow { statuses: vec![status], ..Default::default() }
    }

    pub(super) fn composer() -> Composer {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            config: Config,
        }
        let cli: Cli = clap::Parser::parse_from(["test"]);
        Composer::new(&cli.config).expect("valid templates")
    }

    fn text(mail: &Claimed) -> String {
        let letter = composer().compose(mail, &workflow(), SystemTime::UNIX_EPOCH).expect("composed");
        String::from_utf8(letter.bytes).expect("UTF-8")
    }

    fn header<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }

    #[test]
    fn a_mail_says_which_order_what_and_where_it_stands() {
        let text = text(&mail(&["Mole", "Agua"], "Ana", "ana@example.com", "es-MX"));
        assert_eq!(header(&text, "Subject"), ["Pedido 1042 Producto: Mole +1"]);
        assert_eq!(header(&text, "From"), ["Comanda <pedidos@comanda.localhost>"]);
        assert_eq!(header(&text, "To"), ["Ana <ana@example.com>"]);
        assert_eq!(header(&text, "Date"), ["Thu, 01 Jan 1970 00:00:00 +0000"]);
        let id = "<00000000-0000-0000-0000-000000000009.2.0@comanda.localhost>";
        assert_eq!(header(&text, "Message-ID"), [id]);
        assert!(text.contains("multipart/alternative") && text.contains("Estado de tu pedido: preparando."));
    }

    #[test]
    fn the_language_follows_the_customer_and_else_the_setting() {
        let english = text(&mail(&["Mole"], "", "ana@example.com", "en-GB"));
        assert_eq!(header(&english, "Subject"), ["Order 1042 Product: Mole"]);
        assert!(english.contains("being prepared"));
        assert_eq!(header(&text(&mail(&["X"], "", "a@b.mx", "de")), "Subject"), ["Pedido 1042 Producto: X"]);
    }

    #[test]
    fn nobody_can_write_a_header() {
        let evil = "Mole\r\nBcc: all@example.com\r\n\r\nHello";
        let text = text(&mail(&[evil], evil, "ana@example.com", "es"));
        assert_eq!(header(&text, "Bcc"), [""; 0]);
        assert_eq!(header(&text, "Subject").len(), 1);
        assert_eq!(header(&text, "To").len(), 1);
        assert_eq!(header(&text, "Content-Type").len(), 1);
    }

    #[test]
    fn long_and_foreign_names_are_encoded_and_folded() {
        let long = "ñandú 🌮 ".repeat(32);
        let text = text(&mail(&[&long], &long, "ana@example.com", "es"));
        assert!(text.is_ascii());
        assert!(text.lines().all(|line| line.len() <= 998));
        assert!(header(&text, "Subject")[0].contains("=?utf-8?b?"));
    }

    #[test]
    fn an_address_that_is_none_is_a_failure_not_a_mail() {
        let composer_input = mail(&["X"], "", "ana@example.com> RCPT TO:<eve@example.com", "es");
        assert!(composer_input.contact.email.parse::<Address>().is_err());
    }
}
