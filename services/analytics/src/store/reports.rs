//! What reports read: sums of few spans, of one tenant, of the live generation.

use comanda_kit::{
    access::Scope,
    postgres::{StoreError, bounded},
};
use sqlx::{FromRow, Postgres, postgres::PgArguments, query::QueryAs};
use time::OffsetDateTime;

use super::Store;
use crate::{period::Period, span::Range};

/// What a report is about.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The time, and into what it is cut.
    pub period: Period,
    /// Only this workflow; empty means all.
    pub workflow: String,
}

/// How many orders entered and left a status.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct CountRow {
    pub bucket_time: OffsetDateTime,
    pub workflow: String,
    pub status: String,
    pub phase: i16,
    pub entered: i64,
    /// Entered less left.
    pub change: i64,
}

/// How long orders stayed in a status; several rows for one status.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct DwellRow {
    pub bucket_time: OffsetDateTime,
    pub workflow: String,
    pub status: String,
    pub orders: i64,
    pub dwell_us: String,
    pub dwell: Vec<u8>,
}

/// How many orders were created (phase 0) or ended.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct EndRow {
    pub bucket_time: OffsetDateTime,
    pub workflow: String,
    pub phase: i16,
    pub orders: i64,
}

/// How many orders were picked up.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct PickupRow {
    pub bucket_time: OffsetDateTime,
    pub workflow: String,
    pub picked_up: i64,
    pub on_time: i64,
}

/// What was sold.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct RevenueRow {
    pub bucket_time: OffsetDateTime,
    pub workflow: String,
    pub currency: String,
    pub orders: i64,
    pub items: i64,
    pub total_units: String,
    pub total_nanos: String,
}

/// What a courier did; several rows for one courier.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct CourierRow {
    pub bucket_time: OffsetDateTime,
    pub courier_id: String,
    pub offered: i64,
    pub refused: i64,
    pub allotted: i64,
    pub released: i64,
    pub picked_up: i64,
    pub on_time: i64,
    pub completed: i64,
    pub pickup_us: String,
    pub idle_us: String,
    pub busy_us: String,
    pub pickup: Option<Vec<u8>>,
}

/// The rows of `transitions` that a report reads as `t`. Parameters 1 to 7 are bound by [`bind`].
macro_rules! transitions {
    () => {
        "FROM unnest($3::smallint[], $4::timestamptz[], $5::timestamptz[]) AS r (span, from_time, before_time)
         CROSS JOIN LATERAL (
             SELECT t.workflow, t.from_status, t.to_status, t.phase, t.currency, t.orders, t.items, t.total_units, t.total_nanos,
                    t.dwell_us, t.dwell, coalesce(date_trunc($6, t.span_time, 'UTC'), $7) AS bucket_time
             FROM transitions t
             WHERE t.generation = (SELECT generation FROM generations WHERE state = 2) AND t.tenant = $1
               AND t.span = r.span AND t.span_time >= r.from_time AND t.span_time < r.before_time
               AND ($2 = '' OR t.workflow = $2)
             OFFSET 0
         ) t "
    };
}

/// The rows of `couriers` that a report reads as `c`.
macro_rules! couriers {
    ($columns:literal, $condition:literal) => {
        concat!(
            "FROM unnest($3::smallint[], $4::timestamptz[], $5::timestamptz[]) AS r (span, from_time, before_time)
             CROSS JOIN LATERAL (
                 SELECT ",
            $columns,
            ", coalesce(date_trunc($6, c.span_time, 'UTC'), $7) AS bucket_time
                 FROM couriers c
                 WHERE c.generation = (SELECT generation FROM generations WHERE state = 2) AND c.tenant = $1
                   AND c.span = r.span AND c.span_time >= r.from_time AND c.span_time < r.before_time
                   AND ($2 = '' OR c.workflow = $2)",
            $condition,
            "    OFFSET 0
             ) c "
        )
    };
}

type Statement<'q, R> = QueryAs<'q, Postgres, R, PgArguments>;

fn bind<'q, R>(
    statement: Statement<'q, R>,
    scope: &Scope,
    workflow: &str,
    ranges: &[Range],
    period: &Period,
) -> Statement<'q, R> {
    let of = |time: fn(&Range) -> OffsetDateTime| ranges.iter().map(time).collect::<Vec<_>>();
    statement
        .bind(scope.tenant().to_owned())
        .bind(workflow.to_owned())
        .bind(ranges.iter().map(|range| range.span as i16).collect::<Vec<_>>())
        .bind(of(|range| range.from))
        .bind(of(|range| range.before))
        .bind(period.cut.unit())
        .bind(period.from)
}

impl Store {
    /// How many orders entered and left each status, in each bucket.
    pub async fn counts(&self, scope: &Scope, wanted: &Wanted, limit: i64) -> Result<Vec<CountRow>, StoreError> {
        self.counts_in(scope, wanted, &wanted.period.ranges(), limit).await
    }

