//! Whether the same thing looks the same in every place that shows it.

use crate::history::{NewOrder, Order, OrderRow, RecordContent, Transition};

/// Names the first difference in a list of (name, one, other).
macro_rules! first_difference {
    ($($name:literal: $one:expr, $other:expr;)*) => {{
        $(if $one != $other { return Some(format!("{} is {:?} instead of {:?}", $name, $one, $other)); })*
        None
    }};
}

/// How a transition that was shown differs from the history's. Version 1 may be shown before its timer is known.
pub fn transition(shown: &Transition, kept: &Transition) -> Option<String> {
    let early = shown.version == 1 && shown.next_time_us.is_none();
    first_difference! {
        "order_id": shown.order_id, kept.order_id;
        "version": shown.version, kept.version;
        "from": shown.from, kept.from;
        "to": shown.to, kept.to;
        "phase": shown.phase, kept.phase;
        "time_us": shown.time_us, kept.time_us;
        "trigger": shown.trigger, kept.trigger;
        "next_time_us": shown.next_time_us, if early { None } else { kept.next_time_us };
        "from_time_us": shown.from_time_us, kept.from_time_us;
        "total": shown.total, kept.total;
        "item_count": shown.item_count, kept.item_count;
    }
}

/// How the unchanging part of an order that was shown differs from its row.
pub fn order(shown: &Order, row: &OrderRow) -> Option<String> {
    first_difference! {
        "number": shown.number, row.number;
        "digest": shown.digest, row.digest;
        "total": shown.total, row.total;
        "item_count": shown.item_count, row.item_count;
        "customer_id": shown.customer_id, row.customer_id;
        "workflow": shown.workflow, row.workflow;
        "revision": shown.revision, row.revision;
        "create_time_us": shown.create_time_us, row.create_time_us;
    }
}

/// How an order that was shown differs from the transition that led to its version.
pub fn state(shown: &Order, kept: &Transition) -> Option<String> {
    let early = shown.version == 1 && shown.next_time_us.is_none();
    first_difference! {
        "version": shown.version, kept.version;
        "status": shown.status, kept.to;
        "phase": shown.phase, kept.phase;
        "status_time_us": shown.status_time_us, kept.time_us;
        "next_time_us": shown.next_time_us, if early { None } else { kept.next_time_us };
    }
}

/// How a row differs from what was asked for. An empty workflow asks for the usual one.
pub fn request(asked: &NewOrder, row: &OrderRow) -> Option<String> {
    let workflow = if asked.workflow.is_empty() { &row.workflow } else { &asked.workflow };
    first_difference! {
        "digest": row.digest, asked.digest;
        "customer_id": row.customer_id, asked.customer_id;
        "email": row.email, asked.email;
        "workflow": row.workflow, *workflow;
    }
}

/// How a record of a placed order differs from the order's row.
pub fn placed(content: &RecordContent, row: &OrderRow) -> Option<String> {
    let RecordContent::Placed {
        order_id,
        tenant,
        number,
        customer_id,
        workflow,
        revision,
        status,
        create_time_us,
        total,
        item_count,
    } = content
    else {
        return Some("is no placed order".into());
    };
    first_difference! {
        "order_id": *order_id, row.order_id;
        "tenant": *tenant, row.tenant;
        "number": *number, row.number;
        "customer_id": *customer_id, row.customer_id;
        "workflow": *workflow, row.workflow;
        "revision": *revision, row.revision;
        "status": *status, row.first_status;
        "create_time_us": *create_time_us, row.create_time_us;
        "total": *total, row.total;
        "item_count": *item_count, row.item_count;
    }
}

/// How what every transition repeats of its order differs from the order's row.
pub fn facts(shown: &Transition, row: &OrderRow) -> Option<String> {
    first_difference! {
        "total": shown.total, row.total;
        "item_count": shown.item_count, row.item_count;
    }
}
