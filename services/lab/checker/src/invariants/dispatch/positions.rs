//! C13, what watchers of an order are shown: its courier from the status that says that one was found until the end, and at no other time.

use crate::{
    case::{Case, Kind, OrderCase},
    findings::Findings,
    history::Event,
};

/// Looks at each stream of one order.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for stream in case.streams.values() {
        let Kind::One { order_id, after_version } = stream.kind else { continue };
        let Some(order) = case.order(order_id) else { continue };
        let mut version = after_version;
        for (at_us, event) in &stream.events {
            match event {
                Event::Transition { transition } => version = transition.version,
                Event::Current { order } => version = order.version,
                Event::Courier { attempt, has_position } if *attempt != 0 || *has_position => {
                    if let Some(problem) = wrong(case, order, version) {
                        found.at(order_id, *at_us, format!("stream {} shows a courier {problem}", stream.stream));
                    }
                }
                _ => {}
            }
        }
    }
}

fn wrong(case: &Case<'_>, order: &OrderCase<'_>, version: i64) -> Option<String> {
    let now = order.step(version)?;
    let status = &now.to;
    if now.phase != "active" {
        return Some(format!("after the order's end, {status:?}"));
    }
    let Some(dispatch) = case.workflow(order)?.dispatch.as_ref() else {
        return Some("of an order that needs none".into());
    };
    // Where no status says that a courier was found, the order has one while it waits, too.
    let may_be = dispatch.allotted.is_empty() || dispatch.is_served(status);
    (!may_be).then(|| format!("while the order is {status:?}"))
}
