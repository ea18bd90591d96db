//! A mail of the ledger, and a change to it.

use std::time::Duration;

use comanda_proto::{v1::MailState, views::ContactRow};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

/// Which mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromRow)]
pub struct Key {
    pub order_id: Uuid,
    pub version: i64,
    pub copy: i32,
}

impl Key {
    /// The same in every try, so that a receiver can recognise a repetition.
    pub fn message_id(&self, domain: &str) -> String {
        format!("<{}.{}.{}@{domain}>", self.order_id, self.version, self.copy)
    }

    /// The Message-ID of the order's first mail, to which all its mails refer (RFC 5322, section 3.6.4).
    pub fn thread_id(&self, domain: &str) -> String {
        Self { version: 1, copy: 0, ..*self }.message_id(domain)
    }
}

/// A mail that an owner has taken, with what is needed to write it.
#[derive(Clone, Debug, FromRow)]
pub struct Claimed {
    #[sqlx(flatten)]
    pub key: Key,
    pub status: String,
    /// Tries, this one included.
    pub attempts: i32,
    pub next_try_time: OffsetDateTime,
    /// The claim that it was entered with; `None` for a mail that had waited.
    pub claim: Option<i64>,
    /// Whether it was never tried within the maximum age.
    pub is_too_old: bool,
    #[sqlx(flatten)]
    pub contact: ContactRow,
}

/// The result of a try, written by the owner that made it. Where the owner has lost the mail meanwhile, nothing changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub owner: Uuid,
    /// The claim that the mail was entered with.
    pub claim: Option<i64>,
    /// The number of the try.
    pub tried: i32,
    pub state: MailState,
    /// How many tries count from now on.
    pub attempts: i32,
    /// From now until the next try.
    pub wait: Duration,
    /// Whether an operator may want to send it again.
    pub is_undelivered: bool,
    /// The new `last_reply`; empty leaves the old one.
    pub reply: String,
}

/// A row as the API shows it.
#[derive(Clone, Debug, FromRow)]
pub struct Listed {
    #[sqlx(flatten)]
    pub key: Key,
    pub status: String,
    pub state: i16,
    pub attempts: i32,
    pub last_reply: String,
    pub next_try_time: Option<OffsetDateTime>,
    pub undelivered_time: Option<OffsetDateTime>,
    pub update_time: OffsetDateTime,
    pub number: i64,
    pub email: String,
}

/// A transition as the ledger needs it: an order enters a status.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Entry {
    pub order_id: Uuid,
    pub version: i64,
    pub status: String,
    pub workflow: String,
    pub workflow_revision: i32,
    pub transition_time: OffsetDateTime,
}

/// What the ledger holds of an order.
#[derive(Clone, Debug, FromRow)]
pub struct Known {
    pub order_id: Uuid,
    pub tenant: String,
    /// The highest version; the ledger holds all below it.
    pub version: i64,
    /// When the latest of its due mails is tried: later ones need not be looked at before.
    pub not_before: Option<OffsetDateTime>,
    /// Whether all its mails are finished.
    pub is_settled: bool,
    /// Whether the order has an address.
    pub has_address: bool,
}

/// A row to insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    pub order_id: Uuid,
    pub version: i64,
    pub tenant: String,
    pub status: String,
    pub transition_time: OffsetDateTime,
    pub state: MailState,
    pub not_before: Option<OffsetDateTime>,
    /// Whether it may be sent at once: it is due, and no earlier mail of its order is open.
    pub is_next: bool,
}

/// Which undelivered mails of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// States as numbers; never empty.
    pub states: Vec<i16>,
    /// Empty means all.
    pub statuses: Vec<String>,
    pub from: Option<OffsetDateTime>,
    pub before: Option<OffsetDateTime>,
    /// Without regard to case; empty means any.
    pub reply_contains: String,
}
