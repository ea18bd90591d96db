//! Writes a mail: pure, except for the boundary between its parts, which is random.
//!
//! In: a mail of the ledger, its order's contact, workflow and courier, the time. Out: the message as it goes over the wire.
//!
//! All mails of an order have one subject and refer to its first mail, so that mailboxes show them as one thread; the status is the first
//! line of the text, which mailboxes show in their lists.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Context, Result};
use comanda_kit::{currency, mail_address::MailAddress, tracking::Keys};
use comanda_proto::{
    v1::{Item, Order, Workflow, WorkflowStatus},
    views::CourierRow,
};
use jiff::tz::TimeZone;
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
    arrival,
    config::Config,
    headers,
    locale::Locale,
    mask::mask,
    names::{clean, isolated},
    pages::Pages,
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
    time_zone: TimeZone,
    pages: Option<Pages>,
}

impl Composer {
    /// Takes sender, domain and default language from the settings. Links to the pages of orders get tokens of `tracking`.
    pub fn new(config: &Config, tracking: Option<Arc<Keys>>) -> Result<Self> {
        let from = config.mail_from.email.to_string();
        Ok(Self {
            templates: Templates::load()?,
            from: MailAddress::parse(&from).with_context(|| format!("COMANDA_MAIL_FROM: {from}"))?,
            from_name: clean(config.mail_from.name.as_deref().unwrap_or_default()),
            domain: config.mail_domain.clone(),
            default_locale: config.mail_default_locale,
            time_zone: config.mail_time_zone.clone(),
            pages: Pages::of(config.public_url.as_deref(), tracking)?,
        })
    }

    /// Writes one mail, which names the courier if there is one; fails if it cannot be written, now or later.
    pub fn compose(
        &self,
        mail: &Claimed,
        workflow: &Workflow,
        courier: Option<&CourierRow>,
        now: SystemTime,
    ) -> Result<Letter> {
        let contact = &mail.contact;
        let locale = Locale::of_tag(&contact.locale).unwrap_or(self.default_locale);
        let to = MailAddress::parse(&contact.email).ok().context("no mail can be sent to this address")?;
        let mut order = Order::decode(&*contact.content).context("the order cannot be read")?;
        order.items.iter_mut().for_each(|item| item.name = clean(&item.name));
        let (name, status) = (clean(&contact.customer_name), clean(&label(workflow, mail, locale)));
        let (number, items, total) = (contact.number, &*order.items, order.total.as_ref().map(currency::format));
        let courier = courier.map(|row| arrival::courier(row, now, &self.time_zone, locale));
        let page = self.pages.as_ref().and_then(|pages| pages.of_order(&contact.tenant, mail.key.order_id));
        let (total, page) = (total.as_deref(), page.as_deref());
        let facts = Facts { number, name: &name, items, total, status: &status, courier, page };
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
pub(super) mod tests;
