//! C3: one request has one effect and one answer, however often it is sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    case::{Attempt, Case, Identity, Move, Outcome, Step},
    compare,
    history::{NewOrder, Order, Transition},
    verdict::Findings,
};

type Create<'a> = Attempt<&'a NewOrder, &'a Order>;
type Command<'a> = Attempt<Move<'a>, &'a Transition>;

/// Looks for requests with two effects, or with answers that do not agree.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut creates: BTreeMap<&str, Vec<&Create<'_>>> = BTreeMap::new();
    for attempt in &case.creates {
        if let Some(request_id) = &attempt.asked.request_id {
            creates.entry(request_id).or_default().push(attempt);
        }
    }
    for (request_id, attempts) in &creates {
        one_order(case, found, request_id, attempts);
        answers(found, request_id, attempts);
    }
    orders_of_customers(case, found);
    let mut moves: BTreeMap<(&str, Option<&str>), Vec<&Command<'_>>> = BTreeMap::new();
    for attempt in &case.moves {
        moves.entry((attempt.asked.order_id, attempt.asked.request_id)).or_default().push(attempt);
    }
    for ((order_id, request_id), attempts) in &moves {
        commands(case, found, order_id, *request_id, attempts);
    }
    unasked(case, found, &moves.keys().copied().collect());
}

// --- creating ---

fn one_order(case: &Case<'_>, found: &mut Findings<'_, '_>, request_id: &str, attempts: &[&Create<'_>]) {
    let rows = case.requests.get(request_id).map_or(&[][..], Vec::as_slice);
    let shown: BTreeSet<&str> =
        attempts.iter().filter_map(|attempt| Some(attempt.shown()?.order_id.as_str())).collect();
    if rows.len() > 1 {
        found.order(rows[0], format!("request {request_id} is remembered {} times: {rows:?}", rows.len()));
    }
    for order_id in &shown {
        if rows != [*order_id] {
            found.order(order_id, format!("request {request_id} was answered with it, and is remembered for {rows:?}"));
        }
    }
}

fn answers(found: &mut Findings<'_, '_>, request_id: &str, attempts: &[&Create<'_>]) {
    let mut first: Option<(&Order, &NewOrder)> = None;
    let mut made = 0;
    for attempt in attempts {
        match &attempt.outcome {
            Outcome::Ok { shown, replayed } => {
                made += usize::from(!replayed);
                let (order, asked) = *first.get_or_insert((shown, attempt.asked));
                let same =
                    (&order.order_id, order.number, &order.digest) == (&shown.order_id, shown.number, &shown.digest);
                if !same {
                    let both =
                        format!("{} ({}) and {} ({})", order.order_id, order.number, shown.order_id, shown.number);
                    found.at(
                        &shown.order_id,
                        attempt.sent_us,
                        format!("request {request_id} was answered with {both}"),
                    );
                }
                if asked.digest != attempt.asked.digest {
                    let evidence = format!("request {request_id} was sent with another content and accepted");
                    found.at(&shown.order_id, attempt.sent_us, evidence);
                }
            }
            Outcome::Refused { reason, .. } if reason.as_deref() == Some("IDEMPOTENCY_MISMATCH") => {
                mismatch(found, request_id, attempts, attempt);
            }
            _ => {}
        }
    }
    if let Some((order, _)) = first.filter(|_| made > 1) {
        found.order(&order.order_id, format!("request {request_id} was answered as new {made} times"));
    }
}

/// "Same id, other content" may only be said where somebody sent another content.
fn mismatch(found: &mut Findings<'_, '_>, request_id: &str, attempts: &[&Create<'_>], refused: &Create<'_>) {
    let may = |other: &&&Create<'_>| other.may_have_applied() && other.asked.digest != refused.asked.digest;
    if attempts.iter().find(may).is_none() {
        let evidence =
            format!("request {request_id} was refused as IDEMPOTENCY_MISMATCH, but only one content was accepted");
        found.system(Some(refused.sent_us), evidence);
    }
}

/// A customer never has more orders than tries of different identity that may have made one; an order whose tries all had a request
/// id is remembered under one.
fn orders_of_customers(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut asked: HashMap<&str, BTreeSet<_>> = HashMap::new();
    for attempt in case.creates.iter().filter(|attempt| attempt.may_have_applied()) {
        asked.entry(&attempt.asked.customer_id).or_default().insert(attempt.identity());
    }
    let mut orders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (order_id, order) in &case.orders {
        let Some(row) = order.row() else { continue };
        orders.entry(&row.customer_id).or_default().push(order_id);
        let named = asked
            .get(row.customer_id.as_str())
            .is_some_and(|identities| identities.iter().all(|identity| matches!(identity, Identity::Request(_))));
        if named && order.requests.is_empty() {
            found.order(order_id, "was asked for with a request id, which is not remembered");
        }
    }
    for (customer_id, orders) in orders {
        let most = asked.get(customer_id).map_or(0, BTreeSet::len);
        if most > 0 && orders.len() > most {
            let evidence = format!("customer {customer_id} has {} orders by {most} requests: {orders:?}", orders.len());
            found.order(orders[0], evidence);
        }
    }
}

// --- commands ---

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
        if let Some(evidence) = answer(attempt, shown, replayed, steps) {
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
    applied(found, order_id, request_id, attempts, steps);
}

/// What an OK showed is in the history, and is the command's own where it was not applied before.
fn answer(attempt: &Command<'_>, shown: &Transition, replayed: bool, steps: &[Step<'_>]) -> Option<String> {
    let Some(step) = steps.iter().find(|step| step.transition.version == shown.version) else {
        return Some(format!("a command was answered with version {}, which its history does not have", shown.version));
    };
    if let Some(difference) = compare::transition(shown, step.transition) {
        return Some(format!("a command was answered with version {}, whose {difference}", shown.version));
    }
    let asked = &attempt.asked;
    let own = (step.request_id, shown.trigger.as_str()) == (asked.request_id, asked.trigger);
    let expected = asked.expected_version.is_none_or(|version| version == 0 || shown.version == version + 1);
    let fits = replayed || (own && expected);
    (!fits).then(|| {
        format!(
            "{asked:?} was answered with version {} as its own, which {:?} made by {}",
            shown.version, step.request_id, shown.trigger
        )
    })
}

fn applied(
    found: &mut Findings<'_, '_>,
    order_id: &str,
    request_id: &str,
    attempts: &[&Command<'_>],
    steps: &[Step<'_>],
) {
    let rows: Vec<i64> =
        steps.iter().filter(|step| step.request_id == Some(request_id)).map(|step| step.transition.version).collect();
    if rows.len() > 1 {
        found.order(order_id, format!("command {request_id} was applied {} times: versions {rows:?}", rows.len()));
    }
    if !rows.is_empty() && attempts.iter().all(|attempt| !attempt.may_have_applied()) {
        found.order(order_id, format!("command {request_id} was refused each time, and made version {}", rows[0]));
    }
}

/// A transition by a command that nobody gave.
fn unasked(case: &Case<'_>, found: &mut Findings<'_, '_>, asked: &BTreeSet<(&str, Option<&str>)>) {
    for (order_id, order) in &case.orders {
        for step in order.steps.iter().filter(|step| step.request_id.is_some()) {
            if !asked.contains(&(*order_id, step.request_id)) {
                let evidence = format!(
                    "version {} is by command {:?}, which nobody gave",
                    step.transition.version, step.request_id
                );
                found.order(order_id, evidence);
            }
        }
    }
}
