//! The reads of a snapshot: which orders match, and the orders themselves. Each statement looks at a bounded number of rows.
//!
//! Where few orders are active, the statement begins with all active orders, of every tenant. Where many are, it walks the orders of the
//! caller, or of the customer that the filter names, from the newest to the oldest, one page after the other.

use std::time::{Duration, Instant};

use comanda_kit::{access::Scope, postgres::StoreError};
use comanda_proto::{
    v1::{Order, OrderView},
    views::OrderRow,
};
use sqlx::{FromRow, Row, postgres::PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Store;
use crate::watch::filter::Filter;

/// Up to how many active orders are all looked at. A tenth of a second or a few of them.
const FEW_ACTIVE: i64 = 50_000;
/// How many orders a walk looks at in one statement.
const WALK_PAGE: i64 = 10_000;
/// How many orders it looks at altogether.
const WALK_ORDERS: usize = 1_000_000;
/// How long it may take altogether, so that the call is answered in time.
const WALK_TIME: Duration = Duration::from_secs(10);
/// How many orders of a snapshot are read at once.
const ORDERS_PAGE: usize = 64;
/// After how many bytes of contents such a page ends.
const ORDERS_PAGE_BYTES: i64 = 64 * 1024;

const COUNT_ACTIVE: &str = "
    SELECT count(*)
    FROM (SELECT FROM state_machine.order_states WHERE due_at IS NOT NULL LIMIT $1) s";

/// Begins with the partial index on due_at, which holds exactly the active orders. OFFSET 0 and LIMIT keep the planner from beginning with
/// every order that ever existed, as it does on young statistics.
const FEW: &str = "
    SELECT s.order_id
    FROM (
        SELECT order_id, tenant, status
        FROM state_machine.order_states
        WHERE due_at IS NOT NULL
        LIMIT $6
    ) s
    CROSS JOIN LATERAL (
        SELECT
        FROM ordering.order_facts f
        WHERE f.order_id = s.order_id
          AND ($2 = '' OR f.customer_id = $2)
          AND ($3 = '' OR f.workflow = $3)
        OFFSET 0
    ) f
    WHERE s.tenant = $1
      AND (cardinality($4::text[]) = 0 OR s.status = ANY ($4))
    LIMIT $5";

/// One page of the caller's orders, newest first, with whether each matches. The conditions that would make the page look at more rows stand
/// outside of it.
const WALK: &str = "
    SELECT f.order_id, f.create_time, s.order_id IS NOT NULL AND ($3 = '' OR f.workflow = $3) AS matches
    FROM (
        SELECT order_id, create_time, workflow
        FROM ordering.order_facts
        WHERE tenant = $1
          AND ($2 = '' OR customer_id = $2)
          AND ($6::timestamptz IS NULL OR (create_time, order_id) < ($6, $7))
        ORDER BY create_time DESC, order_id DESC
        LIMIT $5
    ) f
    LEFT JOIN LATERAL (
        SELECT s.order_id
        FROM state_machine.order_states s
        WHERE s.order_id = f.order_id
          AND s.due_at IS NOT NULL
          AND (cardinality($4::text[]) = 0 OR s.status = ANY ($4))
        OFFSET 0
    ) s ON true";

/// The first orders of a list, up to a number of bytes.
const ORDERS: &str = "
    SELECT
        place, bytes, order_id, tenant, number, customer_id, customer_name, email, locale, content, workflow,
        workflow_revision, create_time, status, phase, version, status_time, next_transition_time
    FROM (
        SELECT
            w.place,
            sum(octet_length(d.content)) OVER (ORDER BY w.place) AS bytes,
            d.order_id, d.tenant, d.number, d.customer_id, d.customer_name, d.email, d.locale, d.content, d.workflow,
            d.workflow_revision, d.create_time, d.status, d.phase, d.version, d.status_time, d.next_transition_time
        FROM unnest($1::uuid[]) WITH ORDINALITY AS w (order_id, place)
        CROSS JOIN LATERAL (
            SELECT
                order_id, tenant, number, customer_id, customer_name, email, locale, content, workflow,
                workflow_revision, create_time, status, phase, version, status_time, next_transition_time
            FROM ordering.order_details d
            WHERE d.order_id = w.order_id AND d.tenant = $2
            OFFSET 0 -- keeps the planner from turning the join round
        ) d
    ) o
    WHERE bytes - octet_length(content) < $3
    ORDER BY place";

/// The active orders that a filter matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActiveOrders {
    /// All of them.
    All(Vec<Uuid>),
    /// There are more than asked for.
    TooMany,
    /// Too many orders would have to be looked at to find them.
    TooFar,
}

/// Some orders of a list.
#[derive(Debug)]
pub struct OrdersPage {
    /// Those that exist.
    pub orders: Vec<Order>,
    /// How many of the list were looked at; at least one.
    pub looked_at: usize,
}

