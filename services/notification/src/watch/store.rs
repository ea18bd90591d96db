//! What the streams read from the database. They write nothing.

mod snapshot;

use std::{future::Future, sync::Arc, time::Duration};

use comanda_kit::{
    access::Scope,
    dedicated::{Commit, Dedicated},
    postgres::{StoreError, bounded},
    shutdown::Tasks,
};
use comanda_proto::{
    events::OrderTransition,
    v1::{Order, OrderView, Workflow},
    views::{OrderRow, TransitionRow},
};
use sqlx::{FromRow, PgPool, Row, postgres::PgRow};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::snapshot::{ActiveOrders, OrdersPage};
use crate::courier::{self, InHands};

/// The schema whose name the connections carry.
pub const SCHEMA: &str = "notification";
/// How many transitions are read at once.
const HISTORY_PAGE: i64 = 256;
/// How long a read waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// How long the topic may take to bring a transition before the store is believed instead.
const PUBLISHED_WITHIN_SECS: i32 = 2;
/// How many streams at once may look through very many orders for their snapshot.
const LONG_WALKS: usize = 2;

/// An order's history above a version, and the order.
const OPENING: &str = "
    SELECT
        false AS is_order,
        h.order_id, h.version, h.tenant, h.number, h.customer_id, h.workflow, h.workflow_revision, h.phase,
        h.next_transition_time,
        h.from_status, h.from_time, h.to_status, h.transition_time, h.trigger, h.actor, h.reason,
        h.currency, h.total_units, h.total_nanos, h.item_count,
        NULL AS customer_name, NULL AS email, NULL AS locale, NULL AS content, NULL AS create_time,
        NULL AS status, NULL AS status_time
    FROM (
        SELECT
            order_id, version, tenant, number, customer_id, workflow, workflow_revision, from_status, from_time,
            to_status, phase, transition_time, trigger, actor, reason, next_transition_time, currency, total_units,
            total_nanos, item_count
        FROM state_machine.order_history
        WHERE order_id = $1 AND version > $2 AND tenant = $4
        ORDER BY version
        LIMIT $3
    ) h
    UNION ALL
    SELECT
        true,
        d.order_id, d.version, d.tenant, d.number, d.customer_id, d.workflow, d.workflow_revision, d.phase,
        d.next_transition_time,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL,
        d.customer_name, d.email, d.locale, d.content, d.create_time,
        d.status, d.status_time
    FROM ordering.order_details d
    WHERE d.order_id = $1 AND d.tenant = $4
    ORDER BY is_order, version";

/// An order's history above a version. Without a tenant: for records whose tenant is not known.
const HISTORY: &str = "
    SELECT
        order_id, version, tenant, number, customer_id, workflow, workflow_revision, from_status, from_time,
        to_status, phase, transition_time, trigger, actor, reason, next_transition_time, currency, total_units,
        total_nanos, item_count
    FROM state_machine.order_history
    WHERE order_id = $1 AND version > $2 AND ($4::text IS NULL OR tenant = $4)
    ORDER BY version
    LIMIT $3";

/// The orders that are above the version given for longer than the topic takes.
const AHEAD_OF: &str = "
    SELECT s.order_id, s.version
    FROM unnest($1::uuid[], $2::bigint[]) AS w (order_id, version)
    CROSS JOIN LATERAL (
        SELECT s.order_id, s.version
        FROM state_machine.order_states s
        WHERE s.order_id = w.order_id
          AND s.version > w.version
          AND s.status_time < now() - make_interval(secs => $3)
        OFFSET 0 -- keeps the planner from turning the join round
    ) s";

/// Reads on behalf of streams.
pub struct Store {
    pool: PgPool,
    tasks: Tasks,
    places: Arc<Semaphore>,
    long_walks: Semaphore,
    /// For the statements that every stream begins with: planning them takes Postgres ten times as long as running them.
    frequent: Dedicated,
}

/// The first answer to a watch of an order.
#[derive(Debug)]
pub struct Opening {
    /// The order's version.
    pub version: i64,
    /// The transitions asked for, or the first of them.
    pub transitions: Vec<OrderTransition>,
    /// The order as it is, at the version of the last transition; `None` while there are more transitions.
    pub current: Option<Order>,
}

/// Transitions of an order.
#[derive(Debug)]
pub struct History {
    /// In the order of their versions.
    pub transitions: Vec<OrderTransition>,
    /// Whether there are no more.
    pub complete: bool,
}

impl Store {
    /// A store that takes at most half of the pool, and a few connections of its own.
    pub fn new(pool: PgPool, tasks: Tasks) -> Self {
        let places = usize::try_from(pool.options().get_max_connections() / 2).unwrap_or(1).max(1);
        let frequent = Dedicated::new(&pool, Commit::Durable);
        let (places, long_walks) = (Arc::new(Semaphore::new(places)), Semaphore::new(LONG_WALKS));
        Self { pool, tasks, places, long_walks, frequent }
    }

