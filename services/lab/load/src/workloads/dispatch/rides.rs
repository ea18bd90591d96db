//! Rides, couriers, and what must be true of them in the end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, bail};
use comanda_proto::v1::{CreateOrderRequest, Trip};
use indicatif::ProgressBar;
use rand::{SeedableRng, rngs::StdRng};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{Instant, sleep};

use crate::{
    clients::CONNECTIONS,
    gauges,
    generator::{self, Outcome, Pace, Until},
    map::{Demand, Place},
    orders::order,
    report::Run,
    stage::Stage,
    workloads::REST_MS,
};

const CLIENTS: usize = 64;
const LOOK: Duration = Duration::from_millis(20);
/// A count that does not move for so long is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// No ride is given up while anything is measured.
pub(super) fn at_rest() -> [(&'static str, String); 1] {
    [("COMANDA_STEP_MS", REST_MS.to_string())]
}

/// The `n`-th ride of a city: the same in each run.
pub(super) fn trip(demand: &Demand, n: u64) -> (Place, Place) {
    demand.trip(n, &mut StdRng::seed_from_u64(n))
}

/// As it is asked for.
pub(super) fn ride(demand: &Demand, n: u64) -> CreateOrderRequest {
    let (pickup, dropoff) = trip(demand, n);
    let trip =
        Trip { pickup: Some(pickup.of_trip("")), dropoff: Some(dropoff.of_trip("")), load: 1, ..Trip::default() };
    CreateOrderRequest { workflow: "ride".into(), trip: Some(trip), ..order(n, false) }
}

/// Where the `n`-th courier waits: the same in each run.
pub(super) fn courier(demand: &Demand, n: u64) -> Place {
    demand.end(&mut StdRng::seed_from_u64(!n))
}

/// Couriers `courier-0` and so on, online and just heard from.
pub(super) async fn couriers(sql: &PgPool, count: u64, demand: &Demand) -> Result<()> {
    let places: Vec<Place> = (0..count).map(|n| courier(demand, n)).collect();
    let register = "INSERT INTO dispatch.couriers
                        (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status, idle_since)
                    SELECT 'default', 'courier-' || n, 'Ana', '', '', '', '', 1, 1000, 2, now()
                    FROM generate_series(0, $1 - 1) AS n";
    sqlx::query(register).bind(i64::try_from(count)?).execute(sql).await?;
    let locate = "INSERT INTO dispatch.positions (tenant, courier_id, latitude, longitude, position_time)
                  SELECT 'default', 'courier-' || (k.n - 1), k.latitude, k.longitude, now()
                  FROM unnest($1::float8[], $2::float8[]) WITH ORDINALITY AS k (latitude, longitude, n)";
    let latitudes: Vec<f64> = places.iter().map(|place| place.latitude).collect();
    let longitudes: Vec<f64> = places.iter().map(|place| place.longitude).collect();
    sqlx::query(locate).bind(latitudes).bind(longitudes).execute(sql).await?;
    sqlx::query("ANALYZE dispatch.couriers, dispatch.positions").execute(sql).await?;
    Ok(())
}

/// Asks for rides as fast as they are taken, waits until all are told, and says which order is which ride.
pub(super) async fn ask(stage: &Stage, count: u64, demand: &Demand, bar: &ProgressBar) -> Result<HashMap<String, u64>> {
    let connections = stage.connect("ordering", CONNECTIONS).await?;
    let (orders, demand) = (Arc::new(Mutex::new(HashMap::new())), demand.clone());
    let kept = orders.clone();
    let outcomes = generator::run(Pace::Closed { clients: CLIENTS }, Until::Count(count), bar, move |n| {
        let (connections, ride, kept) = (connections.clone(), ride(&demand, n), kept.clone());
        async move {
            let (outcome, order_id) = connections.create(n, ride).await;
            if let (Outcome::Done, Some(order_id)) = (outcome, order_id) {
                kept.lock().expect("no holder panics").insert(order_id, n);
            }
            outcome
        }
    })
    .await;
    gauges::told(&stage.sql, outcomes.done()).await?;
    let orders = std::mem::take(&mut *orders.lock().expect("no holder panics"));
    anyhow::ensure!(orders.len() as u64 == count, "only {} of {count} rides were taken", orders.len());
    Ok(orders)
}

/// Waits until so many rides are confirmed.
pub(super) async fn confirmed(sql: &PgPool, rides: u64, bar: &ProgressBar) -> Result<()> {
    let statement = "SELECT count(*) FROM state_machine.states WHERE status = 'confirmed'";
    let (mut before, mut moved) = (-1, Instant::now());
    loop {
        let now: i64 = sqlx::query_scalar(statement).fetch_one(sql).await?;
        bar.set_message(format!("{now} of {rides} rides confirmed"));
        if now >= rides as i64 {
            return Ok(());
        }
        if now != before {
            (before, moved) = (now, Instant::now());
        }
        if moved.elapsed() > STUCK {
            bail!("{now} of {rides} rides are confirmed, and nothing has moved for {STUCK:?}");
        }
        sleep(LOOK).await;
    }
}

/// What must be true, whatever was measured. Nothing may still be under way.
pub(super) async fn check(sql: &PgPool, run: &mut Run) -> Result<()> {
    for (name, statement) in [
        ("rides without exactly one open assignment", WITHOUT_ONE),
        ("couriers with more jobs than they take", TOO_MANY),
        ("events of dispatch that are not 1, 2, 3 ...", NOT_DENSE),
        ("outboxes are empty", OUTBOXES),
    ] {
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(sql).await?;
        run.check(name, found == 0, found.to_string());
    }
    Ok(())
}

const WITHOUT_ONE: &str = "SELECT count(*) FROM ordering.orders o
                           WHERE (SELECT count(*) FROM dispatch.assignments a
                                  WHERE a.order_id = o.order_id AND a.ended_at IS NULL) <> 1";
const TOO_MANY: &str = "SELECT count(*) FROM (
                            SELECT FROM dispatch.assignments a
                            JOIN dispatch.couriers c ON c.tenant = a.tenant AND c.courier_id = a.courier_id
                            WHERE a.ended_at IS NULL
                            GROUP BY c.tenant, c.courier_id HAVING count(*) > c.capacity
                        ) AS full_ones";
const NOT_DENSE: &str = "SELECT count(*) FROM (
                             SELECT FROM dispatch.events GROUP BY order_id
                             HAVING min(version) <> 1 OR max(version) <> count(*)
                         ) AS holes";
const OUTBOXES: &str = "SELECT (SELECT count(*) FROM ordering.outbox) + (SELECT count(*) FROM state_machine.outbox)
                             + (SELECT count(*) FROM dispatch.outbox)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rides_and_couriers_are_the_same_in_each_run() {
        let demand = Demand::new(1000.0, None).unwrap();
        assert_eq!(ride(&demand, 7), ride(&demand, 7));
        assert_eq!(courier(&demand, 7), courier(&demand, 7));
        assert_ne!(trip(&demand, 7), trip(&demand, 8));
        assert_ne!(courier(&demand, 7), courier(&demand, 8));
    }
}
