//! Rows of `transitions`.

use std::collections::BTreeMap;

use sqlx::{
    Postgres,
    postgres::PgArguments,
    query::{Query, QueryAs},
};
use time::OffsetDateTime;

use super::{Encoded, Stored};
use crate::fold::{MoveKey, MoveSums};

/// Sums of transitions, by columns.
#[derive(Debug, Default)]
pub struct Moves {
    tenants: Vec<String>,
    spans: Vec<i16>,
    span_times: Vec<OffsetDateTime>,
    workflows: Vec<String>,
    from_statuses: Vec<String>,
    to_statuses: Vec<String>,
    phases: Vec<i16>,
    triggers: Vec<i16>,
    currencies: Vec<String>,
    orders: Vec<i64>,
    items: Vec<i64>,
    total_units: Vec<String>,
    total_nanos: Vec<String>,
    dwell_us: Vec<String>,
    dwells: Vec<Vec<i64>>,
}

/// By columns, in the order of the keys.
pub fn moves(sums: BTreeMap<MoveKey<'_>, MoveSums>) -> Moves {
    let mut rows = Moves::default();
    for (key, sums) in sums {
        rows.tenants.push(key.tenant.into());
        rows.spans.push(key.span as i16);
        rows.span_times.push(key.span_time);
        rows.workflows.push(key.workflow.into());
        rows.from_statuses.push(key.from_status.into());
        rows.to_statuses.push(key.to_status.into());
        rows.phases.push(key.phase);
        rows.triggers.push(key.trigger);
        rows.currencies.push(key.currency.into());
        rows.orders.push(sums.orders);
        rows.items.push(sums.items);
        rows.total_units.push(sums.total_units.to_string());
        rows.total_nanos.push(sums.total_nanos.to_string());
        rows.dwell_us.push(sums.dwell_us.to_string());
        rows.dwells.push(sums.dwells);
    }
    rows
}

impl Moves {
    /// The durations of each row, in microseconds.
    pub fn durations(&self) -> &[Vec<i64>] {
        &self.dwells
    }

    /// The histograms that are stored already, where durations are to be added.
    pub fn stored(&self, generation: i32) -> QueryAs<'_, Postgres, Stored, PgArguments> {
        sqlx::query_as(
            "SELECT k.place, t.dwell
             FROM unnest($2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::smallint[],
                         $9::smallint[], $10::text[], $11::boolean[])
                  WITH ORDINALITY AS k (tenant, span, span_time, workflow, from_status, to_status, phase, trigger, currency,
                                        has_dwell, place)
             CROSS JOIN LATERAL (
                 SELECT t.dwell FROM transitions t
                 WHERE t.generation = $1 AND t.tenant = k.tenant AND t.span = k.span AND t.span_time = k.span_time
                   AND t.workflow = k.workflow AND t.from_status = k.from_status AND t.to_status = k.to_status
                   AND t.phase = k.phase AND t.trigger = k.trigger AND t.currency = k.currency
                 LIMIT 1
             ) t
             WHERE t.dwell IS NOT NULL AND k.has_dwell",
        )
        .bind(generation)
        .bind(&self.tenants)
        .bind(&self.spans)
        .bind(&self.span_times)
        .bind(&self.workflows)
        .bind(&self.from_statuses)
        .bind(&self.to_statuses)
        .bind(&self.phases)
        .bind(&self.triggers)
        .bind(&self.currencies)
        .bind(self.dwells.iter().map(|dwells| !dwells.is_empty()).collect::<Vec<_>>())
    }

    /// Adds the sums, and puts new histograms in the place of those that are stored.
    pub fn upsert<'q>(&'q self, generation: i32, dwells: &'q Encoded) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(
            "INSERT INTO transitions AS t (generation, tenant, span, span_time, workflow, from_status, to_status, phase, trigger,
                                           currency, orders, items, total_units, total_nanos, dwell_us, dwell)
             SELECT $1::integer, k.tenant, k.span, k.span_time, k.workflow, k.from_status, k.to_status, k.phase, k.trigger,
                    k.currency, k.orders, k.items, k.total_units::numeric, k.total_nanos::numeric, k.dwell_us::numeric, k.dwell
             FROM unnest($2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::smallint[],
                         $9::smallint[], $10::text[], $11::bigint[], $12::bigint[], $13::text[], $14::text[], $15::text[],
                         $16::bytea[])
                  AS k (tenant, span, span_time, workflow, from_status, to_status, phase, trigger, currency, orders, items,
                        total_units, total_nanos, dwell_us, dwell)
             ON CONFLICT (generation, tenant, span, span_time, workflow, from_status, to_status, phase, trigger, currency)
             DO UPDATE SET orders = t.orders + excluded.orders, items = t.items + excluded.items,
                           total_units = t.total_units + excluded.total_units,
                           total_nanos = t.total_nanos + excluded.total_nanos,
                           dwell_us = t.dwell_us + excluded.dwell_us, dwell = coalesce(excluded.dwell, t.dwell)",
        )
        .bind(generation)
        .bind(&self.tenants)
        .bind(&self.spans)
        .bind(&self.span_times)
        .bind(&self.workflows)
        .bind(&self.from_statuses)
        .bind(&self.to_statuses)
        .bind(&self.phases)
        .bind(&self.triggers)
        .bind(&self.currencies)
        .bind(&self.orders)
        .bind(&self.items)
        .bind(&self.total_units)
        .bind(&self.total_nanos)
        .bind(&self.dwell_us)
        .bind(dwells)
    }
}
