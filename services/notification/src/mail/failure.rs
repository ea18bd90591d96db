//! How a step of handing in a mail can fail.

use super::reply::Reply;

/// The steps of a conversation with a mail server.
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

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server refused.
    Reply(Reply),
    /// No answer, a broken connection, or an answer that makes no sense.
    Network(String),
    /// The server cannot do what the settings demand: no STARTTLS, a wrong certificate, no login that we know.
    Unfit(String),
    /// The server cannot take this mail at all: it is too large, or its address needs an extension that the server lacks.
    Impossible(String),
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub phase: Phase,
    pub cause: Cause,
}

impl Failure {
    /// A step that got no sensible answer.
    pub fn network(phase: Phase, text: impl ToString) -> Self {
        Self { phase, cause: Cause::Network(text.to_string()) }
    }

    /// A reply that is not the one that the step needs.
    pub fn reply(phase: Phase, reply: Reply) -> Self {
        match reply.code {
            400.. => Self { phase, cause: Cause::Reply(reply) },
            _ => Self::network(phase, format!("unexpected reply in phase {phase:?}: {}", reply.text())),
        }
    }

    /// Whether the server refused this mail, and not the connection.
    pub fn is_refusal_of_mail(&self) -> bool {
        let before = [Phase::Connect, Phase::StartTls, Phase::Auth];
        matches!(self.cause, Cause::Reply(_)) && !before.contains(&self.phase)
    }

    /// The same with other texts.
    pub fn map_text(self, map: impl Fn(&str) -> String) -> Self {
        let cause = match self.cause {
            Cause::Reply(reply) => Cause::Reply(reply.map_lines(map)),
            Cause::Network(text) => Cause::Network(map(&text)),
            Cause::Unfit(text) => Cause::Unfit(map(&text)),
            Cause::Impossible(text) => Cause::Impossible(map(&text)),
        };
        Self { cause, ..self }
    }

    /// What the server or the system said.
    pub fn text(&self) -> String {
        match &self.cause {
            Cause::Reply(reply) => reply.text(),
            Cause::Network(text) | Cause::Unfit(text) | Cause::Impossible(text) => text.clone(),
        }
    }
}
