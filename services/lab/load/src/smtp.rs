//! A mail server that remembers only which mails it accepted; and the same conversation from the other side, as a measure of what this
//! machine can do.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use comanda_lab_smtp::{Action, Behaviour, Message, Phase, Server, Silence};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

/// How it treats mails.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// How long it takes to accept a message.
    pub delay: Duration,
    /// How many of a hundred messages are put off with a 451 at their first try.
    pub refused_percent: u64,
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    _server: Server,
}

#[derive(Debug, Default)]
struct State {
    manners: Manners,
    offered: AtomicU64,
    /// How often each Message-ID was accepted.
    accepted: Mutex<HashMap<String, u32>>,
}

impl Sink {
    /// Listens on a free port of this machine.
    pub async fn start(manners: Manners) -> Result<Self> {
        let state = Arc::new(State { manners, ..State::default() });
        let server = Server::start(state.clone()).await.context("no free port for a mail server")?;
        Ok(Self { address: server.address(), state, _server: server })
    }

    /// How many different mails were accepted, and how many of them more than once.
    pub fn accepted(&self) -> (u64, u64) {
        let accepted = self.state.accepted.lock().expect("no holder panics");
        (accepted.len() as u64, accepted.values().filter(|times| **times > 1).count() as u64)
    }
}

impl Behaviour for State {
    fn action(&self, phase: Phase, _line: &str) -> Action {
        let is_refused = |offered: u64| offered % 100 < self.manners.refused_percent;
        if phase == Phase::Dot && is_refused(self.offered.fetch_add(1, Relaxed)) {
            return Action::reply("451 later");
        }
        Action::Consent
    }

    fn received(&self, message: Message, is_accepted: bool, _reply: u16) {
        if is_accepted {
            let message_id = message.find_header("Message-ID").unwrap_or_default();
            *self.accepted.lock().expect("no holder panics").entry(message_id).or_default() += 1;
        }
    }

    fn before_answer(&self) -> Silence<'_> {
        Box::pin(async {
            if !self.manners.delay.is_zero() {
                sleep(self.manners.delay).await;
            }
        })
    }
}

/// Sends mails of `bytes` bytes over `connections` connections for `duration`, one after the other and at least one on each. Returns how many a
/// second were accepted.
pub async fn source(address: SocketAddr, connections: usize, bytes: usize, duration: Duration) -> Result<f64> {
    let (sent, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut senders = JoinSet::new();
    for n in 0..connections {
        let sent = sent.clone();
        senders.spawn(async move { send_until(address, n, bytes, started + duration, &sent).await });
    }
    while let Some(ended) = senders.join_next().await {
        ended??;
    }
    Ok(sent.load(Relaxed) as f64 / started.elapsed().as_secs_f64())
}

async fn send_until(address: SocketAddr, n: usize, bytes: usize, end: Instant, sent: &AtomicU64) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    ask(&mut stream, b"", b"220").await?;
    stream.write_all(b"EHLO source\r\n").await?;
    ask(&mut stream, b"", b"250-").await?;
    ask(&mut stream, b"", b"250-").await?;
    ask(&mut stream, b"", b"250 ").await?;
    let body = "x".repeat(70) + "\r\n";
    let body = body.repeat(bytes / body.len());
    for count in 0.. {
        ask(&mut stream, b"MAIL FROM:<a@example.com>\r\n", b"250").await?;
        ask(&mut stream, b"RCPT TO:<b@example.com>\r\n", b"250").await?;
        ask(&mut stream, b"DATA\r\n", b"354").await?;
        let message = format!("Message-ID: <{n}.{count}@source>\r\n\r\n{body}.\r\n");
        ask(&mut stream, message.as_bytes(), b"250").await?;
        sent.fetch_add(1, Relaxed);
        if Instant::now() >= end {
            break;
        }
    }
    ask(&mut stream, b"QUIT\r\n", b"221").await
}

async fn ask(stream: &mut BufReader<TcpStream>, command: &[u8], wanted: &[u8]) -> io::Result<()> {
    stream.write_all(command).await?;
    let mut reply = Vec::new();
    stream.read_until(b'\n', &mut reply).await?;
    if reply.starts_with(wanted) { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&reply))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_mail_is_counted_once_by_its_message_id() {
        let sink = Sink::start(Manners::default()).await.expect("a free port");
        let rate = source(sink.address, 2, 2000, Duration::from_millis(100)).await.expect("accepted");
        let (accepted, repeated) = sink.accepted();
        assert!(rate > 0.0 && accepted > 0, "{rate}");
        assert_eq!(repeated, 0);
        source(sink.address, 1, 2000, Duration::from_millis(1)).await.expect("accepted");
        assert!(sink.accepted().1 >= 1, "the first mail of the first connection, again");
    }

    #[tokio::test]
    async fn refusals_are_answers_too() {
        let manners = Manners { refused_percent: 100, ..Manners::default() };
        let sink = Sink::start(manners).await.expect("a free port");
        let refused = source(sink.address, 1, 2000, Duration::from_millis(10)).await.expect_err("put off");
        assert!(refused.to_string().contains("451"), "{refused}");
        assert_eq!(sink.accepted().0, 0);
    }
}
