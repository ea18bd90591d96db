//! C3, moving: one command makes at most one transition and has one answer, however often it is sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    case::{Attempt, Case, Move, Outcome, Step},
    compare,
    findings::Findings,
    history::Transition,
};

type Command<'a> = Attempt<'a, Move<'a>, &'a Transition>;

/// Looks for commands that were applied twice or not as answered, or whose answers do not agree.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut moves: BTreeMap<(&str, Option<&str>), Vec<&Command<'_>>> = BTreeMap::new();
    for attempt in &case.moves {
        moves.entry((attempt.asked.order_id, attempt.asked.request_id)).or_default().push(attempt);
    }
    for ((order_id, request_id), attempts) in &moves {
        commands(case, found, order_id, *request_id, attempts);
    }
    unasked(case, found, &moves.keys().copied().collect());
}

fn commands(
    case: &Case<'_>,
    found: &mut Findings<'_, '_>,
    order_id: &str,
    request_id: Option<&str>,
    attempts: &[&Command<'_>],
) {
    let steps = case.order(order_id).map_or(&[][..], |order| &order.steps);
    let mut versions = BTreeSet::new();
    let mut made = 0;
    for attempt in attempts {
        let Outcome::Ok { shown, replayed } = attempt.outcome else { continue };
        versions.insert(shown.version);
        made += usize::from(!replayed);
        let problem =
            answer(attempt, shown, replayed, steps).or_else(|| left(case, attempts, attempt, shown, replayed));
        if let Some(evidence) = problem.or_else(|| foreign_id(case, attempt, steps)) {
            found.at(order_id, attempt.sent_us, evidence);
        }
    }
    let Some(request_id) = request_id else { return };
    if versions.len() > 1 {
        found.order(order_id, format!("command {request_id} was answered with the versions {versions:?}"));
    }
    if made > 1 {
        found.order(order_id, format!("command {request_id} was answered as new {made} times"));
    }
    applied(found, order_id, request_id, attempts, steps, &versions);
}

/// What an OK showed is in the history, and is the command's own; where it was not applied now, an earlier try's, or what another one
/// did that leaves nothing to do.
fn answer(attempt: &Command<'_>, shown: &Transition, replayed: bool, steps: &[Step<'_>]) -> Option<String> {
    let Some(step) = steps.iter().find(|step| step.transition.version == shown.version) else {
        return Some(format!("a command was answered with version {}, which its history does not have", shown.version));
    };
    if let Some(difference) = compare::transition(shown, step.transition) {
        return Some(format!("a command was answered with version {}, whose {difference}", shown.version));
    }
    let asked = &attempt.asked;
    let same_kind = shown.trigger == asked.trigger;
    let there = asked.to_status.is_none_or(|status| shown.to == status);
    let expected = asked.expected_version.is_none_or(|version| version == 0 || shown.version == version + 1);
    let own = step.request_id == asked.request_id && same_kind && there;
    let nothing_to_do = there && (asked.to_status.is_some() || same_kind && asked.trigger != "advance");
    let fits = if replayed { own && asked.request_id.is_some() || nothing_to_do } else { own && expected };
    (!fits).then(|| {
        format!(
            "{asked:?} was answered with version {} as its own, which {:?} made by {}",
            shown.version, step.request_id, shown.trigger
        )
    })
}

/// "Already there" may only be said of the status that the order has, not of one that it has left. The answer to a
/// command is kept under its request id, and a repeated call gets the same answer, also after the order went on.
fn left(
    case: &Case<'_>,
    attempts: &[&Command<'_>],
    attempt: &Command<'_>,
    shown: &Transition,
    replayed: bool,
) -> Option<String> {
    let order = case.order(attempt.asked.order_id)?;
    let by_itself = order.steps.iter().any(|step| {
        step.transition.version == shown.version
            && attempt.asked.request_id.is_some()
            && step.request_id == attempt.asked.request_id
    });
    let in_time = |earlier: &&Command<'_>| {
        earlier.sent_us < attempt.sent_us
            && earlier.may_have_applied()
            && !order.seen_before(earlier.sent_us, shown.version + 1)
    };
    let may_be_kept = attempt.asked.request_id.is_some() && attempts.iter().any(in_time);
    let was_left = replayed && !by_itself && !may_be_kept && order.seen_before(attempt.sent_us, shown.version + 1);
    was_left.then(|| {
        format!("{:?} was answered with version {}, which the order had left before", attempt.asked, shown.version)
    })
}

/// The request id of one command is refused for every other: another trigger, or another status.
fn foreign_id(case: &Case<'_>, attempt: &Command<'_>, steps: &[Step<'_>]) -> Option<String> {
    let asked = &attempt.asked;
    let request_id = asked.request_id?;
    let step = steps.iter().find(|step| step.request_id == Some(request_id))?;
    let is_other =
        step.transition.trigger != asked.trigger || asked.to_status.is_some_and(|status| status != step.transition.to);
    let was_there = case.order(asked.order_id)?.seen_before(attempt.sent_us, step.transition.version);
    (is_other && was_there).then(|| {
        format!("{asked:?} was answered OK, though its request id had made version {}", step.transition.version)
    })
}

fn applied(
    found: &mut Findings<'_, '_>,
    order_id: &str,
    request_id: &str,
    attempts: &[&Command<'_>],
    steps: &[Step<'_>],
    answered: &BTreeSet<i64>,
) {
    let rows: Vec<i64> =
        steps.iter().filter(|step| step.request_id == Some(request_id)).map(|step| step.transition.version).collect();
    if rows.len() > 1 {
        found.order(order_id, format!("command {request_id} was applied {} times: versions {rows:?}", rows.len()));
    }
    if let ([row], Some(version)) = (&rows[..], answered.iter().find(|version| !rows.contains(version))) {
        found.order(order_id, format!("command {request_id} made version {row}, and was answered with {version}"));
    }
    if !rows.is_empty() && attempts.iter().all(|attempt| !attempt.may_have_applied()) {
        found.order(order_id, format!("command {request_id} was refused each time, and made version {}", rows[0]));
    }
}

/// A transition by a command that nobody gave, and no step that dispatch asked for.
fn unasked(case: &Case<'_>, found: &mut Findings<'_, '_>, asked: &BTreeSet<(&str, Option<&str>)>) {
    for (order_id, order) in &case.orders {
        for step in order.steps.iter().filter(|step| step.request_id.is_some()) {
            let by_dispatch = step.request_id.is_some_and(|request_id| order.asked_by_dispatch(request_id));
            if !by_dispatch && !asked.contains(&(*order_id, step.request_id)) {
                let evidence = format!(
                    "version {} is by command {:?}, which nobody gave",
                    step.transition.version, step.request_id
                );
                found.order(order_id, evidence);
            }
        }
    }
}
