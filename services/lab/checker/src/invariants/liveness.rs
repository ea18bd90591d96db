//! C11: after the last fault everything comes to rest in time.

use crate::{case::Case, findings::Findings, history::What};

/// Looks at how the run ended.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    in_time(case, found);
    for line in case.lines {
        match &line.what {
            What::Stuck { state } => {
                found.system(Some(line.at_us), format!("there was no progress for too long: {state}"))
            }
            What::OutboxRow { service, order_id, version } if case.drained() => {
                found.order(order_id, format!("version {version} is still in the outbox of {service}"));
            }
            What::Health { replica, serving: false } => {
                found.system(None, format!("{replica} does not serve at the end"));
            }
            _ => {}
        }
    }
}

fn in_time(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let (Some(run), Some(heal_us)) = (case.run, case.last_heal_us) else { return };
    let took_ms = case.drained_us.unwrap_or(case.end_us).saturating_sub(heal_us) / 1000;
    if took_ms > run.drain_ms {
        let what = if case.drained() { "came to rest" } else { "had not come to rest" };
        found.system(
            Some(heal_us),
            format!("{what} {took_ms} ms after the last heal, where {} are allowed", run.drain_ms),
        );
    }
}
