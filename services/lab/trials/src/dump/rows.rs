//! Rows as the database holds them, and how they become lines. Pure.

use comanda_checker::history::{self, What};
use comanda_proto::{
    Money,
    v1::{Customer, MailState, Order, Phase, Trigger, Workflow},
};
use prost::Message;
use sqlx::FromRow;
use uuid::Uuid;

use crate::workload::{digest, shown};

#[derive(FromRow)]
pub(super) struct OrderRow {
    order_id: Uuid,
    tenant: String,
    number: i64,
    customer_id: String,
    customer_name: String,
    email: String,
    locale: String,
    content: Vec<u8>,
    currency: String,
    total_units: i64,
    total_nanos: i32,
    item_count: i32,
    workflow: String,
    workflow_revision: i32,
    first_status: String,
    create_time_us: i64,
    start_time_us: Option<i64>,
}

impl OrderRow {
    pub(super) fn line(self) -> What {
        let customer = Customer {
            customer_id: self.customer_id.clone(),
            name: self.customer_name,
            email: self.email.clone(),
            locale: self.locale,
        };
        let content = Order::decode(&*self.content);
        What::OrderRow(history::OrderRow {
            order_id: self.order_id.to_string(),
            tenant: self.tenant,
            number: self.number,
            total: total(&self.currency, self.total_units, self.total_nanos),
            item_count: self.item_count,
            customer_id: self.customer_id,
            email: self.email,
            digest: content
                .map_or_else(|error| format!("unreadable: {error}"), |content| digest::of_content(&customer, &content)),
            workflow: self.workflow,
            revision: self.workflow_revision,
            first_status: self.first_status,
            create_time_us: self.create_time_us,
            start_time_us: self.start_time_us,
        })
    }
}

#[derive(FromRow)]
pub(super) struct RequestRow {
    tenant: String,
    request_id: Uuid,
    order_id: Uuid,
}

impl RequestRow {
    pub(super) fn line(self) -> What {
        let (request_id, order_id) = (self.request_id.to_string(), self.order_id.to_string());
        What::RequestRow { tenant: self.tenant, request_id, order_id }
    }
}

#[derive(FromRow)]
pub(super) struct StateRow {
    order_id: Uuid,
    tenant: String,
    version: i64,
    status: String,
    phase: i16,
    due_time_us: Option<i64>,
}

impl StateRow {
    pub(super) fn line(self) -> What {
        What::StateRow {
            order_id: self.order_id.to_string(),
            tenant: self.tenant,
            version: self.version,
            status: self.status,
            phase: phase(self.phase),
            due_time_us: self.due_time_us,
        }
    }
}

#[derive(FromRow)]
pub(super) struct TransitionRow {
    order_id: Uuid,
    tenant: String,
    version: i64,
    from_status: String,
    to_status: String,
    phase: i16,
    time_us: i64,
    trigger: i16,
    due_time_us: Option<i64>,
    request_id: Option<Uuid>,
    from_time_us: Option<i64>,
    /// The transition repeats these of its order.
    currency: String,
    total_units: i64,
    total_nanos: i32,
    item_count: i32,
}

impl TransitionRow {
    pub(super) fn line(self) -> What {
        let transition = history::Transition {
            order_id: self.order_id.to_string(),
            version: self.version,
            from: self.from_status,
            to: self.to_status,
            phase: phase(self.phase),
            time_us: self.time_us,
            trigger: shown::trigger(Trigger::try_from(i32::from(self.trigger)).unwrap_or_default()),
            next_time_us: self.due_time_us,
            from_time_us: self.from_time_us,
            total: total(&self.currency, self.total_units, self.total_nanos),
            item_count: self.item_count,
        };
        What::TransitionRow { transition, tenant: self.tenant, request_id: self.request_id.map(|id| id.to_string()) }
    }
}

#[derive(FromRow)]
pub(super) struct OutboxRow {
    service: String,
    order_id: Uuid,
    version: i64,
}

impl OutboxRow {
    pub(super) fn line(self) -> What {
        What::OutboxRow { service: self.service, order_id: self.order_id.to_string(), version: self.version }
    }
}

