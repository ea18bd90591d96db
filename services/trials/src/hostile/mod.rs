//! Clients that mean harm, against one running replica: thousands of bad calls, and attacks below gRPC, on plain sockets with
//! hand-made HTTP/2. Beside them a good client goes on calling.
//!
//! What must hold: the process lives and does not panic; what is protobuf is never answered INTERNAL or UNKNOWN; the good client is
//! served; memory stays within bounds and comes back; connections that say nothing are closed in time.

mod bad_calls;
mod flood;
mod frames;
mod good;
mod message;
mod methods;
mod patience;
mod process;
mod raw;
mod report;
mod silence;
mod stage;
mod streams;
mod target;
mod unread;
mod wire;
mod wrong;

use std::net::SocketAddr;

use anyhow::Result;

pub use self::{
    good::Served,
    report::{Report, Row},
};
use self::{process::Process, stage::Stage, target::Target};

/// Enough bad calls for most mistakes.
pub const BAD_CALLS: u64 = 20_000;
/// Bad calls before memory is measured: what a process needs at all, it has then.
const WARM_UP_CALLS: u64 = 3000;

/// Attacks the replica that listens at `address`, whose process is `pid`, for about two minutes. `seed` determines the bad calls.
///
/// Fails where nothing is served there; what the replica did wrong is in the report.
pub async fn run(address: SocketAddr, pid: u32, seed: u64, bad_calls: u64) -> Result<Report> {
    let (target, process) = (Target::ask(address).await?, Process::of(pid)?);
    bad_calls::run(&target, WARM_UP_CALLS, !seed).await?;
    let mut stage = Stage::new(&target, process);
    stage.bad_calls(&target, bad_calls, seed).await?;
    message::attack(&mut stage, &target).await?;
    flood::attack(&mut stage, &target).await?;
    wrong::attack(&mut stage, &target, seed).await?;
    streams::attack(&mut stage, &target).await?;
    patience::attack(&mut stage, &target).await?;
    Ok(stage.close())
}
