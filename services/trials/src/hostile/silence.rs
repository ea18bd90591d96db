//! Connections that do not begin to speak, or not to an end.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::{
    frames::PREFACE,
    stage::{Bounds, Seen, Stage},
    target::Target,
    wire::Wire,
};

/// How long the preface may take, by the contract of the server; and what may be added to it.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(2);
/// How many connections of each kind.
const SILENT: usize = 400;
const HALF: usize = 100;
const SLOW: usize = 50;

/// Makes them all, at the same time.
pub async fn attack(stage: &mut Stage, target: &Target) -> Result<()> {
    let address = target.address;
    stage
        .attack("silent connections", Bounds::FLOOD, async {
            let (silent, half, slow) = tokio::try_join!(
                try_join_all((0..SILENT).map(|_| begun(address, 0))),
                try_join_all((0..HALF).map(|_| begun(address, PREFACE.len() - 1))),
                try_join_all((0..SLOW).map(|_| slow(address))),
            )?;
            let ends: Vec<_> = [silent, half, slow].concat();
            let closed = ends.iter().flatten().count();
            let longest = ends.iter().flatten().max().copied().unwrap_or_default();
            let text = format!("{closed} of {} closed, the last after {:.1} s", ends.len(), longest.as_secs_f64());
            let left = ends.len() - closed;
            Ok(Seen::from(text)
                .require(left == 0, format!("{left} were open after {PREFACE_TIMEOUT:?} and {GRACE:?} more")))
        })
        .await
}

/// Says the beginning of the preface, and no more. Tells how long the server bore it.
async fn begun(address: SocketAddr, count: usize) -> Result<Option<Duration>> {
    let (since, mut wire) = (Instant::now(), Wire::connect(address).await?);
    wire.send(&PREFACE[..count], GRACE).await;
    Ok(wire.lasts(since, PREFACE_TIMEOUT + GRACE).await)
}

/// Says the preface, one byte a second.
async fn slow(address: SocketAddr) -> Result<Option<Duration>> {
    let (since, mut wire) = (Instant::now(), Wire::connect(address).await?);
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
