//! Writes a mail: pure, except for the boundary between its parts, which is random.
//!
//! In: a mail of the ledger, its order's contact and workflow, the time. Out: the message as it goes over the wire.
//!
//! All mails of an order have one subject and refer to its first mail, so that mailboxes show them as one thread; the status is the first
//! line of the text, which mailboxes show in their lists.

use std::time::SystemTime;

use anyhow::{Context, Result};
use comanda_kit::{currency, mail_address::MailAddress};
use comanda_proto::v1::{Item, Order, Workflow, WorkflowStatus};
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use prost::Message as _;

use super::{
    config::Config,
    headers,
    locale::Locale,
    mask::mask,
    names::{clean, isolated},
    plan,
    row::{Claimed, Key},
    templates::{Facts, Templates},
};

/// A message with its envelope.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Address of the sender, its domain in ASCII.
    pub from: String,
    /// Address of the recipient, its domain in ASCII.
    pub to: String,
    /// Whether only a server with SMTPUTF8 can take it: a local part is not ASCII.
    pub needs_smtputf8: bool,
    pub bytes: Vec<u8>,
    /// The name of its file where mails are files. No other mail of any database has it.
    pub file: String,
}

impl Letter {
    /// A text of the server without addresses of customers.
    pub fn masked(&self, text: &str) -> String {
        mask(text, &self.to, &self.from)
    }
}

/// Writes mails.
#[derive(Debug)]
pub struct Composer {
    templates: Templates,
    from: MailAddress,
    from_name: String,
    domain: String,
    default_locale: Locale,
}

impl Composer {
    /// Takes sender, domain and default language from the settings.
    pub fn new(config: &Config) -> Result<Self> {
        let from = config.mail_from.email.to_string();
        Ok(Self {
            templates: Templates::load()?,
            from: MailAddress::parse(&from).with_context(|| format!("COMANDA_MAIL_FROM: {from}"))?,
            from_name: clean(config.mail_from.name.as_deref().unwrap_or_default()),
            domain: config.mail_domain.clone(),
            default_locale: config.mail_default_locale,
        })
    }

    /// Writes one mail; fails if it cannot be written, now or later.
    pub fn compose(&self, mail: &Claimed, workflow: &Workflow, now: SystemTime) -> Result<Letter> {
        let contact = &mail.contact;
        let locale = Locale::of_tag(&contact.locale).unwrap_or(self.default_locale);
        let to = MailAddress::parse(&contact.email).ok().context("no mail can be sent to this address")?;
        let mut order = Order::decode(&*contact.content).context("the order cannot be read")?;
        order.items.iter_mut().for_each(|item| item.name = clean(&item.name));
        let (name, status) = (clean(&contact.customer_name), clean(&label(workflow, mail, locale)));
        let (number, items, total) = (contact.number, &*order.items, order.total.as_ref().map(currency::format));
        let facts = Facts { number, name: &name, items, total: total.as_deref(), status: &status, courier: None };
        let (text, html) = self.templates.render(plan::template(workflow, &mail.status), locale, &facts)?;
        let subject = subject(locale, number, items);
        let body = MultiPart::alternative_plain_html(text, html);
        let mut message = Message::builder()
            // Replaced below; the builder wants to read one.
            .from(Address::new_dangerous("a", "example.com").into())
            .envelope(Envelope::new(None, vec![to.as_address().clone()])?)
            .date(now)
            .multipart(body)?;
        let headers = self.headers(mail, &to, &name, &subject);
        headers.into_iter().for_each(|header| message.headers_mut().insert_raw(header));
        let (from, needs_smtputf8) = (self.from.as_address(), to.needs_smtputf8() || self.from.needs_smtputf8());
        let (from, to, file) = (from.to_string(), to.as_address().to_string(), file(mail));
        Ok(Letter { from, to, needs_smtputf8, bytes: message.formatted(), file })
    }

