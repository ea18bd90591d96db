//! The result of a try, and the change to the ledger that follows from it: pure decisions, no I/O.

use std::time::Duration;

use comanda_proto::v1::MailState;
use uuid::Uuid;

use super::{
    row::{Change, Claimed},
    schedule::Schedule,
};

/// The longest `last_reply`, in characters.
const REPLY_CHARS: usize = 500;

/// Why nothing can be sent for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pausing {
    /// The server refuses us; somebody must change something.
    Refused,
    /// The server takes no more for now.
    Limited,
    /// The server cannot be reached, or is busy.
    Unreachable,
}

/// The result of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has taken it.
    Sent(String),
    /// It will never be taken.
    Dead(String),
    /// The order has no address any more.
    NoAddress,
    /// It was never tried within the maximum age.
    TooOld,
    /// It was not taken this time.
    Later(String),
    /// Whether it was taken is unknown.
    Ambiguous(String),
    /// Not the mail's fault: the transport does not work.
    Paused(Pausing, String),
    /// Nothing was tried: we are stopping.
    GivenBack,
    /// We are stopping while the server's answer is awaited.
    Interrupted,
}

/// What a change needs beside the mail and its outcome.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Who has taken the mail.
    pub owner: Uuid,
    /// When to try again.
    pub schedule: &'a Schedule,
    /// Between -1 and 1.
    pub chance: f64,
    /// How long the transport pauses.
    pub pause: Duration,
}

/// The change that an outcome leads to. A mail that was not tried, or not for its own sake, gets its try back.
pub fn change(mail: &Claimed, outcome: &Outcome, terms: &Terms<'_>) -> Change {
    let (before, tried) = (mail.attempts - 1, mail.attempts);
    let (state, attempts, wait, reply) = match outcome {
        Outcome::Sent(reply) => (MailState::Sent, tried, Duration::ZERO, reply.clone()),
        Outcome::Dead(reply) => (MailState::Dead, tried, Duration::ZERO, reply.clone()),
        Outcome::NoAddress => (MailState::Suppressed, before, Duration::ZERO, "the order has no address".into()),
        Outcome::TooOld => {
            (MailState::Suppressed, before, Duration::ZERO, "older than the maximum age of mails".into())
        }
        Outcome::Later(reply) => retried(terms, tried, reply.clone()),
        Outcome::Ambiguous(reply) => retried(terms, tried, format!("ambiguous: {reply}")),
        Outcome::Paused(_, reply) => (MailState::Due, before, terms.pause, reply.clone()),
        Outcome::GivenBack => (MailState::Due, before, Duration::ZERO, String::new()),
        Outcome::Interrupted => (MailState::Due, tried, Duration::ZERO, "ambiguous: the sender was stopped".into()),
    };
    let is_undelivered = state == MailState::Dead || *outcome == Outcome::TooOld;
    let (key, owner, claim, reply) = (mail.key, terms.owner, mail.claim, shown(&reply));
    Change { key, owner, claim, tried, state, attempts, wait, is_undelivered, reply }
}

fn retried(terms: &Terms<'_>, tried: i32, reply: String) -> (MailState, i32, Duration, String) {
    match terms.schedule.wait(tried, terms.chance) {
        Some(wait) => (MailState::Due, tried, wait, reply),
        None => (MailState::Dead, tried, Duration::ZERO, format!("given up after {tried} tries: {reply}")),
    }
}

/// A reply as the ledger keeps it: bounded, without control characters (Postgres refuses NUL).
fn shown(reply: &str) -> String {
    reply.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REPLY_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::compose::tests::mail;

    fn after(outcome: Outcome, tried: i32) -> (MailState, i32, Duration, String) {
        let schedule = "1m,5m".parse().expect("a schedule");
        let terms = Terms { owner: Uuid::nil(), schedule: &schedule, chance: 0.0, pause: Duration::from_secs(7) };
        let mail = Claimed { attempts: tried, ..mail(&["Mole"], "", "ana@example.com", "es") };
        let change = change(&mail, &outcome, &terms);
        assert_eq!(change.tried, tried);
        assert_eq!(change.is_undelivered, change.state == MailState::Dead || outcome == Outcome::TooOld);
        (change.state, change.attempts, change.wait, change.reply)
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn tries_are_counted_when_the_mail_was_tried_and_end_with_the_schedule() {
        assert_eq!(after(Outcome::Later("no".into()), 1), (MailState::Due, 1, minutes(1), "no".into()));
        assert_eq!(
            after(Outcome::Ambiguous("cut".into()), 2),
            (MailState::Due, 2, minutes(5), "ambiguous: cut".into())
        );
        let (state, tries, _, reply) = after(Outcome::Later("no".into()), 3);
        assert_eq!((state, tries, &*reply), (MailState::Dead, 3, "given up after 3 tries: no"));
    }

    #[test]
    fn a_pause_and_a_stop_use_up_no_try() {
        for pausing in [Pausing::Refused, Pausing::Limited, Pausing::Unreachable] {
            let (state, tries, wait, _) = after(Outcome::Paused(pausing, "no".into()), 2);
            assert_eq!((state, tries, wait), (MailState::Due, 1, Duration::from_secs(7)));
        }
        assert_eq!(after(Outcome::GivenBack, 2), (MailState::Due, 1, Duration::ZERO, String::new()));
    }

    #[test]
    fn what_is_not_to_be_sent_is_suppressed_and_says_why() {
        for outcome in [Outcome::NoAddress, Outcome::TooOld] {
            let (state, tries, _, reply) = after(outcome, 1);
            assert!(state == MailState::Suppressed && tries == 0 && !reply.is_empty());
        }
    }

    #[test]
    fn a_reply_is_bounded_and_holds_nothing_that_postgres_refuses() {
        let (.., reply) = after(Outcome::Dead("550 a\0b".into()), 1);
        assert_eq!(reply, "550 a b");
        assert_eq!(after(Outcome::Dead("ñ".repeat(600)), 1).3.chars().count(), 500);
    }
}
