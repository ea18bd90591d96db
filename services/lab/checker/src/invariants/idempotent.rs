//! C3, creating: one request makes one order and has one answer, however often it is sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    case::{Attempt, Case, Identity, Outcome},
    findings::Findings,
    history::{NewOrder, Order},
};

type Create<'a> = Attempt<'a, &'a NewOrder, &'a Order>;

/// Looks for requests that made two orders, or whose answers do not agree.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut creates: BTreeMap<(&str, &str), Vec<&Create<'_>>> = BTreeMap::new();
    for attempt in &case.creates {
        if let Some(request_id) = &attempt.asked.request_id {
            creates.entry((attempt.tenant, request_id)).or_default().push(attempt);
        }
    }
    for ((tenant, request_id), attempts) in &creates {
        one_order(case, found, (tenant, request_id), attempts);
        answers(found, request_id, attempts);
    }
    orders_of_customers(case, found);
}

fn one_order(case: &Case<'_>, found: &mut Findings<'_, '_>, request: (&str, &str), attempts: &[&Create<'_>]) {
    let request_id = request.1;
    let rows = case.requests.get(&request).map_or(&[][..], Vec::as_slice);
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
                if !alike(asked, attempt.asked) {
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
    let may = |other: &&&Create<'_>| other.may_have_applied() && !alike(other.asked, refused.asked);
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

/// Whether two requests ask for the same.
fn alike(one: &NewOrder, other: &NewOrder) -> bool {
    let content = |asked: &NewOrder| {
        (asked.digest.clone(), asked.customer_id.clone(), asked.email.clone(), asked.workflow.clone())
    };
    content(one) == content(other)
}
