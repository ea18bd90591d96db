//! Batches over UNNEST get wrong plans on young statistics: scans of whole tables, ten times the time. Postgres counts what each
//! index and table was read: that tells what plans were run, not what plans were hoped for.

use anyhow::Result;
use comanda_dispatch::commands::Action;
use comanda_proto::v1::Phase;
use uuid::Uuid;

use super::{
    fixture::{Fixture, PICKUP, Placed, RIDE, config},
    stepper::Stepper,
};

/// How many rows of the past each table holds.
const ROWS: i64 = 20_000;
/// How many rides are given to couriers.
const RIDES: usize = 100;
/// How far from each other they begin.
const APART_METRES: f64 = 1000.0;

#[tokio::test]
async fn no_statement_reads_a_whole_table_that_was_filled_and_never_analyzed() -> Result<()> {
    let fixture = Fixture::new().await?;
    fill(&fixture).await?;
    let rides = place(&fixture).await?;
    fixture.environment.forget_reads().await?;

    let mut stepper = Stepper::new(&fixture, &config())?;
    for courier in 0..RIDES {
        stepper.heard(&format!("c-{courier}"), APART_METRES * courier as f64);
    }
    stepper.see(&rides).await?;
    assert_eq!(stepper.round().await?, RIDES);
    move_all(&fixture, &stepper, &rides, "confirmed", Phase::Active).await?;
    carry_out(&stepper, Action::Arrive, &rides).await?;
    move_all(&fixture, &stepper, &rides, "arriving", Phase::Active).await?;
    carry_out(&stepper, Action::PickUp, &rides[..RIDES / 2]).await?;
    move_all(&fixture, &stepper, &rides[..RIDES / 2], "on_trip", Phase::Active).await?;
    move_all(&fixture, &stepper, &rides[..RIDES / 2], "completed", Phase::Succeeded).await?;
    carry_out(&stepper, Action::Withdraw, &rides[RIDES / 2..]).await?;
    stepper.publish_all().await?;
    assert_eq!(fixture.number("SELECT count(*) FROM dispatch.assignments WHERE ended_at IS NULL").await, 0);
    drop(stepper);

    let scanned: Vec<_> = fixture.environment.reads().await?.into_iter().filter(|(_, read)| *read > ROWS / 2).collect();
    assert!(scanned.is_empty(), "read for {RIDES} rides: {scanned:?}");
    Ok(())
}

/// Rides, each with a courier where it begins.
async fn place(fixture: &Fixture) -> Result<Vec<Uuid>> {
    let mut rides = Vec::with_capacity(RIDES);
    for courier in 0..RIDES {
        fixture.courier("default", &format!("c-{courier}"), 1).await?;
        let pickup = (PICKUP.0 + APART_METRES * courier as f64 / 111_195.0, PICKUP.1);
        rides.push(fixture.place(Placed { pickup, ..RIDE }).await?);
    }
    Ok(rides)
}

/// The state machine moves the rides, and dispatch learns of it.
async fn move_all(fixture: &Fixture, stepper: &Stepper, rides: &[Uuid], status: &str, phase: Phase) -> Result<()> {
    for ride in rides {
        fixture.advance(*ride, status, phase).await?;
    }
    stepper.see(rides).await
}

async fn carry_out(stepper: &Stepper, action: Action, rides: &[Uuid]) -> Result<()> {
    for ride in rides {
        stepper.command(action, *ride, 1).await?;
    }
    Ok(())
}

/// Makes the tables large without new statistics: rides that ended, and couriers that are off. Not the outbox, which is empty at rest.
async fn fill(fixture: &Fixture) -> Result<()> {
    let tables = [
        "ordering.orders",
        "ordering.trips",
        "state_machine.states",
        "dispatch.couriers",
        "dispatch.jobs",
        "dispatch.assignments",
        "dispatch.events",
    ];
    for table in tables {
        fixture.run(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await?;
    }
    let statements = format!(
        "INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                      total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
         SELECT gen_random_uuid(), 'default', number, 'c', '', '', '', '', 'EUR', 1, 0, 1, 'ride', 1, 'requested'
         FROM generate_series(1, {ROWS}) AS n (number);
         INSERT INTO ordering.trips (order_id, tenant, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude,
                                     load, vehicle_kind, zone)
         SELECT order_id, tenant, 40, -3, 40, -3, 1, '', '' FROM ordering.orders;
         INSERT INTO state_machine.states
             (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
         SELECT order_id, tenant, 'ride', 1, 5, 'completed', 2, create_time, 'infinity' FROM ordering.orders;
         INSERT INTO dispatch.couriers (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status)
         SELECT tenant, 'off-' || number, '', '', '', '', '', 1, 10, 1 FROM ordering.orders;
         INSERT INTO dispatch.jobs (order_id, tenant, number, workflow, workflow_revision, order_version, order_status, event_version,
                                    state, not_before, waiting_since, attempts)
         SELECT order_id, tenant, number, 'ride', 1, 5, 'completed', 1, 4, create_time, create_time, 1 FROM ordering.orders;
         INSERT INTO dispatch.assignments (order_id, attempt, tenant, courier_id, slot, state, outcome, promised_pickup_time, ended_at)
         SELECT order_id, 1, tenant, 'off-' || number, 1, 3, 1, create_time, create_time FROM ordering.orders;
         INSERT INTO dispatch.events (order_id, version, tenant, content)
         SELECT order_id, 1, tenant, '' FROM ordering.orders"
    );
    fixture.run(&statements).await
}
