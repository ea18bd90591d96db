//! What becomes of a mail after a try: pure decisions, no I/O.
//!
//! In: the phase of SMTP that failed, and how. Out: the mail's next step in the ledger. Refusals of a single mail kill that mail;
//! refusals of us as a sender must not (one wrong password would kill a backlog), so they pause the transport instead.

use std::time::Duration;

use comanda_proto::v1::MailState;
use uuid::Uuid;

use super::{
    row::{Change, Claimed},
    schedule::Schedule,
};

/// The longest `last_reply`, in characters.
const REPLY_CHARS: usize = 500;

/// Where a conversation with a mail server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connection, greeting, EHLO.
    Connect,
    /// STARTTLS and the EHLO after it.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, up to the server's 354.
    Data,
    /// The message and its final dot.
    Dot,
}

/// How a phase failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server said no.
    Reply(u16, String),
    /// No answer, a broken connection, or an answer that makes no sense.
    Network(String),
    /// The server can not do what the settings demand: no STARTTLS, a wrong certificate, no login that we know.
    Unfit(String),
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Self::Reply(code, text) => format!("{code} {text}"),
            Self::Network(text) | Self::Unfit(text) => text.clone(),
        }
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Self::Reply(500..=599, _) | Self::Unfit(_))
    }
}

/// Why nothing can be sent for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server refuses us; somebody must change something.
    Refused,
    /// The server can not be reached, or is busy.
    Unreachable,
}

/// What a try came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has taken it.
    Sent(String),
    /// It will never be taken.
    Dead(String),
    /// There is no address any more.
    NoAddress,
    /// It was never tried within the maximum age.
    TooOld,
    /// It was not taken this time.
    Later(String),
    /// Whether it was taken is unknown.
    Ambiguous(String),
    /// Nothing was tried: the transport does not work.
    Paused(Cause, String),
    /// Nothing was tried: we are stopping.
    GivenBack,
    /// We are stopping while the server's answer is awaited.
    Interrupted,
}

/// What a failure in a phase means.
pub fn outcome(phase: Phase, failure: &Failure) -> Outcome {
    let text = failure.text();
    match (phase, failure.is_refusal()) {
        (Phase::Connect | Phase::StartTls | Phase::Auth | Phase::Mail, true) => Outcome::Paused(Cause::Refused, text),
        (Phase::Connect | Phase::StartTls | Phase::Auth, false) => Outcome::Paused(Cause::Unreachable, text),
        (Phase::Rcpt | Phase::Data | Phase::Dot, true) => Outcome::Dead(text),
        (Phase::Dot, false) if !matches!(failure, Failure::Reply(..)) => Outcome::Ambiguous(text),
        (Phase::Mail | Phase::Rcpt | Phase::Data | Phase::Dot, false) => Outcome::Later(text),
    }
}

/// What a change needs to know beside the mail and its outcome.
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

/// The change that an outcome leads to. A mail that was not tried gets its try back.
pub fn change(mail: &Claimed, outcome: &Outcome, terms: &Terms<'_>) -> Change {
    let (before, tried) = (mail.attempts - 1, mail.attempts);
    let (state, attempts, wait, reply) = match outcome {
        Outcome::Sent(reply) => (MailState::Sent, tried, Duration::ZERO, reply.clone()),
        Outcome::Dead(reply) => (MailState::Dead, tried, Duration::ZERO, reply.clone()),
        Outcome::NoAddress => (MailState::Suppressed, before, Duration::ZERO, "the order has no address".into()),
        Outcome::TooOld => (MailState::Suppressed, before, Duration::ZERO, "too old to be sent by itself".into()),
        Outcome::Later(reply) => retried(terms, tried, reply.clone()),
        Outcome::Ambiguous(reply) => retried(terms, tried, format!("ambiguous: {reply}")),
        Outcome::Paused(_, reply) => (MailState::Due, before, terms.pause, reply.clone()),
        Outcome::GivenBack => (MailState::Due, before, Duration::ZERO, String::new()),
        Outcome::Interrupted => {
            (MailState::Due, tried, Duration::ZERO, "ambiguous: the sender was stopped".into())
        }
    };
    let is_undelivered = state == MailState::Dead || matches!(outcome, Outcome::TooOld);
    let reply = shown(&reply, &mail.contact.email);
    Change { key: mail.key, owner: terms.owner, tried, state, attempts, wait, is_undelivered, reply }
}

fn retried(terms: &Terms<'_>, tried: i32, reply: String) -> (MailState, i32, Duration, String) {
    match terms.schedule.wait(tried, terms.chance) {
        Some(wait) => (MailState::Due, tried, wait, reply),
        None => (MailState::Dead, tried, Duration::ZERO, format!("given up after {tried} tries: {reply}")),
    }
}

