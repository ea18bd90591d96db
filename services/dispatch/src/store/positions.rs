//! The last position of each courier: what a grid begins with.

use comanda_kit::{
    lease::Lease,
    postgres::{StoreError, bounded},
};
use sqlx::FromRow;
use time::OffsetDateTime;

use super::Store;
use crate::{
    grid::{Grid, KEPT, Seen},
    place::{CourierKey, Point},
};

/// How many positions one statement reads or writes.
const BATCH: usize = 5000;

#[derive(FromRow)]
struct PositionRow {
    tenant: String,
    courier_id: String,
    latitude: f64,
    longitude: f64,
    position_time: OffsetDateTime,
}

impl PositionRow {
    fn into_seen(self) -> Option<(CourierKey, Seen)> {
        let point = Point::new(self.latitude, self.longitude)?;
        let seen = Seen { point, time: self.position_time, heard: self.position_time };
        Some((CourierKey::new(&self.tenant, &self.courier_id), seen))
    }
}

impl Store {
    /// Which of these couriers are registered.
    pub async fn registered(&self, couriers: &[CourierKey]) -> Result<Vec<CourierKey>, StoreError> {
        let tenants: Vec<_> = couriers.iter().map(|courier| &*courier.tenant).collect();
        let ids: Vec<_> = couriers.iter().map(|courier| &*courier.courier_id).collect();
        let statement = "SELECT tenant, courier_id FROM couriers
                         WHERE (tenant, courier_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))";
        let statement = sqlx::query_as(statement).bind(tenants).bind(ids);
        let rows: Vec<(String, String)> = bounded(statement.fetch_all(&self.pool)).await?;
        Ok(rows.iter().map(|(tenant, courier_id)| CourierKey::new(tenant, courier_id)).collect())
    }

    /// Gives a grid every position that is stored. It keeps those that are newer.
    pub async fn restore_positions(&self, grid: &Grid) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new());
        loop {
            let rows = self.positions_after(&after).await?;
            let is_last = rows.len() < BATCH;
            if let Some(last) = rows.last() {
                after = (last.tenant.clone(), last.courier_id.clone());
            }
            for (courier, seen) in rows.into_iter().filter_map(PositionRow::into_seen) {
                grid.restore(courier, seen);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn positions_after(&self, (tenant, courier_id): &(String, String)) -> Result<Vec<PositionRow>, StoreError> {
        bounded(
            sqlx::query_as(
                "SELECT tenant, courier_id, latitude, longitude, position_time
                 FROM positions
                 WHERE (tenant, courier_id) > ($1, $2)
                 ORDER BY tenant, courier_id
                 LIMIT $3",
            )
            .bind(tenant)
            .bind(courier_id)
            .bind(BATCH as i64)
            .fetch_all(&self.pool),
        )
        .await
    }

    /// Stores positions, sorted by courier, where they are newer than what is stored. False where the lease is another's by now: then nothing
    /// was stored.
    pub async fn store_positions(&self, lease: Lease, positions: &[(CourierKey, Seen)]) -> Result<bool, StoreError> {
        for batch in positions.chunks(BATCH) {
            if !self.store_batch(lease, batch).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn store_batch(&self, lease: Lease, batch: &[(CourierKey, Seen)]) -> Result<bool, StoreError> {
        let tenants: Vec<_> = batch.iter().map(|(courier, _)| &*courier.tenant).collect();
        let couriers: Vec<_> = batch.iter().map(|(courier, _)| &*courier.courier_id).collect();
        let latitudes: Vec<_> = batch.iter().map(|(_, seen)| seen.point.latitude).collect();
        let longitudes: Vec<_> = batch.iter().map(|(_, seen)| seen.point.longitude).collect();
        let times: Vec<_> = batch.iter().map(|(_, seen)| seen.time).collect();
        let mut connection = self.dedicated.take().await?;
        let statement = sqlx::query_scalar(
            "WITH term AS MATERIALIZED (
                 SELECT FROM lease WHERE epoch = $6 FOR SHARE
             ), stored AS (
                 INSERT INTO positions (tenant, courier_id, latitude, longitude, position_time)
                 SELECT p.tenant, p.courier_id, p.latitude, p.longitude, p.position_time
                 FROM unnest($1::text[], $2::text[], $3::float8[], $4::float8[], $5::timestamptz[])
                      AS p (tenant, courier_id, latitude, longitude, position_time)
                 WHERE EXISTS (SELECT FROM term)
                 ON CONFLICT (tenant, courier_id) DO UPDATE
                 SET latitude = excluded.latitude, longitude = excluded.longitude, position_time = excluded.position_time
                 WHERE positions.position_time < excluded.position_time
             )
             SELECT EXISTS (SELECT FROM term)",
        );
        let statement = statement.bind(tenants).bind(couriers).bind(latitudes).bind(longitudes).bind(times);
        let leads = bounded(statement.bind(lease.epoch).fetch_one(&mut *connection)).await;
        connection.end(leads)
    }

    /// Removes positions that are older than [`KEPT`]: where somebody was yesterday is nobody's business.
    pub async fn remove_old_positions(&self) -> Result<u64, StoreError> {
        let statement = sqlx::query("DELETE FROM positions WHERE position_time < now() - make_interval(secs => $1)");
        Ok(bounded(statement.bind(KEPT.as_secs_f64()).execute(&self.pool)).await?.rows_affected())
    }
}
