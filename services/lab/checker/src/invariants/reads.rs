//! C4, what is shown: what a client read of a version is what that version was, and reads never go back.

use crate::{
    case::{Case, OrderCase},
    compare,
    findings::Findings,
    history::{Answer, Order, Transition},
};

/// Looks at all answers that show an order.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for attempt in &case.creates {
        if let Some(shown) = attempt.shown() {
            order(case, found, attempt.sent_us, shown);
        }
    }
    for read in &case.reads {
        match read.answer {
            Some(Answer::Order { order: shown }) if shown.order_id != read.order_id => {
                let evidence = format!("was asked for, and {} was shown", shown.order_id);
                found.at(read.order_id, read.done_us, evidence);
            }
            Some(Answer::Order { order: shown }) => {
                identity(case, found, read.done_us, shown);
                order(case, found, read.done_us, shown);
            }
            Some(Answer::History { transitions }) => history(case, found, read.order_id, read.done_us, transitions),
            _ => {}
        }
    }
    for (order_id, order) in &case.orders {
        never_back(found, order_id, order);
    }
}

/// What never changes. Of a create this is judged by C1.
fn identity(case: &Case<'_>, found: &mut Findings<'_, '_>, at_us: u64, shown: &Order) {
    let Some(kept) = case.order(&shown.order_id) else { return };
    let nothing = kept.is_nothing().then(|| "nothing of it is there".into());
    let problem = nothing.or_else(|| compare::order(shown, kept.row()?));
    if let Some(problem) = problem {
        found.at(&shown.order_id, at_us, format!("a client was shown the order, and {problem}"));
    }
}

fn order(case: &Case<'_>, found: &mut Findings<'_, '_>, at_us: u64, shown: &Order) {
    let Some(kept) = case.order(&shown.order_id) else { return };
    let problem = match kept.step(shown.version) {
        Some(step) => compare::state(shown, step),
        // An order that nobody has moved yet may have no history.
        None if kept.row().is_none() || shown.version == 1 => None,
        None => Some("its history does not have that version".into()),
    };
    if let Some(problem) = problem {
        found.at(&shown.order_id, at_us, format!("a client was shown version {}, and {problem}", shown.version));
    }
}

fn history(case: &Case<'_>, found: &mut Findings<'_, '_>, order_id: &str, at_us: u64, shown: &[Transition]) {
    let versions: Vec<i64> = shown.iter().map(|transition| transition.version).collect();
    if !versions.iter().copied().eq(1..=versions.len() as i64) || versions.is_empty() {
        found.at(order_id, at_us, format!("a client was shown a history of the versions {versions:?}"));
    }
    let Some(kept) = case.order(order_id) else { return };
    for transition in shown {
        let problem = match kept.step(transition.version) {
            Some(step) => compare::transition(transition, step),
            None if transition.version == 1 => None,
            None => Some("its history does not have that version".into()),
        };
        if let Some(problem) = problem {
            let version = transition.version;
            found.at(order_id, at_us, format!("a client was shown version {version} in a history, and {problem}"));
        }
    }
}

/// What is asked after a version was seen shows that version or a later one.
fn never_back(found: &mut Findings<'_, '_>, order_id: &str, order: &OrderCase<'_>) {
    let mut reads: Vec<_> = order.sightings.iter().filter_map(|seen| Some((seen.asked_us?, seen))).collect();
    reads.sort_by_key(|(asked_us, _)| *asked_us);
    let mut earlier = order.sightings.iter().peekable();
    let mut highest = 0;
    for (asked_us, read) in reads {
        while let Some(seen) = earlier.next_if(|seen| seen.seen_us < asked_us) {
            highest = highest.max(seen.version);
        }
        if read.version < highest {
            let evidence = format!("shown at version {}, asked after version {highest} had been seen", read.version);
            found.at(order_id, read.seen_us, evidence);
        }
    }
}
