//! The memory of streams on which nothing happens.

use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::{WatchArgs, streams::Streams};
use crate::{
    cost::{Meter, rss_bytes},
    report::{Better, Run},
    stage::Stage,
};

const POLL: Duration = Duration::from_millis(250);
/// It rests once it has not moved by more than a thousandth for so long.
const REST: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);
const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub(super) async fn measure(
    stage: &Stage,
    args: &WatchArgs,
    ids: &[String],
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<()> {
    let address = stage.address("notification")?;
    // What is allocated once, at the first stream, is no stream's.
    drop(Streams::open(address, &ids[..1], 1).await?);
    let before = settled(stage).await?;
    let (meter, started) = (Meter::read(stage).await?, Instant::now());
    bar.set_message("opening streams");
    let streams = Streams::open(address, ids, args.per_connection).await?;
    run.figure("streams opened/s", "1/s", ids.len() as f64 / started.elapsed().as_secs_f64(), Better::Higher);
    bar.set_message("waiting until memory rests");
    let after = settled(stage).await?;
    run.figure("RSS of notification before", "MiB", before / MEBIBYTE, Better::Neither);
    run.figure("RSS of notification with all streams", "MiB", after / MEBIBYTE, Better::Lower);
    run.figure("memory of a stream", "B", (after - before) / ids.len() as f64, Better::Lower);
    meter.spent(stage, run).await?;
    let broken = streams.receipts.broken.load(std::sync::atomic::Ordering::Relaxed);
    run.check("streams that broke", broken == 0, broken.to_string());
    Ok(())
}

/// Resident bytes of notification, once they rest.
async fn settled(stage: &Stage) -> Result<f64> {
    let (started, mut rested, mut before) = (Instant::now(), Instant::now(), 0.0_f64);
    loop {
        let now = rss_bytes(stage, "notification")? as f64;
        if (now - before).abs() > before / 1000.0 {
            (rested, before) = (Instant::now(), now);
        }
        if rested.elapsed() >= REST {
            return Ok(now);
        }
        if started.elapsed() > PATIENCE {
            bail!("the memory of notification does not rest within {PATIENCE:?}");
        }
        sleep(POLL).await;
    }
}
