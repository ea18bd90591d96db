//! One connection: what comes in at one end, late, slow, not at all or not whole at the other.

use std::{io, time::Duration};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    manners::{Manners, Way},
    seeker::Seeker,
};

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;
/// Pieces that may be under way, each way. A sender that is ahead of them waits, as behind a full window.
const UNDER_WAY: usize = 64;
/// Between the writes of a throttled connection.
const DRIP: Duration = Duration::from_millis(50);

/// Relays until both sides have closed, or one broke, or the connection is to be cut: then both ends are reset.
pub(super) async fn relay(
    mut near: TcpStream,
    mut far: TcpStream,
    set: &watch::Sender<Manners>,
    open: &CancellationToken,
    seed: u64,
) {
    // Fails only where the other side has gone already.
    _ = (near.set_nodelay(true), far.set_nodelay(true));
    let closed = {
        let (near_reads, near_writes) = near.split();
        let (far_reads, far_writes) = far.split();
        let there = Pump::new(Way::ToServer, set, seed).run(near_reads, far_writes);
        let back = Pump::new(Way::ToClient, set, !seed).run(far_reads, near_writes);
        tokio::select! {
            () = open.cancelled() => false,
            ended = async { tokio::try_join!(there, back) } => ended.is_ok(),
        }
    };
    if !closed {
        _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

/// One direction of a connection.
struct Pump {
    way: Way,
    manners: watch::Receiver<Manners>,
    random: Xoshiro256PlusPlus,
    seeker: Seeker,
}

/// What is under way.
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    /// Behind it the connection is cut.
    last: bool,
}

impl Pump {
    fn new(way: Way, set: &watch::Sender<Manners>, seed: u64) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self { way, manners: set.subscribe(), random, seeker: Seeker::default() }
    }

    async fn run(self, from: impl AsyncRead + Unpin, to: impl AsyncWrite + Unpin) -> io::Result<()> {
        let (sender, under_way) = mpsc::channel(UNDER_WAY);
        let (way, manners) = (self.way, self.manners.clone());
        tokio::try_join!(self.take(from, sender), give(way, manners, under_way, to))?;
        Ok(())
    }

    /// Reads until the sender has closed.
    async fn take(mut self, mut from: impl AsyncRead + Unpin, under_way: mpsc::Sender<Piece>) -> io::Result<()> {
        let mut due = Instant::now();
        loop {
            wait_for_mending(&mut self.manners, self.way).await;
            let mut bytes = vec![0; PIECE];
            let length = from.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            bytes.truncate(length);
            due = due.max(Instant::now() + self.delay());
            let cut = self.cut(&bytes);
            bytes.truncate(cut.unwrap_or(length));
            // Nobody takes it any more: the other half has failed and ends both.
            _ = under_way.send(Piece { due, bytes, last: cut.is_some() }).await;
        }
    }

    fn delay(&mut self) -> Duration {
        let manners = self.manners.borrow();
        let jitter_us = manners.jitter.as_micros() as u64;
        manners.latency + Duration::from_micros(self.random.random_range(0..=jitter_us))
    }

    fn cut(&mut self, bytes: &[u8]) -> Option<usize> {
        let manners = self.manners.borrow();
        let cut = manners.cut.as_ref().filter(|cut| cut.way == self.way)?;
        self.seeker.find(bytes, cut, || self.random.random_range(0..100) < cut.percent)
    }
}

/// Hands on what is due.
async fn give(
    way: Way,
    mut manners: watch::Receiver<Manners>,
    mut under_way: mpsc::Receiver<Piece>,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(Piece { due, bytes, last }) = under_way.recv().await {
        // A timer of no length lasts up to two milliseconds.
        if Instant::now() < due {
            sleep_until(due).await;
        }
        write_slowly(way, &mut manners, &bytes, &mut to).await?;
        if last {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
    wait_for_mending(&mut manners, way).await;
    to.shutdown().await
}

async fn write_slowly(
    way: Way,
    manners: &mut watch::Receiver<Manners>,
    mut bytes: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    while !bytes.is_empty() {
        wait_for_mending(manners, way).await;
        let rate = manners.borrow().bytes_per_second;
        let length = rate.map_or(bytes.len(), |rate| drop_size(rate).min(bytes.len()));
        to.write_all(&bytes[..length]).await?;
        bytes = &bytes[length..];
        if let Some(rate) = rate {
            sleep(Duration::from_secs_f64(length as f64 / rate.max(1) as f64)).await;
        }
    }
    Ok(())
}

/// Bytes that a throttled connection may write at once.
fn drop_size(bytes_per_second: u64) -> usize {
    ((bytes_per_second as f64 * DRIP.as_secs_f64()) as usize).max(1)
}

async fn wait_for_mending(manners: &mut watch::Receiver<Manners>, way: Way) {
    // Fails only when the link is gone, which ends its connections by itself.
    _ = manners.wait_for(|manners| !manners.swallows(way)).await;
}
