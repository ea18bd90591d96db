//! C13, steps: what dispatch asks for is done once, on the version that it decided on, or not at all; and who is said to come was found.

use super::SLACK_US;
use crate::{
    case::{Case, OrderCase, Step},
    findings::Findings,
    history::AssignmentEvent,
};

/// Looks at each event that carries a step, and at each transition that one made.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for (order_id, order) in &case.orders {
        let taken = order.assignment_events.iter().filter_map(|event| taken(case, order, event));
        let allotted = allotted(case, order);
        taken.chain(allotted).for_each(|problem| found.order(order_id, problem));
    }
}

/// A step is taken on the version after which it was asked for. One that was not taken was too late: somebody else had moved the order, or it was
/// to follow a step that was too late.
fn taken(case: &Case<'_>, order: &OrderCase<'_>, event: &AssignmentEvent) -> Option<String> {
    let step = event.step.as_ref()?;
    let wanted = (step.expected_version + 1, step.to.as_str());
    let made: Vec<_> =
        by_request(order, &step.request_id).map(|step| (step.transition.version, &*step.transition.to)).collect();
    let asked = format!("event {} asked for {:?} as version {}", event.version, step.to, wanted.0);
    match made[..] {
        [made] if made == wanted => None,
        [] if order.step(wanted.0).is_some() || follows_lost_step(order, step.expected_version) => None,
        [] if !case.drained() => None,
        [] => Some(format!("{asked}, which was never taken, nor did anything else come")),
        [made] => Some(format!("{asked}, and made version {} {:?}", made.0, made.1)),
        _ => Some(format!("{asked}, and made {made:?}")),
    }
}

/// Whether dispatch had asked for the step that was to make this version, and it was not taken.
fn follows_lost_step(order: &OrderCase<'_>, version: i64) -> bool {
    let mut asked = order.assignment_events.iter().filter_map(|event| event.step.as_ref());
    asked.any(|step| step.expected_version + 1 == version && by_request(order, &step.request_id).next().is_none())
}

fn by_request<'o, 'a>(order: &'o OrderCase<'a>, request_id: &'o str) -> impl Iterator<Item = &'o Step<'a>> {
    order.steps.iter().filter(move |step| step.request_id == Some(request_id))
}

/// Each entry of the status that says that a courier was found, where dispatch made it, is that of an assignment.
fn allotted(case: &Case<'_>, order: &OrderCase<'_>) -> Vec<String> {
    let Some(dispatch) = case.workflow(order).and_then(|workflow| workflow.dispatch.as_ref()) else {
        return Vec::new();
    };
    let is_entry = |step: &&Step<'_>| !dispatch.allotted.is_empty() && step.transition.to == dispatch.allotted;
    let problem = |step: &Step<'_>| {
        let request_id = step.request_id?;
        let event = order
            .assignment_events
            .iter()
            .find(|event| event.step.as_ref().is_some_and(|asked| asked.request_id == request_id))?;
        let has_row = order.assignments.iter().any(|row| {
            (row.attempt, &row.courier_id) == (event.attempt, &event.courier_id)
                && row.allot_time_us.is_some_and(|allot_us| allot_us <= step.transition.time_us + SLACK_US)
        });
        (!has_row).then(|| {
            let (version, to) = (step.transition.version, &step.transition.to);
            format!(
                "version {version} {to:?} says that {} comes (attempt {}), which has no such assignment",
                event.courier_id, event.attempt
            )
        })
    };
    order.steps.iter().filter(is_entry).filter_map(problem).collect()
}
