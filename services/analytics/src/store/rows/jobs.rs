//! Rows of `couriers`.

use std::collections::BTreeMap;

use sqlx::{
    Postgres,
    postgres::PgArguments,
    query::{Query, QueryAs},
};
use time::OffsetDateTime;

use super::{Encoded, Stored};
use crate::fold::{JobKey, JobSums};

/// Sums of jobs, by columns.
#[derive(Debug, Default)]
pub struct Jobs {
    tenants: Vec<String>,
    spans: Vec<i16>,
    span_times: Vec<OffsetDateTime>,
    workflows: Vec<String>,
    courier_ids: Vec<String>,
    offered: Vec<i64>,
    refused: Vec<i64>,
    allotted: Vec<i64>,
    released: Vec<i64>,
    picked_up: Vec<i64>,
    on_time: Vec<i64>,
    completed: Vec<i64>,
    pickup_us: Vec<String>,
    idle_us: Vec<String>,
    busy_us: Vec<String>,
    pickups: Vec<Vec<i64>>,
}

/// By columns, in the order of the keys.
pub fn jobs(sums: BTreeMap<JobKey<'_>, JobSums>) -> Jobs {
    let mut rows = Jobs::default();
    for (key, sums) in sums {
        rows.tenants.push(key.tenant.into());
        rows.spans.push(key.span as i16);
        rows.span_times.push(key.span_time);
        rows.workflows.push(key.workflow.into());
        rows.courier_ids.push(key.courier_id.into());
        rows.offered.push(sums.offered);
        rows.refused.push(sums.refused);
        rows.allotted.push(sums.allotted);
        rows.released.push(sums.released);
        rows.picked_up.push(sums.picked_up);
        rows.on_time.push(sums.on_time);
        rows.completed.push(sums.completed);
        rows.pickup_us.push(sums.pickup_us.to_string());
        rows.idle_us.push(sums.idle_us.to_string());
        rows.busy_us.push(sums.busy_us.to_string());
        rows.pickups.push(sums.pickups);
    }
    rows
}

impl Jobs {
    /// The durations of each row, in microseconds.
    pub fn durations(&self) -> &[Vec<i64>] {
        &self.pickups
    }

    /// The histograms that are stored already, where durations are to be added.
    pub fn stored(&self, generation: i32) -> QueryAs<'_, Postgres, Stored, PgArguments> {
        sqlx::query_as(
            "SELECT k.place, c.pickup
             FROM unnest($2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[])
                  WITH ORDINALITY AS k (tenant, span, span_time, workflow, courier_id, picked_up, place)
             CROSS JOIN LATERAL (
                 SELECT c.pickup FROM couriers c
                 WHERE c.generation = $1 AND c.tenant = k.tenant AND c.span = k.span AND c.span_time = k.span_time
                   AND c.workflow = k.workflow AND c.courier_id = k.courier_id
                 LIMIT 1
             ) c
             WHERE c.pickup IS NOT NULL AND k.picked_up > 0",
        )
        .bind(generation)
        .bind(&self.tenants)
        .bind(&self.spans)
        .bind(&self.span_times)
        .bind(&self.workflows)
        .bind(&self.courier_ids)
        .bind(&self.picked_up)
    }

    /// Adds the sums, and puts new histograms in the place of those that are stored.
    pub fn upsert<'q>(&'q self, generation: i32, pickups: &'q Encoded) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(
            "INSERT INTO couriers AS c (generation, tenant, span, span_time, workflow, courier_id, offered, refused, allotted,
                                        released, picked_up, on_time, completed, pickup_us, idle_us, busy_us, pickup)
             SELECT $1::integer, k.tenant, k.span, k.span_time, k.workflow, k.courier_id, k.offered, k.refused, k.allotted,
                    k.released, k.picked_up, k.on_time, k.completed, k.pickup_us::numeric, k.idle_us::numeric,
                    k.busy_us::numeric, k.pickup
             FROM unnest($2::text[], $3::smallint[], $4::timestamptz[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                         $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[],
                         $16::text[], $17::bytea[])
                  AS k (tenant, span, span_time, workflow, courier_id, offered, refused, allotted, released, picked_up, on_time,
                        completed, pickup_us, idle_us, busy_us, pickup)
             ON CONFLICT (generation, tenant, span, span_time, workflow, courier_id)
             DO UPDATE SET offered = c.offered + excluded.offered, refused = c.refused + excluded.refused,
                           allotted = c.allotted + excluded.allotted, released = c.released + excluded.released,
                           picked_up = c.picked_up + excluded.picked_up, on_time = c.on_time + excluded.on_time,
                           completed = c.completed + excluded.completed, pickup_us = c.pickup_us + excluded.pickup_us,
                           idle_us = c.idle_us + excluded.idle_us, busy_us = c.busy_us + excluded.busy_us,
                           pickup = coalesce(excluded.pickup, c.pickup)",
        )
        .bind(generation)
        .bind(&self.tenants)
        .bind(&self.spans)
        .bind(&self.span_times)
        .bind(&self.workflows)
        .bind(&self.courier_ids)
        .bind(&self.offered)
        .bind(&self.refused)
        .bind(&self.allotted)
        .bind(&self.released)
        .bind(&self.picked_up)
        .bind(&self.on_time)
        .bind(&self.completed)
        .bind(&self.pickup_us)
        .bind(&self.idle_us)
        .bind(&self.busy_us)
        .bind(pickups)
    }
}
