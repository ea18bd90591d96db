//! Connections that do not begin to speak, or not to an end.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::{stage::Seen, target::Target};
use crate::raw::{
    frames::{PREFACE, hello},
    wire::Wire,
};

/// How long the preface may take, by the contract of the server; and what may be added to it.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(3);
/// A peer that answers no ping is gone after this.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How many connections of each kind.
const SILENT: usize = 400;
const HALF: usize = 100;
const SLOW: usize = 50;

/// Connections without a preface, with one that ends too early, and with one that comes too slowly.
pub async fn without_preface(target: &Target) -> Result<Seen> {
    let address = target.address;
    let (silent, half, slow) = tokio::try_join!(
        try_join_all((0..SILENT).map(|_| begun(address, 0))),
        try_join_all((0..HALF).map(|_| begun(address, PREFACE.len() - 1))),
        try_join_all((0..SLOW).map(|_| slow(address))),
    )?;
    let ends: Vec<_> = [silent, half, slow].concat();
    let longest = ends.iter().flatten().max().copied().unwrap_or_default();
    Ok(judged("without a preface", &ends, &format!(", the last after {:.1} s", longest.as_secs_f64())))
}

/// Connections that open properly and then say nothing more, not even in answer to a ping.
pub async fn with_preface(target: &Target) -> Result<Seen> {
    let since = Instant::now();
    let connections = (0..SLOW).map(|number| async move {
        let mut wire = Wire::connect(target.address).await?;
        let words = if number % 2 == 0 { hello(&[]) } else { PREFACE.to_vec() };
        wire.send(&words, GRACE).await;
        anyhow::Ok(wire.lasts(since, KEEPALIVE + GRACE).await)
    });
    Ok(judged("without an answer to a ping", &try_join_all(connections).await?, ""))
}

fn judged(kind: &str, ends: &[Option<Duration>], more: &str) -> Seen {
    let (all, closed) = (ends.len(), ends.iter().flatten().count());
    let seen = Seen::from(format!("{closed} of {all} {kind} closed{more}"));
    seen.require(closed == all, format!("{} connections {kind} were borne too long", all - closed))
}

/// Says the beginning of the preface, and no more. Tells how long the server bore it.
async fn begun(address: SocketAddr, count: usize) -> Result<Option<Duration>> {
    // Where hundreds connect at once, that alone may take a second.
    let (mut wire, since) = (Wire::connect(address).await?, Instant::now());
    wire.send(&PREFACE[..count], GRACE).await;
    Ok(wire.lasts(since, PREFACE_TIMEOUT + GRACE).await)
}

/// Says the preface, one byte a second. Of two words that nobody hears only the second is known to be lost.
async fn slow(address: SocketAddr) -> Result<Option<Duration>> {
    let (mut wire, since) = (Wire::connect(address).await?, Instant::now());
    for byte in PREFACE.chunks(1) {
        if !wire.send(byte, GRACE).await {
            return Ok(Some(since.elapsed()));
        }
        sleep(Duration::from_secs(1)).await;
        if since.elapsed() > PREFACE_TIMEOUT + GRACE {
            break;
        }
    }
    Ok(None)
}
