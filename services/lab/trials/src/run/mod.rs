//! A run: a cluster, clients, faults; then rest, and everything that is left.

mod profile;
mod progress;
mod rest;
mod revoked;
mod scenario;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_checker::history::What;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

pub use profile::{Options, binary, calm, quick, random};
pub use rest::{ALL_TOLD_S, Waiting};
pub use scenario::{Least, Scenario};

use self::progress::Progress;
use crate::{
    cluster::{Cluster, Folder},
    dump,
    nemesis::{self, Field},
    recorder::Recorder,
    smtp::SmtpServer,
    workload::Workload,
};

/// Clients at work before the first fault, so that there is something to compare with.
const WARM_UP: Duration = Duration::from_secs(5);
/// Clients at work after the last fault.
const COOL_DOWN: Duration = Duration::from_secs(5);

/// The file that holds what happened.
pub const HISTORY: &str = "history.jsonl";
/// The file that holds what was left.
pub const DUMP: &str = "dump.jsonl";

/// Runs a scenario and leaves its history in a folder. An error means that it could not be run, and nothing about the system.
/// Logs and data are in `folder` until that is dropped. Clients work at least until `act` is done, which must not keep the field.
pub async fn run(
    scenario: &Scenario,
    folder: &Folder,
    output: &Path,
    act: impl AsyncFnOnce(Arc<Field>) -> Result<()>,
) -> Result<()> {
    let progress = Progress::start();
    progress.phase("starting");
    let recorder = Recorder::create(&output.join(HISTORY))?;
    recorder.record(What::Run(scenario.run()));
    let smtp = SmtpServer::start(recorder.clone(), scenario.seed).await?;
    let cluster = Cluster::start(scenario.shape.clone(), smtp.address(), folder, &recorder).await?;
    let field = Arc::new(Field { cluster, smtp, recorder: recorder.clone() });
    let workload = under_fire(scenario, &field, &progress, act).await?;
    settle(&field, workload, &progress, scenario).await?;
    progress.phase("reading what is left");
    let remains = recorder.beside(&output.join(DUMP))?;
    dump::everything(&field.cluster.endpoints, &remains).await?;
    progress.phase("stopping");
    let Field { cluster, smtp, .. } = Arc::into_inner(field).context("a fault outlived the nemesis")?;
    cluster.stop().await?;
    smtp.stop().await;
    remains.flush().await?;
    recorder.flush().await
}

/// Clients and faults together, until the last fault is healed and clients start nothing new.
async fn under_fire(
    scenario: &Scenario,
    field: &Arc<Field>,
    progress: &Progress,
    act: impl AsyncFnOnce(Arc<Field>) -> Result<()>,
) -> Result<Workload> {
    progress.phase("under fire");
    let (stop, recorder) = (CancellationToken::new(), &field.recorder);
    let endpoints = &field.cluster.endpoints;
    let workload = Workload::start(endpoints, scenario.workload.clone(), recorder.clone(), scenario.seed, &stop)?;
    let faults = async {
        sleep(WARM_UP).await;
        nemesis::carry_out(scenario.faults.clone(), field.clone(), stop.clone()).await;
        sleep(COOL_DOWN).await;
    };
    let all = async { tokio::join!(faults, sleep(scenario.length), act(field.clone())).2 };
    tokio::select! {
        acted = all => acted?,
        () = show(recorder, progress) => {}
        () = revoked::show_keys(field) => {}
    }
    workload.stop_new();
    recorder.record(What::LastHeal);
    Ok(workload)
}

async fn show(recorder: &Recorder, progress: &Progress) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        progress.show(recorder, "");
    }
}

/// Waits until all is at rest, or stuck, and sends the clients home.
async fn settle(field: &Field, workload: Workload, progress: &Progress, scenario: &Scenario) -> Result<()> {
    progress.phase("coming to rest");
    let Field { cluster, recorder, .. } = field;
    match rest::come_to_rest(cluster, recorder, progress, scenario).await {
        Ok(()) => recorder.record(What::Drained),
        Err(state) => recorder.record(What::Stuck { state }),
    }
    progress.phase("waiting for the clients");
    workload.join().await;
    Ok(())
}
