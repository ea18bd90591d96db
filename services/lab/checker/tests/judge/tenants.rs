//! C10: nothing of one tenant is shown to another.

use comanda_checker::{Invariant::*, history::*};

use crate::{
    alter::{after, edit, verdict, violated},
    story::calm,
};

/// Makes the first line that the change accepts one of another tenant.
fn foreign(change: impl Fn(&mut What) -> Option<&mut String>) -> Vec<comanda_checker::Invariant> {
    after(|lines| {
        edit(lines, |what| match change(what) {
            Some(tenant) => {
                *tenant = "acme".into();
                true
            }
            None => false,
        });
    })
}

#[test]
fn an_answer_with_an_order_of_another_tenant_is_noticed() {
    let read = foreign(|what| match what {
        What::Invoke { tenant, op: Op::Get { .. }, .. } => Some(tenant),
        _ => None,
    });
    assert_eq!(read, [C10Tenants]);
    let history = foreign(|what| match what {
        What::Invoke { tenant, op: Op::History { .. }, .. } => Some(tenant),
        _ => None,
    });
    assert_eq!(history, [C10Tenants]);
    let moved = foreign(|what| match what {
        What::Invoke { tenant, op: Op::Move { .. }, .. } => Some(tenant),
        _ => None,
    });
    assert!(moved.contains(&C10Tenants), "{moved:?}");
}

#[test]
fn a_stream_that_shows_an_order_of_another_tenant_is_noticed() {
    let one = foreign(|what| match what {
        What::Watch { tenant, .. } => Some(tenant),
        _ => None,
    });
    assert_eq!(one, [C10Tenants]);
    let all = foreign(|what| match what {
        What::WatchAll { tenant, start: Start::Snapshot, .. } => Some(tenant),
        _ => None,
    });
    assert!(all.contains(&C10Tenants), "{all:?}");
}

#[test]
fn a_row_or_a_record_that_names_another_tenant_than_its_order_is_noticed() {
    let state = foreign(|what| match what {
        What::StateRow { tenant, .. } => Some(tenant),
        _ => None,
    });
    assert_eq!(state, [C10Tenants]);
    let step = foreign(|what| match what {
        What::TransitionRow { tenant, .. } => Some(tenant),
        _ => None,
    });
    assert_eq!(step, [C10Tenants]);
    let mail = foreign(|what| match what {
        What::MailRow { tenant, .. } => Some(tenant),
        _ => None,
    });
    assert_eq!(mail, [C10Tenants]);
    let header = foreign(|what| match what {
        What::Record { tenant, .. } => tenant.as_mut(),
        _ => None,
    });
    assert_eq!(header, [C10Tenants]);
    let payload = foreign(|what| match what {
        What::Record { content: RecordContent::Transition { tenant, .. }, .. } => Some(tenant),
        _ => None,
    });
    assert_eq!(payload, [C10Tenants]);
}

/// Order 1 becomes one of another tenant, with the number that order 0 has; streams of many orders are left out.
fn of_two_tenants() -> Vec<Line> {
    let of_boards = |what: &What| match what {
        What::WatchAll { .. } => true,
        What::Event { stream, .. } | What::StreamEnd { stream, .. } => *stream >= 900,
        _ => false,
    };
    let moved = |line: Line| {
        let mut text = serde_json::to_string(&line).expect("a line");
        if text.contains("order-1") || text.contains("customer-1") {
            text = text
                .replace("\"tenant\":\"default\"", "\"tenant\":\"acme\"")
                .replace("\"number\":101", "\"number\":100");
        }
        serde_json::from_str(&text).expect("a line")
    };
    calm().into_iter().filter(|line| !of_boards(&line.what)).map(moved).collect()
}

#[test]
fn two_tenants_may_have_orders_of_the_same_number() {
    assert_eq!(violated(&verdict(of_two_tenants())), []);
}
