//! All tables, row by row: none is held in memory whole.

use std::time::Duration;

use anyhow::{Context, Result};
use comanda_checker::history::What;
use futures::{StreamExt, stream::BoxStream};
use sqlx::PgPool;
use tokio::time::timeout;

use super::{
    assignments::{AssignmentRow, CourierRow, EventRow, JobRow},
    rows::{DeadLetterRow, MailRow, OrderRow, OutboxRow, RequestRow, StateRow, TransitionRow, WorkflowRow},
};
use crate::recorder::Recorder;

/// How long the next row may take.
const ROW_TIMEOUT: Duration = Duration::from_secs(30);

// Times become microseconds in the database; infinity becomes null there.
const WORKFLOWS: &str = "SELECT name, revision, definition FROM state_machine.workflows";
const ORDERS: &str = "
    SELECT order_id, tenant, number, customer_id, customer_name, email, locale, content, currency, total_units, total_nanos,
           item_count, workflow, workflow_revision, first_status,
           (extract(epoch FROM create_time) * 1000000)::bigint AS create_time_us,
           (extract(epoch FROM start_time) * 1000000)::bigint AS start_time_us
    FROM ordering.orders";
const REQUESTS: &str = "SELECT tenant, request_id, order_id FROM ordering.requests";
const STATES: &str = "
    SELECT order_id, tenant, version, status, phase,
           CASE WHEN isfinite(due_at) THEN (extract(epoch FROM due_at) * 1000000)::bigint END AS due_time_us
    FROM state_machine.states";
const TRANSITIONS: &str = "
    SELECT t.order_id, t.tenant, t.version, t.from_status, t.to_status, t.phase, t.trigger, t.request_id,
           (extract(epoch FROM t.transition_time) * 1000000)::bigint AS time_us,
           (extract(epoch FROM t.from_time) * 1000000)::bigint AS from_time_us,
           CASE WHEN isfinite(t.due_at) THEN (extract(epoch FROM t.due_at) * 1000000)::bigint END AS due_time_us,
           coalesce(o.currency, '') AS currency, coalesce(o.total_units, 0) AS total_units,
           coalesce(o.total_nanos, 0) AS total_nanos, coalesce(o.item_count, 0) AS item_count
    FROM state_machine.transitions t
    LEFT JOIN ordering.orders o ON o.order_id = t.order_id
    ORDER BY t.order_id, t.version";
const OUTBOXES: &str = "
    SELECT 'ordering' AS service, unnest(order_ids) AS order_id, unnest(versions) AS version FROM ordering.outbox
    UNION ALL
    SELECT 'state-machine', unnest(order_ids), unnest(versions) FROM state_machine.outbox
    UNION ALL
    SELECT 'dispatch', unnest(order_ids), unnest(versions) FROM dispatch.outbox";
const COURIERS: &str = "SELECT tenant, courier_id, capacity, status FROM dispatch.couriers";
const JOBS: &str = "SELECT order_id, tenant, state, order_version, event_version FROM dispatch.jobs";
const ASSIGNMENTS: &str = "
    SELECT order_id, attempt, tenant, courier_id, slot, state, outcome,
           (extract(epoch FROM create_time) * 1000000)::bigint AS create_time_us,
           (extract(epoch FROM allot_time) * 1000000)::bigint AS allot_time_us,
           (extract(epoch FROM confirm_time) * 1000000)::bigint AS confirm_time_us,
           (extract(epoch FROM pickup_time) * 1000000)::bigint AS pickup_time_us,
           (extract(epoch FROM ended_at) * 1000000)::bigint AS end_time_us
    FROM dispatch.assignments";
const EVENTS: &str = "
    SELECT order_id, version, tenant, content, (extract(epoch FROM event_time) * 1000000)::bigint AS time_us
    FROM dispatch.events";
const MAILS: &str = "
    SELECT m.order_id, m.tenant, m.version, m.copy, m.state, m.attempts, coalesce(o.email, '') AS recipient
    FROM notification.mails m
    LEFT JOIN ordering.orders o ON o.order_id = m.order_id";
const DEAD_LETTERS: &str = r#"
    SELECT 'state-machine' AS service, topic, partition, "offset", reason FROM state_machine.dead_letters
    UNION ALL
    SELECT 'notification', topic, partition, "offset", reason FROM notification.dead_letters
    UNION ALL
    SELECT 'dispatch', topic, partition, "offset", reason FROM dispatch.dead_letters
    UNION ALL
    SELECT 'analytics', topic, partition, "offset", reason FROM analytics.dead_letters"#;

/// What stands behind the @ of every Message-ID, where nobody chose anything else.
const MAIL_DOMAIN: &str = "comanda.localhost";

/// Writes all of them down.
pub(super) async fn dump(pool: &PgPool, recorder: &Recorder) -> Result<()> {
    each(sqlx::query_as(WORKFLOWS).fetch(pool), |row: WorkflowRow| {
        recorder.record(row.line().context("a workflow cannot be read")?);
        Ok(())
    })
    .await?;
    let write = |line: What| {
        recorder.record(line);
        Ok(())
    };
    each(sqlx::query_as(ORDERS).fetch(pool), |row: OrderRow| write(row.line())).await?;
    each(sqlx::query_as(REQUESTS).fetch(pool), |row: RequestRow| write(row.line())).await?;
    each(sqlx::query_as(STATES).fetch(pool), |row: StateRow| write(row.line())).await?;
    each(sqlx::query_as(TRANSITIONS).fetch(pool), |row: TransitionRow| write(row.line())).await?;
    each(sqlx::query_as(OUTBOXES).fetch(pool), |row: OutboxRow| write(row.line())).await?;
    each(sqlx::query_as(MAILS).fetch(pool), |row: MailRow| write(row.line(MAIL_DOMAIN))).await?;
    each(sqlx::query_as(COURIERS).fetch(pool), |row: CourierRow| write(row.line())).await?;
    each(sqlx::query_as(JOBS).fetch(pool), |row: JobRow| write(row.line())).await?;
    each(sqlx::query_as(ASSIGNMENTS).fetch(pool), |row: AssignmentRow| write(row.line())).await?;
    each(sqlx::query_as(EVENTS).fetch(pool), |row: EventRow| {
        write(row.line().context("an event of dispatch cannot be read")?)
    })
    .await?;
    each(sqlx::query_as(DEAD_LETTERS).fetch(pool), |row: DeadLetterRow| write(row.line())).await
}

async fn each<R>(mut rows: BoxStream<'_, sqlx::Result<R>>, mut write: impl FnMut(R) -> Result<()>) -> Result<()> {
    while let Some(row) = timeout(ROW_TIMEOUT, rows.next()).await.context("the database is silent")? {
        write(row?)?;
    }
    Ok(())
}