/// A reply as the ledger keeps it: bounded, without control characters (Postgres refuses NUL) and without the address, which may
/// not leave ordering's table.
fn shown(reply: &str, address: &str) -> String {
    let hidden = if address.is_empty() { reply.into() } else { reply.replace(address, "(recipient)") };
    hidden.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REPLY_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use comanda_proto::views::ContactRow;

    use super::*;

    const BEFORE_THE_MAIL: [Phase; 3] = [Phase::Connect, Phase::StartTls, Phase::Auth];

    fn no(code: u16) -> Failure {
        Failure::Reply(code, "no".into())
    }

    fn silence() -> Failure {
        Failure::Network("silence".into())
    }

    #[test]
    fn a_refusal_of_ourselves_pauses_the_transport() {
        for phase in BEFORE_THE_MAIL.into_iter().chain([Phase::Mail]) {
            assert_eq!(outcome(phase, &no(535)), Outcome::Paused(Cause::Refused, "535 no".into()));
            assert!(matches!(outcome(phase, &Failure::Unfit("no".into())), Outcome::Paused(Cause::Refused, _)));
        }
    }

    #[test]
    fn a_server_that_can_not_be_talked_to_pauses_the_transport_for_a_shorter_time() {
        for (phase, failure) in BEFORE_THE_MAIL.into_iter().flat_map(|phase| [(phase, silence()), (phase, no(421))]) {
            assert!(matches!(outcome(phase, &failure), Outcome::Paused(Cause::Unreachable, _)));
        }
    }

    #[test]
    fn a_refusal_of_the_mail_kills_it_and_a_delay_delays_it() {
        for phase in [Phase::Rcpt, Phase::Data, Phase::Dot] {
            assert_eq!(outcome(phase, &no(550)), Outcome::Dead("550 no".into()));
            assert_eq!(outcome(phase, &no(451)), Outcome::Later("451 no".into()));
        }
        assert_eq!(outcome(Phase::Mail, &no(451)), Outcome::Later("451 no".into()));
    }

    #[test]
    fn only_silence_after_the_message_is_ambiguous() {
        for phase in [Phase::Mail, Phase::Rcpt, Phase::Data] {
            assert!(matches!(outcome(phase, &silence()), Outcome::Later(_)));
        }
        assert_eq!(outcome(Phase::Dot, &silence()), Outcome::Ambiguous("silence".into()));
    }

    fn mail(attempts: i32) -> Claimed {
        let (order_id, text) = (Uuid::nil(), String::new);
        let contact = ContactRow {
            order_id,
            number: 1,
            customer_name: text(),
            email: "ana@example.com".into(),
            locale: text(),
            tenant: "default".into(),
            content: Vec::new(),
            workflow: text(),
            workflow_revision: 1,
        };
        let key = super::super::row::Key { order_id, version: 1, copy: 0 };
        Claimed { key, status: text(), attempts, next_try_time: time::OffsetDateTime::UNIX_EPOCH, is_too_old: false, contact }
    }

    fn after(outcome: Outcome, tried: i32) -> ((MailState, i32), Duration, String) {
        let schedule = "1m,5m".parse().expect("a schedule");
        let terms = Terms { owner: Uuid::nil(), schedule: &schedule, chance: 0.0, pause: Duration::from_secs(7) };
        let change = change(&mail(tried), &outcome, &terms);
        assert_eq!(change.tried, tried);
        ((change.state, change.attempts), change.wait, change.reply)
    }

    #[test]
    fn tries_are_counted_when_the_mail_was_tried_and_end_with_the_schedule() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let (to, wait, _) = after(Outcome::Later("no".into()), 1);
        assert_eq!((to, wait), ((MailState::Due, 1), minutes(1)));
        let (to, wait, reply) = after(Outcome::Ambiguous("cut".into()), 2);
        assert_eq!((to, wait, &*reply), ((MailState::Due, 2), minutes(5), "ambiguous: cut"));
        let (to, _, reply) = after(Outcome::Later("no".into()), 3);
        assert_eq!((to, &*reply), ((MailState::Dead, 3), "given up after 3 tries: no"));
    }

    #[test]
    fn a_pause_and_a_stop_use_up_no_try() {
        let (to, wait, _) = after(Outcome::Paused(Cause::Refused, "535".into()), 2);
        assert_eq!((to, wait), ((MailState::Due, 1), Duration::from_secs(7)));
        let (to, ..) = after(Outcome::GivenBack, 2);
        assert_eq!(to, (MailState::Due, 1));
    }

    #[test]
    fn the_address_stays_out_of_the_reply() {
        let (.., reply) = after(Outcome::Dead("550 <ana@example.com>\0 unknown".into()), 1);
        assert_eq!(reply, "550 <(recipient)>  unknown");
        let (.., reply) = after(Outcome::Dead("x".repeat(600)), 1);
        assert_eq!(reply.len(), 500);
    }
}
