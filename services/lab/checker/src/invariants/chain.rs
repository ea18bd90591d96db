//! C4, what is kept: versions without hole or repeat, along the edges of the pinned workflow, to an end.

use crate::{
    case::{Case, OrderCase},
    compare,
    findings::Findings,
    history::{OrderRow, Transition, Workflow},
};

/// Looks at the history and the state of each order.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    for (order_id, order) in &case.orders {
        let Some(row) = order.row() else { continue };
        let mut problems = Vec::new();
        match case.workflows.get(&(row.workflow.as_str(), row.revision)) {
            Some(workflow) => path(&mut problems, row, order, workflow),
            None => problems
                .push(format!("follows workflow {} revision {}, which is not there", row.workflow, row.revision)),
        }
        dense(&mut problems, order);
        state(&mut problems, order);
        if case.drained() {
            end(&mut problems, order);
        }
        problems.into_iter().for_each(|problem| found.order(order_id, problem));
    }
}

fn dense(problems: &mut Vec<String>, order: &OrderCase<'_>) {
    let versions: Vec<i64> = order.steps.iter().map(|step| step.transition.version).collect();
    if !versions.iter().copied().eq(1..=versions.len() as i64) {
        problems.push(format!("its history has the versions {versions:?} instead of 1 to {}", versions.len()));
    }
}

fn path(problems: &mut Vec<String>, row: &OrderRow, order: &OrderCase<'_>, workflow: &Workflow) {
    let mut before: Option<&Transition> = None;
    for step in &order.steps {
        let now = step.transition;
        let problem = match before {
            None if now.version == 1 => first(row, now),
            // A hole is found by `dense`.
            None => None,
            Some(before) => next(before, now, workflow),
        };
        let problem = problem.or_else(|| phase(now, workflow)).or_else(|| compare::facts(now, row));
        problems.extend(problem.map(|problem| format!("version {}: {problem}", now.version)));
        before = Some(now);
    }
}

fn first(row: &OrderRow, now: &Transition) -> Option<String> {
    let right = now.from.is_empty()
        && now.to == row.first_status
        && now.trigger == "create"
        && now.from_time_us.is_none()
        && now.time_us == row.create_time_us;
    (!right).then(|| format!("{now:?} is not the creation that the order's row tells of: {row:?}"))
}

fn next(before: &Transition, now: &Transition, workflow: &Workflow) -> Option<String> {
    if now.version != before.version + 1 {
        return None;
    }
    if now.from != before.to {
        return Some(format!("leaves {:?}, but the version before entered {:?}", now.from, before.to));
    }
    if now.time_us < before.time_us {
        return Some(format!("at {} us, which is before the version before ({} us)", now.time_us, before.time_us));
    }
    if now.from_time_us != Some(before.time_us) {
        return Some(format!("from_time is {:?}, the version before was at {} us", now.from_time_us, before.time_us));
    }
    let mut edges = workflow.edges.iter();
    let allowed = edges.any(|edge| (&edge.from, &edge.to, &edge.trigger) == (&now.from, &now.to, &now.trigger));
    (!allowed).then(|| {
        let (name, revision) = (&workflow.name, workflow.revision);
        format!("{} from {:?} to {:?} is no edge of {name} revision {revision}", now.trigger, now.from, now.to)
    })
}

fn phase(now: &Transition, workflow: &Workflow) -> Option<String> {
    let status = workflow.statuses.iter().find(|status| status.name == now.to);
    match status {
        None => Some(format!("{} has no status {:?}", workflow.name, now.to)),
        Some(status) if status.phase != now.phase => {
            Some(format!("phase {} of {:?}, which is of phase {}", now.phase, now.to, status.phase))
        }
        Some(_) => None,
    }
}

/// The row of the state is the last transition.
fn state(problems: &mut Vec<String>, order: &OrderCase<'_>) {
    let Some(last) = order.last() else { return };
    let &[state] = &order.states[..] else {
        return problems.push(format!("has {} rows of state instead of one", order.states.len()));
    };
    let kept = (state.version, state.status, state.phase, state.due_time_us);
    let told = (last.version, last.to.as_str(), last.phase.as_str(), last.next_time_us);
    if kept != told {
        problems.push(format!("its state {kept:?} is not its last transition {told:?}"));
    }
}

fn end(problems: &mut Vec<String>, order: &OrderCase<'_>) {
    match order.last() {
        None => problems.push("has no history, though everything had come to rest".into()),
        Some(last) if last.phase == "active" => {
            problems
                .push(format!("still in {:?} (version {}), though everything had come to rest", last.to, last.version));
        }
        Some(_) => {}
    }
}