    /// The same before the period, in one bucket.
    pub async fn counts_before(&self, scope: &Scope, wanted: &Wanted, limit: i64) -> Result<Vec<CountRow>, StoreError> {
        let wanted = Wanted { period: wanted.period.whole(), ..wanted.clone() };
        self.counts_in(scope, &wanted, &wanted.period.ranges_before(), limit).await
    }

    async fn counts_in(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        ranges: &[Range],
        limit: i64,
    ) -> Result<Vec<CountRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT t.bucket_time, t.workflow, s.status, s.phase, sum(s.entered)::bigint AS entered, sum(s.change)::bigint AS change ",
            transitions!(),
            "CROSS JOIN LATERAL (
                 VALUES (t.to_status, t.phase, t.orders, t.orders), (t.from_status, 1::smallint, 0::bigint, -t.orders)
             ) AS s (status, phase, entered, change)
             WHERE s.status <> ''
             GROUP BY t.bucket_time, t.workflow, s.status, s.phase
             LIMIT $8",
        ));
        let statement = bind(statement, scope, &wanted.workflow, ranges, &wanted.period);
        bounded(statement.bind(limit).fetch_all(&self.numbers)).await
    }

    /// How long orders stayed in the statuses that they left, by bucket, at most `limit` rows.
    pub async fn dwells(&self, scope: &Scope, wanted: &Wanted, limit: i64) -> Result<Vec<DwellRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT t.bucket_time, t.workflow, t.from_status AS status, t.orders, t.dwell_us::text AS dwell_us, t.dwell ",
            transitions!(),
            "WHERE t.dwell IS NOT NULL LIMIT $8",
        ));
        let statement = bind(statement, scope, &wanted.workflow, &wanted.period.ranges(), &wanted.period);
        bounded(statement.bind(limit).fetch_all(&self.numbers)).await
    }

    /// How many orders were created and ended, in each bucket.
    pub async fn ends(&self, scope: &Scope, wanted: &Wanted, limit: i64) -> Result<Vec<EndRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT t.bucket_time, t.workflow, s.phase, sum(t.orders)::bigint AS orders ",
            transitions!(),
            "CROSS JOIN LATERAL (
                 SELECT 0::smallint WHERE t.from_status = '' UNION ALL SELECT t.phase WHERE t.phase > 1
             ) AS s (phase)
             GROUP BY t.bucket_time, t.workflow, s.phase
             LIMIT $8",
        ));
        let statement = bind(statement, scope, &wanted.workflow, &wanted.period.ranges(), &wanted.period);
        bounded(statement.bind(limit).fetch_all(&self.numbers)).await
    }

    /// How many orders couriers picked up, in each bucket.
    pub async fn pickups(&self, scope: &Scope, wanted: &Wanted, limit: i64) -> Result<Vec<PickupRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT c.bucket_time, c.workflow, sum(c.picked_up)::bigint AS picked_up, sum(c.on_time)::bigint AS on_time ",
            couriers!("c.workflow, c.picked_up, c.on_time", " AND c.picked_up > 0 "),
            "GROUP BY c.bucket_time, c.workflow
             LIMIT $8",
        ));
        let statement = bind(statement, scope, &wanted.workflow, &wanted.period.ranges(), &wanted.period);
        bounded(statement.bind(limit).fetch_all(&self.numbers)).await
    }

    /// What orders that succeeded were worth, by bucket, workflow and currency.
    pub async fn revenues(&self, scope: &Scope, wanted: &Wanted, limit: i64) -> Result<Vec<RevenueRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT t.bucket_time, t.workflow, t.currency, sum(t.orders)::bigint AS orders, sum(t.items)::bigint AS items,
                    sum(t.total_units)::text AS total_units, sum(t.total_nanos)::text AS total_nanos ",
            transitions!(),
            "WHERE t.phase = 2
             GROUP BY t.bucket_time, t.workflow, t.currency
             LIMIT $8",
        ));
        let statement = bind(statement, scope, &wanted.workflow, &wanted.period.ranges(), &wanted.period);
        bounded(statement.bind(limit).fetch_all(&self.numbers)).await
    }

    /// What couriers did, by bucket, at most `limit` rows. An empty courier means all.
    pub async fn couriers(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        courier_id: &str,
        limit: i64,
    ) -> Result<Vec<CourierRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT c.bucket_time, c.courier_id, c.offered, c.refused, c.allotted, c.released, c.picked_up, c.on_time, c.completed,
                    c.pickup_us::text AS pickup_us, c.idle_us::text AS idle_us, c.busy_us::text AS busy_us, c.pickup ",
            couriers!(
                "c.courier_id, c.offered, c.refused, c.allotted, c.released, c.picked_up, c.on_time, c.completed, c.pickup_us,
                 c.idle_us, c.busy_us, c.pickup",
                " AND ($9 = '' OR c.courier_id = $9) "
            ),
            "LIMIT $8",
        ));
        let statement = bind(statement, scope, &wanted.workflow, &wanted.period.ranges(), &wanted.period);
        bounded(statement.bind(limit).bind(courier_id.to_owned()).fetch_all(&self.numbers)).await
    }
}