#[derive(FromRow)]
pub(super) struct MailRow {
    order_id: Uuid,
    tenant: String,
    version: i64,
    copy: i32,
    state: i16,
    attempts: i32,
    recipient: String,
}

impl MailRow {
    pub(super) fn line(self, domain: &str) -> What {
        let Self { order_id, tenant, version, copy, attempts, recipient, .. } = self;
        let state = MailState::try_from(i32::from(self.state)).unwrap_or_default();
        What::MailRow {
            order_id: order_id.to_string(),
            tenant,
            version,
            copy,
            state: state.as_str_name().trim_start_matches("MAIL_STATE_").to_lowercase(),
            attempts,
            message_id: format!("<{order_id}.{version}.{copy}@{domain}>"),
            recipient,
        }
    }
}

#[derive(FromRow)]
pub(super) struct DeadLetterRow {
    service: String,
    topic: String,
    partition: i32,
    offset: i64,
    reason: String,
}

impl DeadLetterRow {
    pub(super) fn line(self) -> What {
        let Self { service, topic, partition, offset, reason } = self;
        What::DeadLetterRow { service, topic, partition, offset, reason }
    }
}

#[derive(FromRow)]
pub(super) struct WorkflowRow {
    name: String,
    revision: i32,
    definition: Vec<u8>,
}

impl WorkflowRow {
    pub(super) fn line(self) -> Result<What, prost::DecodeError> {
        let workflow = Workflow::decode(&*self.definition)?;
        let dispatch = workflow.dispatch.map(|dispatch| history::Dispatch {
            wanted_in: dispatch.wanted_in,
            allotted: dispatch.allotted,
            arriving: dispatch.arriving,
            picked_up: dispatch.picked_up,
            completed: dispatch.completed,
            given_up: dispatch.given_up,
            withdrawn: dispatch.withdrawn,
        });
        let statuses = workflow.statuses.into_iter().map(|status| history::Status {
            phase: shown::phase(status.phase()),
            mail: !status.mail_template.is_empty(),
            name: status.name,
        });
        let edges = workflow.edges.into_iter().map(|edge| history::Edge {
            trigger: shown::trigger(edge.trigger()),
            after_start: edge.after_start_time,
            delay_us: edge.delay_duration.map_or(0, |delay| delay.seconds * 1_000_000 + i64::from(delay.nanos) / 1000),
            from: edge.from_status,
            to: edge.to_status,
        });
        Ok(What::Workflow(history::Workflow {
            name: self.name,
            revision: self.revision,
            statuses: statuses.collect(),
            edges: edges.collect(),
            dispatch,
        }))
    }
}

fn total(currency: &str, units: i64, nanos: i32) -> String {
    digest::money(&Money { currency_code: currency.into(), units, nanos })
}

fn phase(number: i16) -> String {
    shown::phase(Phase::try_from(i32::from(number)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_has_the_message_id_that_its_server_saw() {
        let row = MailRow {
            order_id: Uuid::from_u128(9),
            tenant: "default".into(),
            version: 2,
            copy: 0,
            state: 4,
            attempts: 1,
            recipient: "a@b".into(),
        };
        let What::MailRow { message_id, state, .. } = row.line("x.example") else { panic!("another line") };
        assert_eq!(message_id, "<00000000-0000-0000-0000-000000000009.2.0@x.example>");
        assert_eq!(state, "sent");
    }

    #[test]
    fn an_order_that_cannot_be_read_is_reported_and_not_skipped() {
        let row = OrderRow {
            order_id: Uuid::nil(),
            tenant: "default".into(),
            number: 1,
            customer_id: "c".into(),
            customer_name: String::new(),
            email: String::new(),
            locale: String::new(),
            content: vec![0xff],
            currency: "EUR".into(),
            total_units: 1,
            total_nanos: 0,
            item_count: 1,
            workflow: "delivery".into(),
            workflow_revision: 1,
            first_status: "received".into(),
            create_time_us: 0,
            start_time_us: None,
        };
        let What::OrderRow(row) = row.line() else { panic!("another line") };
        assert!(row.digest.starts_with("unreadable"), "{}", row.digest);
    }
}
