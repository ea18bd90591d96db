//! More calls than are allowed, and calls that never end.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;

use super::{
    stage::{Bounds, Seen, Stage},
    target::Target,
};
use crate::raw::{
    frames::{DATA, HEADERS, call, claimed, frame, hello},
    wire::{Answers, Wire},
};

/// Far more than one connection may have.
const TOO_MANY: u32 = 2000;
/// What one connection may have, by the contract of the server.
const MOST: u32 = 256;
/// How long a call may take until it is answered, by the contract of the server; and what may be added to it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(3);
const REFUSED_STREAM: u32 = 7;

/// Makes the attack that lasts no time.
pub async fn attack(stage: &mut Stage, target: &Target) -> Result<()> {
    stage.attack("more streams than allowed", Bounds::FLOOD, too_many(target)).await
}

/// Those beyond the bound are refused, or the connection is.
async fn too_many(target: &Target) -> Result<Seen> {
    let answers = open(target, TOO_MANY, Duration::from_secs(2)).await?;
    let refused = answers.resets.get(&REFUSED_STREAM).copied().unwrap_or(0);
    let bounded = answers.closed || refused + MOST as usize >= TOO_MANY as usize;
    Ok(Seen::from(answers.to_string()).require(bounded, format!("only {refused} of {TOO_MANY} streams were refused")))
}

/// Calls whose message never comes whole, as many as some connections may have: they must not keep others out for ever.
pub async fn unfinished(target: &Target) -> Result<Seen> {
    let connections = (0..4).map(|_| open(target, MOST, ANSWER_TIMEOUT + GRACE));
    let all = try_join_all(connections).await?;
    let ended: usize = all.iter().map(ended).sum();
    let opened = all.len() * MOST as usize;
    let seen = Seen::from(format!("{ended} of {opened} unfinished calls ended"));
    Ok(seen.require(
        ended >= opened,
        format!("{} of {opened} calls that say nothing are still open", opened.saturating_sub(ended)),
    ))
}

fn ended(answers: &Answers) -> usize {
    if answers.closed { MOST as usize } else { answers.count(HEADERS).max(answers.resets.values().sum()) }
}

/// Opens so many calls, of which none gets its message.
async fn open(target: &Target, count: u32, lasts: Duration) -> Result<Answers> {
    let mut wire = Wire::connect(target.address).await?;
    let begun = |number: u32| {
        let stream = 2 * number + 1;
        [call(stream, target.path(), 0), frame(DATA, 0, stream, &claimed(100))].concat()
    };
    let bytes = [hello(&[]), (0..count).flat_map(begun).collect()].concat();
    wire.send(&bytes, Duration::from_secs(5)).await;
    Ok(wire.read(lasts).await)
}
