//! A mail of the ledger, and a change to it.

use std::time::Duration;

use comanda_proto::{v1::MailState, views::ContactRow};
use sqlx::FromRow;
use uuid::Uuid;

/// Which mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromRow)]
pub struct Key {
    pub order_id: Uuid,
    pub version: i64,
    pub copy: i32,
}

impl Key {
    /// The same in every try, so that a receiver can tell a repetition.
    pub fn message_id(&self, domain: &str) -> String {
        format!("<{}.{}.{}@{domain}>", self.order_id, self.version, self.copy)
    }
}

/// A mail that an owner has taken, with what it needs to be written.
#[derive(Clone, Debug, FromRow)]
pub struct Claimed {
    #[sqlx(flatten)]
    pub key: Key,
    pub status: String,
    /// Tries, this one included.
    pub attempts: i32,
    pub next_try_time: time::OffsetDateTime,
    #[sqlx(flatten)]
    pub contact: ContactRow,
}

/// Where a mail is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub state: MailState,
    pub attempts: i32,
}

/// What became of a try, told by the owner that made it: whoever lost the mail meanwhile changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: Key,
    pub owner: Uuid,
    /// The number of the try.
    pub tried: i32,
    pub to: Step,
    /// From now until the next try.
    pub wait: Duration,
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
    pub next_try_time: Option<time::OffsetDateTime>,
    pub update_time: time::OffsetDateTime,
    pub email: String,
}

/// A transition as the ledger sees it: an order enters a status.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Entry {
    pub order_id: Uuid,
    pub version: i64,
    pub status: String,
    pub workflow: String,
    pub workflow_revision: i32,
}

/// What the ledger holds of an order.
#[derive(Clone, Debug, FromRow)]
pub struct Known {
    pub order_id: Uuid,
    /// The highest version; the ledger holds all below it.
    pub version: i64,
    /// When the latest of its due mails is tried: later ones need not be looked at before.
    pub not_before: Option<time::OffsetDateTime>,
    /// Whether the order has an address.
    pub has_address: bool,
}

/// A row to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    pub order_id: Uuid,
    pub version: i64,
    pub status: String,
    pub state: MailState,
    pub not_before: Option<time::OffsetDateTime>,
}
