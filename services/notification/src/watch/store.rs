//! What the watches read from the database. They write nothing.

use std::{future::Future, sync::Arc, time::Duration};

use comanda_kit::{
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded},
    shutdown::Tasks,
};
use comanda_proto::{
    v1::{Order, OrderTransition, WatchFilter},
    views::{OrderRow, TransitionRow},
};
use sqlx::{FromRow, PgPool, Row, postgres::PgRow};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The schema whose name the connections carry.
pub const SCHEMA: &str = "notification";
/// Until there is authentication, everything belongs to one tenant.
const TENANT: &str = "default";
/// How many transitions are read at once.
const HISTORY_PAGE: i64 = 256;
/// How long a read waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// How long the topic may take to bring a transition before the store is believed instead.
const PUBLISHED_WITHIN_SECS: i32 = 2;

/// Begins with the partial index on due_at, which holds exactly the active orders. OFFSET 0 keeps the planner from beginning with
/// every order there ever was, as it does on young statistics.
const ACTIVE_ORDERS: &str = "
    SELECT s.order_id
    FROM (
        SELECT order_id
        FROM state_machine.order_states
        WHERE due_at IS NOT NULL
          AND (cardinality($4::text[]) = 0 OR status = ANY ($4))
        OFFSET 0
    ) s
    CROSS JOIN LATERAL (
        SELECT
        FROM ordering.order_facts f
        WHERE f.order_id = s.order_id
          AND f.tenant = $1
          AND ($2 = '' OR f.customer_id = $2)
          AND ($3 = '' OR f.workflow = $3)
        OFFSET 0
    ) f
    LIMIT $5";

/// Begins with the orders of the customer, who has fewer than there are active ones.
const ACTIVE_ORDERS_OF_CUSTOMER: &str = "
    SELECT f.order_id
    FROM (
        SELECT order_id
        FROM ordering.order_facts
        WHERE tenant = $1
          AND customer_id = $2
          AND ($3 = '' OR workflow = $3)
        OFFSET 0
    ) f
    CROSS JOIN LATERAL (
        SELECT
        FROM state_machine.order_states s
        WHERE s.order_id = f.order_id
          AND s.due_at IS NOT NULL
          AND (cardinality($4::text[]) = 0 OR s.status = ANY ($4))
        OFFSET 0
    ) s
    LIMIT $5";

/// An order's history above a version, and the order.
const OPENING: &str = "
    SELECT
        false AS is_order,
        h.order_id, h.version, h.number, h.customer_id, h.workflow, h.workflow_revision, h.phase,
        h.next_transition_time,
        h.from_status, h.to_status, h.transition_time, h.trigger, h.actor, h.reason,
        NULL AS customer_name, NULL AS email, NULL AS locale, NULL AS content, NULL AS create_time,
        NULL AS status, NULL AS status_time
    FROM (
        SELECT *
        FROM state_machine.order_history
        WHERE order_id = $1 AND version > $2
        ORDER BY version
        LIMIT $3
    ) h
    UNION ALL
    SELECT
        true,
        d.order_id, d.version, d.number, d.customer_id, d.workflow, d.workflow_revision, d.phase,
        d.next_transition_time,
        NULL, NULL, NULL, NULL, NULL, NULL,
        d.customer_name, d.email, d.locale, d.content, d.create_time,
        d.status, d.status_time
    FROM ordering.order_details d
    WHERE d.order_id = $1 AND d.tenant = $4
    ORDER BY is_order, version";

/// An order's history above a version.
const HISTORY: &str = "
    SELECT
        order_id, version, number, customer_id, workflow, workflow_revision, from_status, to_status, phase,
        transition_time, trigger, actor, reason, next_transition_time
    FROM state_machine.order_history
    WHERE order_id = $1 AND version > $2
    ORDER BY version
    LIMIT $3";

/// Reads on behalf of streams.
pub struct Store {
    pool: PgPool,
    tasks: Tasks,
    places: Arc<Semaphore>,
    /// For what each stream begins with, whose plan takes Postgres ten times as long as the work.
    often: Dedicated,
}

/// The first answer to a watch of an order.
#[derive(Debug)]
pub struct Opening {
    /// The order's version.
    pub version: i64,
    /// The transitions asked for, or the first of them.
    pub transitions: Vec<OrderTransition>,
    /// The order as it is, of the same version as the last transition; none while there are more transitions.
    pub current: Option<Order>,
}

/// Transitions of an order.
#[derive(Debug)]
pub struct History {
    /// In the order of versions.
    pub transitions: Vec<OrderTransition>,
    /// Whether there were no more.
    pub complete: bool,
}

impl Store {
    /// A store that occupies at most half of the pool, and a few connections of its own.
    pub fn new(pool: PgPool, tasks: Tasks) -> Self {
        let places = usize::try_from(pool.options().get_max_connections() / 2).unwrap_or(1).max(1);
        let often = Dedicated::new(&pool, Commit::Durable);
        Self { pool, tasks, places: Arc::new(Semaphore::new(places)), often }
    }

