//! Breaks the system in many ways, by a plan that follows from a seed, and mends it again.

mod attack;
mod database;
mod kind;
mod links;
mod plan;
mod starve;
mod topics;

use std::{sync::Arc, time::Duration};

use comanda_checker::history::What;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

pub use attack::Field;
pub use kind::{Hurt, Kind, Trouble};
pub use plan::{Ground, Step, plan};

/// How long a fault may take to make or to mend.
const PATIENCE: Duration = Duration::from_secs(90);

/// Carries a plan out, and returns when all of it is healed. `stop` heals everything at once and begins nothing new.
pub async fn carry_out(steps: Vec<Step>, field: Arc<Field>, stop: CancellationToken) {
    let (begun, mut open) = (Instant::now(), JoinSet::new());
    for step in steps {
        let due = begun + Duration::from_millis(step.start_ms);
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(due) => {}
        }
        open.spawn(fault(step, field.clone(), stop.clone()));
    }
    while let Some(ended) = open.join_next().await {
        ended.expect("a fault does not panic");
    }
}

/// One fault, from its making to its mending, as told in the history.
async fn fault(step: Step, field: Arc<Field>, stop: CancellationToken) {
    let fault = field.recorder.number();
    let target = if step.targets.is_empty() { "all".into() } else { step.targets.join(", ") };
    field.recorder.record(What::Fault { fault, name: step.kind.name(), target });
    let made = timeout(PATIENCE, field.make(&step)).await;
    let held = match made {
        Ok(Ok(held)) => {
            tokio::select! {
                () = stop.cancelled() => {}
                () = field.hold(&step) => {}
            }
            Ok(held)
        }
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err(format!("could not be made within {PATIENCE:?}")),
    };
    // Also what was made but for a part.
    let (held, failed) = held.map_or_else(|error| (attack::Held::Nothing, Some(error)), |held| (held, None));
    let healed = timeout(PATIENCE, field.mend(&step, held)).await;
    let unhealed = match healed {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("not healed: {error:#}")),
        Err(_) => Some(format!("not healed within {PATIENCE:?}")),
    };
    field.recorder.record(What::Heal { fault, failed: failed.or(unhealed) });
}
