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

#[test]
fn a_call_that_names_what_is_foreign_must_be_refused() {
    let answered = |code: &str| {
        let op = Op::Foreign { what: "a page token of another tenant".into() };
        let (client, tenant, replica) = ("neighbour-1".into(), "default".into(), "ordering-0".into());
        let code = code.into();
        after(|lines| {
            let at_us = lines.last().map_or(0, |line| line.at_us);
            let invoke = What::Invoke { call: 77_000, client, tenant, replica, op };
            let back = What::Return { call: 77_000, code, reason: None, answer: None };
            lines.extend([invoke, back].map(|what| Line { at_us, what }));
        })
    };
    assert_eq!(answered("OK"), [C10Tenants]);
    assert_eq!(answered("INVALID_ARGUMENT"), []);
    assert_eq!(answered("UNAVAILABLE"), []);
    assert_eq!(answered("UNAUTHENTICATED"), []);
}

/// Streams of many orders show those of their own tenant alone, and miss nothing by it.
#[test]
fn a_board_need_not_show_the_orders_of_another_tenant() {
    let of_boards = |what: &What| match what {
        What::Event { stream, event: Event::Transition { transition } } => {
            *stream >= 900 && transition.order_id.contains("order-1")
        }
        What::Event { stream, event: Event::Current { order } } => *stream >= 900 && order.order_id.contains("order-1"),
        _ => false,
    };
    let lines = || calm().into_iter();
    let moved = |line: Line| {
        let mut text = serde_json::to_string(&line).expect("a line");
        if text.contains("order-1") || text.contains("customer-1") {
            text = text.replace("\"tenant\":\"default\"", "\"tenant\":\"acme\"");
        }
        serde_json::from_str::<Line>(&text).expect("a line")
    };
    let shown: Vec<_> = lines().map(moved).collect();
    assert!(violated(&verdict(shown)).contains(&C10Tenants));
    let hidden: Vec<_> = lines().filter(|line| !of_boards(&line.what)).map(moved).collect();
    assert_eq!(violated(&verdict(hidden)), []);
}