impl Store {
    /// The active orders that a filter matches, at most `max`.
    pub async fn active_orders(&self, filter: &Filter, max: usize) -> Result<ActiveOrders, StoreError> {
        if !filter.admits_active() {
            return Ok(ActiveOrders::All(Vec::new()));
        }
        let found = match self.are_few_active().await? {
            true => self.few(filter, max as i64 + 1).await?,
            false => match self.walk(filter, max).await? {
                Some(found) => found,
                None => return Ok(ActiveOrders::TooFar),
            },
        };
        Ok(if found.len() > max { ActiveOrders::TooMany } else { ActiveOrders::All(found) })
    }

    async fn are_few_active(&self) -> Result<bool, StoreError> {
        let pool = self.pool.clone();
        let count = async move { sqlx::query_scalar(COUNT_ACTIVE).bind(FEW_ACTIVE + 1).fetch_one(&pool).await };
        Ok(self.read::<i64>(count).await? <= FEW_ACTIVE)
    }

    async fn few(&self, filter: &Filter, limit: i64) -> Result<Vec<Uuid>, StoreError> {
        let (pool, tenant, wanted) = (self.pool.clone(), filter.scope().tenant().to_owned(), filter.wanted().clone());
        let customer_id = filter.customer_id().to_owned();
        self.read(async move {
            let statement = sqlx::query_scalar(FEW).bind(tenant).bind(customer_id).bind(wanted.workflow);
            // Some more may have become active since they were counted.
            let statement = statement.bind(wanted.statuses).bind(limit).bind(2 * FEW_ACTIVE);
            statement.fetch_all(&pool).await
        })
        .await
    }

    /// Walks until the end or until more than `max` are found; `None` if that is too far.
    async fn walk(&self, filter: &Filter, max: usize) -> Result<Option<Vec<Uuid>>, StoreError> {
        let Ok(_walk) = self.long_walks.try_acquire() else { return Ok(None) };
        let (mut found, mut looked_at, mut last, started) = (Vec::new(), 0, None, Instant::now());
        while found.len() <= max {
            if looked_at >= WALK_ORDERS || started.elapsed() > WALK_TIME {
                return Ok(None);
            }
            let page = self.walk_page(filter, last).await?;
            looked_at += page.len();
            found.extend(page.iter().filter(|order| order.matches).map(|order| order.order_id));
            if (page.len() as i64) < WALK_PAGE {
                break;
            }
            last = page.last().map(|order| (order.create_time, order.order_id));
        }
        Ok(Some(found))
    }

    async fn walk_page(
        &self,
        filter: &Filter,
        after: Option<(OffsetDateTime, Uuid)>,
    ) -> Result<Vec<Walked>, StoreError> {
        let (pool, tenant, wanted) = (self.pool.clone(), filter.scope().tenant().to_owned(), filter.wanted().clone());
        let customer_id = filter.customer_id().to_owned();
        let (time, order_id) = after.unzip();
        self.read(async move {
            let statement = sqlx::query_as(WALK).bind(tenant).bind(customer_id).bind(wanted.workflow);
            let statement = statement.bind(wanted.statuses).bind(WALK_PAGE).bind(time).bind(order_id);
            statement.fetch_all(&pool).await
        })
        .await
    }

    /// The first orders of a list as they are now.
    pub async fn orders(&self, scope: &Scope, list: &[Uuid], view: OrderView) -> Result<OrdersPage, StoreError> {
        let (pool, tenant) = (self.pool.clone(), scope.tenant().to_owned());
        let list = list.iter().copied().take(ORDERS_PAGE).collect::<Vec<_>>();
        let count = list.len();
        let rows = self.read(async move {
            sqlx::query(ORDERS).bind(list).bind(tenant).bind(ORDERS_PAGE_BYTES).fetch_all(&pool).await
        });
        let rows = rows.await?;
        let looked_at = match rows.last() {
            Some(last) => cut(last)?.unwrap_or(count),
            None => count,
        };
        let orders = rows.iter().map(|row| Ok(OrderRow::from_row(row)?.into_order(view)?));
        Ok(OrdersPage { orders: orders.collect::<Result<_, StoreError>>()?, looked_at })
    }
}

/// An order that a walk has looked at.
#[derive(Debug, FromRow)]
struct Walked {
    order_id: Uuid,
    create_time: OffsetDateTime,
    matches: bool,
}

/// The place of a page's last row if the page was cut after it.
fn cut(last: &PgRow) -> Result<Option<usize>, StoreError> {
    let (place, bytes): (i64, i64) = (last.try_get("place")?, last.try_get("bytes")?);
    Ok((bytes >= ORDERS_PAGE_BYTES).then_some(usize::try_from(place).unwrap_or(1)))
}
