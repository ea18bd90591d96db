//! What decides how a server treats its clients.

use std::{
    future::{Future, pending},
    pin::Pin,
};

use crate::{Action, Message, Phase};

/// How long a silence lasts.
pub type Silence<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// How a server treats its clients. Everything has a default: a server that accepts what it gets.
pub trait Behaviour: Send + Sync + 'static {
    /// A client has connected.
    fn connected(&self) {}

    /// A client has sent a command.
    fn commanded(&self, _line: &str) {}

    /// What to do in a phase. `line` is the client's command; empty for the greeting and the final dot.
    fn action(&self, _phase: Phase, _line: &str) -> Action {
        Action::Consent
    }

    /// What EHLO offers.
    fn offers(&self) -> Vec<String> {
        ["8BITMIME", "SMTPUTF8"].map(str::to_owned).into()
    }

    /// A message was read to its final dot: whether it was accepted, and the code of the reply (0 for none), which is sent afterwards.
    fn received(&self, _message: Message, _is_accepted: bool, _reply: u16) {}

    /// Whether to close the connection in the middle of this message.
    fn cuts_message(&self) -> bool {
        false
    }

    /// Runs before a message is answered.
    fn before_answer(&self) -> Silence<'_> {
        Box::pin(std::future::ready(()))
    }

    /// Ends when a silent connection is to be closed.
    fn silence(&self) -> Silence<'_> {
        Box::pin(pending())
    }

    /// A reply, whose lines have CRLF between them, as it goes over the wire.
    fn written(&self, reply: &str) -> Vec<u8> {
        format!("{reply}\r\n").into_bytes()
    }
}
