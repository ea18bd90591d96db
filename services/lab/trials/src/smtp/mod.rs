//! The trial's mail server: accepts, refuses, falls silent or hangs up in any phase of the conversation. Each message that it has read to the
//! end goes into the history, with the answer.

mod mode;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use comanda_checker::history::What;
use comanda_lab_smtp::{Action, Behaviour, Message, Server, Silence};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

pub use self::mode::{Mode, PHASES, REFUSALS_OF_THE_PACE, REFUSALS_OF_US};
use crate::recorder::Recorder;
pub use comanda_lab_smtp::{Dialect, Phase};

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct SmtpServer {
    server: Server,
    mode: watch::Sender<Mode>,
}

impl SmtpServer {
    /// Listens on a free port of this machine. `seed` is that of a mixed mode's choices.
    pub async fn start(recorder: Recorder, seed: u64) -> Result<Self> {
        let mode = watch::Sender::new(Mode::Accept);
        let rng = Mutex::new(StdRng::seed_from_u64(seed));
        let treatment = Treatment { mode: mode.subscribe(), recorder, rng };
        let server = Server::start(Arc::new(treatment)).await.context("no free port for the trial's mail server")?;
        Ok(Self { server, mode })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Treats clients so from now on. Connections that were left silent are closed.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How it treats clients now.
    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Hangs up on every client and waits until nothing is under way.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

struct Treatment {
    mode: watch::Receiver<Mode>,
    recorder: Recorder,
    rng: Mutex<StdRng>,
}

impl Treatment {
    fn chance(&self) -> f64 {
        self.rng.lock().expect("no holder panics").random()
    }
}

impl Behaviour for Treatment {
    fn action(&self, phase: Phase, _line: &str) -> Action {
        self.mode.borrow().action(phase, self.chance())
    }

    fn written(&self, reply: &str) -> Vec<u8> {
        self.mode.borrow().dialect().written(reply)
    }

    fn cuts_message(&self) -> bool {
        self.mode.borrow().cuts_message(self.chance())
    }

    /// Before the answer is sent: what a client knows must be in the history.
    fn received(&self, message: Message, _is_accepted: bool, reply: u16) {
        let message_id = message.find_header("Message-ID").unwrap_or_default();
        self.recorder.record(What::Mail { message_id, recipients: message.to, reply });
    }

    fn silence(&self) -> Silence<'_> {
        let mut mode = self.mode.clone();
        mode.mark_unchanged();
        Box::pin(async move {
            // An error means that the server is gone.
            let _ = mode.changed().await;
        })
    }
}

#[cfg(test)]
mod tests;
