//! C2: nothing is there that nobody asked for, or that was refused for sure.

use std::collections::HashMap;

use crate::{
    case::{Attempt, Case, OrderCase},
    compare,
    findings::Findings,
    history::{NewOrder, Order, OrderRow},
};

type Create<'a> = Attempt<'a, &'a NewOrder, &'a Order>;
type Index<'c, 'a, Key> = HashMap<Key, Vec<&'c Create<'a>>>;

/// Looks for orders and transitions without a cause.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let (by_request, by_customer) = index(case);
    for (order_id, order) in &case.orders {
        without_row(found, order_id, order);
        let Some(row) = order.row() else { continue };
        let customers = by_customer.get(row.customer_id.as_str());
        let requested = order.requests.iter().find_map(|request_id| by_request.get(request_id));
        cause(found, row, requested.or(customers).map_or(&[][..], Vec::as_slice), &order.requests);
    }
    for ((tenant, request_id), orders) in &case.requests {
        if !by_request.contains_key(&(*tenant, *request_id)) {
            found.order(orders[0], format!("request {request_id} is remembered, but nobody sent it"));
        }
    }
    commands(case, found);
}

/// All tries by request id and by customer.
fn index<'c, 'a>(case: &'c Case<'a>) -> (Index<'c, 'a, (&'a str, &'a str)>, Index<'c, 'a, &'a str>) {
    let (mut by_request, mut by_customer): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
    for attempt in &case.creates {
        by_customer.entry(attempt.asked.customer_id.as_str()).or_default().push(attempt);
        if let Some(request_id) = &attempt.asked.request_id {
            by_request.entry((attempt.tenant, request_id.as_str())).or_default().push(attempt);
        }
    }
    (by_request, by_customer)
}

fn without_row(found: &mut Findings<'_, '_>, order_id: &str, order: &OrderCase<'_>) {
    let remains = [
        ("a state", order.states.len()),
        ("transitions", order.steps.len()),
        ("mails", order.mails.len()),
        ("remembered requests", order.requests.len()),
        ("records of the topic of orders", order.placed.len()),
    ];
    if order.rows.is_empty() {
        for (what, count) in remains.into_iter().filter(|(_, count)| *count > 0) {
            found.order(order_id, format!("has {what} ({count}), and no row among the orders"));
        }
    }
}

/// One of the tries must be able to have made the row.
fn cause(found: &mut Findings<'_, '_>, row: &OrderRow, tries: &[&Create<'_>], requests: &[(&str, &str)]) {
    let alike = |attempt: &&&Create<'_>| compare::request(attempt.asked, row).is_none();
    if tries.iter().filter(alike).any(|attempt| attempt.may_have_applied()) {
        return;
    }
    let evidence = match (tries.len(), tries.iter().find(alike)) {
        (0, _) => "nobody asked for it".into(),
        (count, None) => format!("none of the {count} tries asked for what it holds"),
        (count, Some(refused)) => format!("all of the {count} tries were refused ({:?})", refused.outcome),
    };
    found.order(
        &row.order_id,
        format!("there is an order of customer {}, requests {requests:?}, but {evidence}", row.customer_id),
    );
}

/// Transitions by command, without request id: at most as many as there were tries that may have applied.
fn commands(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let mut tries: HashMap<(&str, &str, Option<&str>), usize> = HashMap::new();
    for attempt in case.moves.iter().filter(|attempt| attempt.may_have_applied()) {
        *tries.entry((attempt.asked.order_id, attempt.asked.trigger, attempt.asked.request_id)).or_default() += 1;
    }
    for (order_id, order) in &case.orders {
        for step in order.steps.iter().filter(|step| is_command(&step.transition.trigger)) {
            let transition = step.transition;
            let left = tries.entry((order_id, &transition.trigger, step.request_id)).or_default();
            // What has a request id is judged with its answers, by C3.
            if *left == 0 && step.request_id.is_none() {
                let evidence =
                    format!("version {} is by {}, which nobody asked for", transition.version, transition.trigger);
                found.order(order_id, evidence);
            }
            *left = left.saturating_sub(1);
        }
    }
}

fn is_command(trigger: &str) -> bool {
    matches!(trigger, "advance" | "cancel" | "reject")
}