    /// Does a piece of work when it is its turn, which is a connection or a place.
    ///
    /// All in a task of its own, which goes on if its stream is not polled. But who hangs up leaves the queue: else thousands of
    /// watchers that come back together wait behind the reads of those who have given up, and give up, too.
    async fn in_turn<P: Send, T: Send + 'static, F: Future<Output = Result<T, StoreError>> + Send>(
        &self,
        turn: impl Future<Output = Result<P, StoreError>> + Send + 'static,
        work: impl FnOnce(P) -> F + Send + 'static,
    ) -> Result<T, StoreError> {
        let wanted = CancellationToken::new();
        let _wanting = wanted.clone().drop_guard();
        let all = async move {
            let turn = wanted.run_until_cancelled(turn).await.unwrap_or(Err(StoreError::Busy))?;
            work(turn).await
        };
        self.tasks.finish(all).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let places = self.places.clone();
        let turn = async move { timeout(TURN, places.acquire_owned()).await.map_err(|_| StoreError::Busy) };
        let in_place = |place| async move {
            let _place = place;
            bounded(work).await
        };
        self.in_turn(turn, in_place).await
    }

    /// The epoch of the topic's log.
    pub async fn topic_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM state_machine.log_epoch").fetch_one(&self.pool)).await
    }

    /// The history of an order above a version and the order itself, of one moment; `None` if there is no such order.
    pub async fn opening(&self, order_id: Uuid, after_version: i64) -> Result<Option<Opening>, StoreError> {
        let often = self.often.clone();
        let rows = self.in_turn(async move { often.take().await }, move |mut connection| async move {
            let statement = sqlx::query(OPENING).bind(order_id).bind(after_version).bind(HISTORY_PAGE).bind(TENANT);
            let rows = bounded(statement.fetch_all(&mut *connection)).await;
            connection.end(rows)
        });
        opening(rows.await?)
    }

    /// The history of an order above a version, or the first part of it.
    pub async fn history(&self, order_id: Uuid, after_version: i64) -> Result<History, StoreError> {
        let often = self.often.clone();
        let rows = self.in_turn(async move { often.take().await }, move |mut connection| async move {
            let statement = sqlx::query_as(HISTORY).bind(order_id).bind(after_version).bind(HISTORY_PAGE);
            let rows: Result<Vec<TransitionRow>, _> = bounded(statement.fetch_all(&mut *connection)).await;
            connection.end(rows)
        });
        let rows = rows.await?;
        let complete = (rows.len() as i64) < HISTORY_PAGE;
        Ok(History { transitions: rows.into_iter().map(Into::into).collect(), complete })
    }

    /// Whether the order has been adopted: before that its version 1 is shown, but nothing was published of it.
    pub async fn is_adopted(&self, order_id: Uuid) -> Result<bool, StoreError> {
        let pool = self.pool.clone();
        let statement = "SELECT EXISTS (SELECT FROM state_machine.order_states WHERE order_id = $1)";
        self.read(async move { sqlx::query_scalar(statement).bind(order_id).fetch_one(&pool).await }).await
    }

    /// The active orders that a filter admits, at most `limit`.
    pub async fn active_orders(&self, wanted: &WatchFilter, limit: i64) -> Result<Vec<Uuid>, StoreError> {
        let (pool, wanted) = (self.pool.clone(), wanted.clone());
        let statement = if wanted.customer_id.is_empty() { ACTIVE_ORDERS } else { ACTIVE_ORDERS_OF_CUSTOMER };
        self.read(async move {
            sqlx::query_scalar(statement)
                .bind(TENANT)
                .bind(wanted.customer_id)
                .bind(wanted.workflow)
                .bind(wanted.statuses)
                .bind(limit)
                .fetch_all(&pool)
                .await
        })
        .await
    }

    /// Orders as they are now.
    pub async fn orders(&self, order_ids: Vec<Uuid>) -> Result<Vec<(Uuid, Order)>, StoreError> {
        let pool = self.pool.clone();
        let rows: Vec<OrderRow> = self
            .read(async move {
                sqlx::query_as(
                    "SELECT
                         d.order_id, d.number, d.customer_id, d.customer_name, d.email, d.locale, d.content, d.workflow,
                         d.workflow_revision, d.create_time, d.status, d.phase, d.version, d.status_time,
                         d.next_transition_time
                     FROM unnest($1::uuid[]) AS w (order_id)
                     CROSS JOIN LATERAL (
                         SELECT *
                         FROM ordering.order_details d
                         WHERE d.order_id = w.order_id
                         OFFSET 0 -- keeps the planner from turning the join round
                     ) d",
                )
                .bind(order_ids)
                .fetch_all(&pool)
                .await
            })
            .await?;
        rows.into_iter().map(|row| Ok((row.order_id, row.into_order()?))).collect()
    }

    /// Those of the orders that have been above the version given for longer than the topic takes, with their version.
    pub async fn ahead_of(&self, order_ids: Vec<Uuid>, versions: Vec<i64>) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let pool = self.pool.clone();
        self.read(async move {
            sqlx::query_as(
                "SELECT s.order_id, s.version
                 FROM unnest($1::uuid[], $2::bigint[]) AS w (order_id, version)
                 CROSS JOIN LATERAL (
                     SELECT s.order_id, s.version
                     FROM state_machine.order_states s
                     WHERE s.order_id = w.order_id
                       AND s.version > w.version
                       AND s.status_time < now() - make_interval(secs => $3)
                     OFFSET 0 -- keeps the planner from turning the join round
                 ) s",
            )
            .bind(order_ids)
            .bind(versions)
            .bind(f64::from(PUBLISHED_WITHIN_SECS))
            .fetch_all(&pool)
            .await
        })
        .await
    }
}

fn opening(mut rows: Vec<PgRow>) -> Result<Option<Opening>, StoreError> {
    // The order's row sorts last.
    let Some(last) = rows.pop().filter(|row| row.try_get("is_order").unwrap_or(false)) else { return Ok(None) };
    let order = OrderRow::from_row(&last)?;
    let complete = (rows.len() as i64) < HISTORY_PAGE;
    let transitions = rows.iter().map(TransitionRow::from_row).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Opening {
        version: order.version,
        transitions: transitions.into_iter().map(Into::into).collect(),
        current: if complete { Some(order.into_order()?) } else { None },
    }))
}