    /// Does a piece of work when it is its turn.
    ///
    /// It runs in a task of its own, so that a statement is not dropped half way. A caller that hangs up leaves the queue: else thousands of
    /// clients that reconnect at once would wait behind the reads of callers that have gone.
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
        self.read_bounded(bounded(work)).await
    }

    /// The same for work that has its deadline already.
    async fn read_bounded<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let places = self.places.clone();
        let turn = async move { timeout(TURN, places.acquire_owned()).await.map_err(|_| StoreError::Busy) };
        let in_place = |place| async move {
            let _place = place;
            work.await
        };
        self.in_turn(turn, in_place).await
    }

    /// The epoch of the topic's log.
    pub async fn topic_epoch(&self) -> Result<i64, StoreError> {
        bounded(sqlx::query_scalar("SELECT topic_epoch FROM state_machine.log_epoch").fetch_one(&self.pool)).await
    }

    /// The history of an order above a version and the order itself, of one moment; `None` if the caller reaches no such order.
    pub async fn opening(
        &self,
        scope: &Scope,
        order_id: Uuid,
        after_version: i64,
        view: OrderView,
    ) -> Result<Option<Opening>, StoreError> {
        let (frequent, tenant) = (self.frequent.clone(), scope.tenant().to_owned());
        let rows = self.in_turn(async move { frequent.take().await }, move |mut connection| async move {
            let statement = sqlx::query(OPENING).bind(order_id).bind(after_version).bind(HISTORY_PAGE).bind(tenant);
            let rows = bounded(statement.fetch_all(&mut *connection)).await;
            connection.end(rows)
        });
        opening(scope, rows.await?, view)
    }

    /// The history of an order above a version, or the first part of it.
    pub async fn history(&self, scope: &Scope, order_id: Uuid, after_version: i64) -> Result<History, StoreError> {
        self.read_history(Some(scope.tenant().to_owned()), order_id, after_version).await
    }

    /// The same whatever the order's tenant: for records that cannot be read.
    pub async fn history_of_any_tenant(&self, order_id: Uuid, after_version: i64) -> Result<History, StoreError> {
        self.read_history(None, order_id, after_version).await
    }

    async fn read_history(
        &self,
        tenant: Option<String>,
        order_id: Uuid,
        after_version: i64,
    ) -> Result<History, StoreError> {
        let frequent = self.frequent.clone();
        let rows = self.in_turn(async move { frequent.take().await }, move |mut connection| async move {
            let statement = sqlx::query_as(HISTORY).bind(order_id).bind(after_version).bind(HISTORY_PAGE).bind(tenant);
            let rows: Result<Vec<TransitionRow>, _> = bounded(statement.fetch_all(&mut *connection)).await;
            connection.end(rows)
        });
        let rows = rows.await?;
        let complete = (rows.len() as i64) < HISTORY_PAGE;
        Ok(History { transitions: rows.into_iter().map(Into::into).collect(), complete })
    }

    /// Whether the state machine has adopted an order. Before that its version 1 is shown, but nothing of it was published.
    pub async fn is_adopted(&self, order_id: Uuid) -> Result<bool, StoreError> {
        let pool = self.pool.clone();
        let statement = "SELECT EXISTS (SELECT FROM state_machine.order_states WHERE order_id = $1)";
        self.read(async move { sqlx::query_scalar(statement).bind(order_id).fetch_one(&pool).await }).await
    }

    /// In whose hands an order of a tenant is now.
    pub async fn in_hands(
        &self,
        tenant: &str,
        order_id: Uuid,
        workflow: &Arc<Workflow>,
    ) -> Result<InHands, StoreError> {
        let (pool, tenant, workflow) = (self.pool.clone(), tenant.to_owned(), workflow.clone());
        self.read_bounded(async move { courier::store::of_order(&pool, &tenant, order_id, &workflow).await }).await
    }

    /// Those of the orders that have been above the version given for longer than the topic takes, with their version.
    pub async fn ahead_of(&self, order_ids: Vec<Uuid>, versions: Vec<i64>) -> Result<Vec<(Uuid, i64)>, StoreError> {
        let pool = self.pool.clone();
        self.read(async move {
            let statement = sqlx::query_as(AHEAD_OF).bind(order_ids).bind(versions);
            statement.bind(f64::from(PUBLISHED_WITHIN_SECS)).fetch_all(&pool).await
        })
        .await
    }
}

fn opening(scope: &Scope, mut rows: Vec<PgRow>, view: OrderView) -> Result<Option<Opening>, StoreError> {
    // The order's row sorts last.
    let Some(last) = rows.pop().filter(|row| row.try_get("is_order").unwrap_or(false)) else { return Ok(None) };
    let order = OrderRow::from_row(&last)?;
    if !scope.reaches_customer(&order.customer_id) {
        return Ok(None);
    }
    let complete = (rows.len() as i64) < HISTORY_PAGE;
    let transitions = rows.iter().map(TransitionRow::from_row).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Opening {
        version: order.version,
        transitions: transitions.into_iter().map(Into::into).collect(),
        current: if complete { Some(order.into_order(view)?) } else { None },
    }))
}
