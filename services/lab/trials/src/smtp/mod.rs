//! A mail server that does as it is told: accepts, refuses, falls silent or hangs up in any phase of the conversation. Each message
//! that it has read to the end goes into the history, with what was answered.

mod conversation;
mod message;
mod mode;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::conversation::Conversation;
pub use self::mode::{Action, Mode, Phase};
use crate::recorder::Recorder;

/// Connections that are served at once; further ones wait to be accepted.
const CONNECTIONS: usize = 256;

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct SmtpServer {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl SmtpServer {
    /// Listens on a free port of this machine. `seed` is that of a mixed mode's choices.
    pub async fn start(recorder: Recorder, seed: u64) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port for the trial's mail server")?;
        let (address, mode) = (listener.local_addr()?, watch::Sender::new(Mode::Accept));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let host = Host { listener, mode: mode.subscribe(), recorder, rng: StdRng::seed_from_u64(seed) };
        tasks.spawn(stop.clone().run_until_cancelled_owned(host.serve()));
        Ok(Self { address, mode, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Treats clients so from now on. Connections that were left silent are closed.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How it treats clients now.
    pub fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Hangs up on everybody and waits until nothing is under way.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Host {
    listener: TcpListener,
    mode: watch::Receiver<Mode>,
    recorder: Recorder,
    rng: StdRng,
}

impl Host {
    /// Serves for ever; conversations end with it.
    async fn serve(mut self) {
        let (mut conversations, places) = (JoinSet::new(), Arc::new(Semaphore::new(CONNECTIONS)));
        loop {
            let place = places.clone().acquire_owned().await.expect("never closed");
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let conversation = self.conversation(stream);
                    conversations.spawn(async move {
                        // An error is how a conversation ends.
                        _ = conversation.hold().await;
                        drop(place);
                    });
                }
                Err(error) => {
                    eprintln!("the trial's mail server can not accept: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while conversations.try_join_next().is_some() {}
        }
    }

    fn conversation(&mut self, stream: TcpStream) -> Conversation {
        Conversation {
            stream: BufReader::new(stream),
            mode: self.mode.clone(),
            recorder: self.recorder.clone(),
            rng: StdRng::from_rng(&mut self.rng),
            recipients: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
