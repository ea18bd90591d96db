//! A mail server (RFC 5321) for tests, trials and benchmarks. A [`Behaviour`] decides what it answers in each phase of a conversation and
//! keeps what it needs of the messages; [`Script`] is the one for tests, with dialects and faults by phase.

mod action;
mod behaviour;
mod conversation;
mod message;
mod script;
mod server;

pub use self::{
    action::{Action, Phase},
    behaviour::{Behaviour, Silence},
    message::Message,
    script::{Dialect, Script, ScriptedServer},
    server::Server,
};