    fn headers(&self, mail: &Claimed, to: &MailAddress, name: &str, subject: &str) -> Vec<HeaderValue> {
        let key = mail.key;
        let mut headers = vec![
            headers::mailbox("From", &self.from_name, self.from.as_address().as_ref()),
            headers::mailbox("To", name, to.as_address().as_ref()),
            headers::text("Subject", subject),
            raw("Message-ID", key.message_id(&self.domain)),
            // Keeps out-of-office replies from being sent (RFC 3834).
            raw("Auto-Submitted", "auto-generated".into()),
            raw("X-Comanda-Order", key.order_id.to_string()),
            raw("X-Comanda-Version", key.version.to_string()),
            headers::text("X-Comanda-Status", &clean(&mail.status)),
        ];
        let is_first = Key { version: 1, copy: 0, ..key } == key;
        if !is_first {
            let thread = key.thread_id(&self.domain);
            headers.extend([raw("In-Reply-To", thread.clone()), raw("References", thread)]);
        }
        headers
    }
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

fn file(mail: &Claimed) -> String {
    let Key { order_id, version, copy } = mail.key;
    format!("{}-{version}-{copy}-{order_id}.eml", mail.contact.number)
}

/// How people call the status of a mail.
fn label(workflow: &Workflow, mail: &Claimed, locale: Locale) -> String {
    let known = workflow.statuses.iter().find(|known| known.name == mail.status);
    let label = |status: &WorkflowStatus| locale.label(status, &mail.contact.locale).to_owned();
    known.map_or_else(|| mail.status.clone(), label)
}

fn subject(locale: Locale, number: i64, items: &[Item]) -> String {
    let first = isolated(items.first().map_or("", |item| &item.name));
    let more = if items.len() > 1 { format!(" +{}", items.len() - 1) } else { String::new() };
    match locale {
        Locale::Es => format!("Pedido {number} Producto: {first}{more}"),
        Locale::En => format!("Order {number} Product: {first}{more}"),
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
pub(super) mod tests {
    use comanda_proto::{Money, views::ContactRow};
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::{super::headers::tests::decoded, *};

    pub(in super::super) fn mail(items: &[&str], name: &str, email: &str, locale: &str) -> Claimed {
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

    /// The values of a header, as a reader sees them.
    fn header(text: &str, name: &str) -> Vec<String> {
        let head = text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
        let values = head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.map(decoded).collect()
    }

    #[test]
    fn a_mail_names_order_products_and_status() {
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
    fn the_mails_of_an_order_are_one_thread_with_one_subject() {
        let (root, mut subjects) = ("<00000000-0000-0000-0000-000000000009.1.0@comanda.localhost>", Vec::new());
        for (version, copy) in [(1, 0), (2, 0), (1, 1), (4, 2)] {
            let mut mail = mail(&["Mole"], "Ana", "ana@example.com", "es");
            (mail.key.version, mail.key.copy) = (version, copy);
            let text = text(&mail);
            let refers = if (version, copy) == (1, 0) { vec![] } else { vec![root.to_owned()] };
            assert_eq!((header(&text, "In-Reply-To"), header(&text, "References")), (refers.clone(), refers));
            subjects.extend(header(&text, "Subject"));
        }
        subjects.dedup();
        assert_eq!(subjects.len(), 1);
    }

    #[test]
    fn the_status_is_the_first_line() {
        let text = text(&mail(&["Mole"], "Ana", "ana@example.com", "es"));
        let (_, body) = text.split_once("text/plain").expect("a plain part");
        let first = body.split_once("\r\n\r\n").expect("a body").1.lines().next();
        assert_eq!(first, Some("Estado de tu pedido: preparando."));
    }

    #[test]
    fn an_amount_has_the_decimals_of_its_currency() {
        for (currency_code, units, nanos, expected) in
            [("JPY", 900, 0, "900 JPY"), ("TND", 4, 250_000_000, "4.250 TND"), ("USD", 7, 0, "7.00 USD")]
        {
            let mut mail = mail(&["Te"], "Ana", "ana@example.com", "en");
            let total = Some(Money { currency_code: currency_code.into(), units, nanos });
            mail.contact.content = Order { total, ..Default::default() }.encode_to_vec();
            let text = text(&mail);
            assert_eq!(text.matches(&format!("Total: {expected}")).count(), 2, "{text}");
        }
    }

    #[test]
    fn blanks_in_a_name_reach_the_reader() {
        let text = text(&mail(&["Café  con   piñón"], "José  Ñandú", "ana@example.com", "es"));
        assert_eq!(header(&text, "Subject"), ["Pedido 1042 Producto: Café  con   piñón"]);
        assert_eq!(header(&text, "To"), ["José  Ñandú <ana@example.com>"]);
    }

    #[test]
    fn a_domain_of_another_script_is_sent_in_ascii_and_a_local_part_needs_smtputf8() {
        let letter = |email| {
            composer()
                .compose(&mail(&["X"], "Ana", email, "es"), &workflow(), SystemTime::UNIX_EPOCH)
                .expect("composed")
        };
        let domain = letter("ana@piñata.example");
        assert_eq!(
            (&*domain.to, domain.needs_smtputf8, domain.bytes.is_ascii()),
            ("ana@xn--piata-pta.example", false, true)
        );
        let local = letter("piñón@piñata.example");
        assert_eq!((&*local.to, local.needs_smtputf8), ("piñón@xn--piata-pta.example", true));
    }

    #[test]
    fn nobody_can_write_a_header() {
        let evil = "Mole\r\nBcc: all@example.com\r\n\r\nHello";
        let text = text(&mail(&[evil], evil, "ana@example.com", "es"));
        assert_eq!(header(&text, "Bcc").len(), 0);
        for name in ["Subject", "To", "Content-Type"] {
            assert_eq!(header(&text, name).len(), 1, "{name}");
        }
    }

    #[test]
    fn long_and_foreign_names_are_encoded_and_folded() {
        let long = "ñandú 🌮 ".repeat(32);
        let text = text(&mail(&[&long], &long, "ana@example.com", "es"));
        assert!(text.is_ascii());
        assert!(text.lines().all(|line| line.len() <= 998));
        assert!(text.contains("Subject: =?utf-8?b?"));
    }

    #[test]
    fn an_address_that_no_mail_can_be_sent_to_is_an_error() {
        for email in ["ana@example.com> RCPT TO:<eve@example.com", "\"a..b\"@example.com", ""] {
            let composed = composer().compose(&mail(&["X"], "", email, "es"), &workflow(), SystemTime::UNIX_EPOCH);
            assert!(composed.is_err(), "{email}");
        }
    }

    #[test]
    fn no_two_mails_have_one_file() {
        let mail = mail(&["X"], "", "ana@example.com", "es");
        assert_eq!(file(&mail), "1042-2-0-00000000-0000-0000-0000-000000000009.eml");
    }
}
