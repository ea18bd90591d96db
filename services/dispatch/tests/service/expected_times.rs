//! Expected times follow the courier; broken promises are told.

use std::sync::Arc;

use anyhow::Result;
use comanda_dispatch::{
    grid::{Grid, Seen},
    leader::expected::ExpectedTimes,
    place::{CourierKey, Point},
    travel::StraightLine,
};
use comanda_proto::{
    events::{AssignmentEvent, AssignmentEventType as Type},
    v1::AssignmentState,
};
use prost::Message;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fixture::{Fixture, PICKUP, TENANT};

/// A metre to the north, in degrees.
const METRE: f64 = 1.0 / 111_195.0;

/// Courier c-1 with one order that is promised for now, and what keeps its expected times: at 10 m/s, so over the 11 km from pickup to drop-off for 18.5 minutes.
struct World {
    fixture: Fixture,
    grid: Arc<Grid>,
    expected: ExpectedTimes,
    order_id: Uuid,
}

impl World {
    async fn new() -> Result<Self> {
        let (fixture, grid) = (Fixture::new().await?, Arc::new(Grid::default()));
        fixture.register(TENANT, "c-1").await?;
        let order_id = fixture.assign("c-1", 1, AssignmentState::Active).await?;
        let fresh = "UPDATE dispatch.assignments
                     SET promised_pickup_time = now(), expected_pickup_time = NULL, expected_dropoff_time = NULL";
        fixture.execute(fresh).await?;
        let travel = Arc::new(StraightLine { kmh: 36 });
        let expected = ExpectedTimes::new(fixture.store()?, (grid.clone(), travel), Arc::default());
        Ok(Self { fixture, grid, expected, order_id })
    }

    /// The courier is so many metres south of the pickup.
    fn drive_to(&self, metres: f64) {
        let (point, time) =
            (Point::new(PICKUP.0 - metres * METRE, PICKUP.1).expect("valid"), OffsetDateTime::now_utc());
        self.grid.note(CourierKey::new(TENANT, "c-1"), Seen { point, time, heard: time });
    }

    /// Changes the one assignment.
    async fn set(&self, statement: &'static str) -> Result<()> {
        self.fixture.execute(statement).await
    }

    async fn events(&self) -> Result<Vec<(i64, AssignmentEvent)>> {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT version, content FROM dispatch.events WHERE order_id = $1 ORDER BY version")
                .bind(self.order_id)
                .fetch_all(&self.fixture.sql)
                .await?;
        rows.into_iter().map(|(version, content)| Ok((version, AssignmentEvent::decode(&*content)?))).collect()
    }

    async fn revision(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT revision FROM dispatch.couriers").fetch_one(&self.fixture.sql).await?)
    }
}

#[tokio::test]
async fn a_change_of_more_than_a_minute_is_written_told_and_shown_to_the_courier() -> Result<()> {
    let world = World::new().await?;
    let lease = world.fixture.lead().await?;
    world.set("UPDATE dispatch.assignments SET promised_pickup_time = now() + interval '10 minutes'").await?;
    world.drive_to(3000.0);
    let revision = world.revision().await?;
    assert_eq!(world.expected.refresh_all(lease).await?, 1, "nothing was expected before");
    assert_eq!(world.expected.refresh_all(lease).await?, 0);
    world.drive_to(2500.0);
    assert_eq!(world.expected.refresh_all(lease).await?, 0, "50 seconds earlier");
    world.drive_to(2000.0);
    assert_eq!(world.expected.refresh_all(lease).await?, 1);
    assert_eq!(world.revision().await?, revision + 2);

    let events = world.events().await?;
    assert_eq!(events.iter().map(|(version, _)| *version).collect::<Vec<_>>(), [1, 2]);
    let expected = |event: &AssignmentEvent| event.expected_pickup_time.expect("a time").seconds;
    let earlier = expected(&events[0].1) - expected(&events[1].1);
    assert!((90..=100).contains(&earlier), "{earlier}");
    for (_, event) in &events {
        assert_eq!((event.r#type(), event.attempt, event.courier_id.as_str()), (Type::ExpectedTimeChanged, 1, "c-1"));
        let way = event.expected_dropoff_time.expect("a time").seconds - expected(event);
        assert!((1100..1125).contains(&way), "{way}");
    }
    let outbox: i64 = sqlx::query_scalar("SELECT sum(cardinality(order_ids)) FROM dispatch.outbox")
        .fetch_one(&world.fixture.sql)
        .await?;
    assert_eq!(outbox, 2);
    Ok(())
}

#[tokio::test]
async fn a_broken_promise_is_told_at_once_and_each_five_minutes_until_the_pickup() -> Result<()> {
    let world = World::new().await?;
    let lease = world.fixture.lead().await?;
    world.drive_to(500.0);
    assert_eq!(world.expected.refresh_all(lease).await?, 1);
    assert_eq!(world.expected.refresh_all(lease).await?, 0);
    world.set("UPDATE dispatch.assignments SET delay_told_time = delay_told_time - interval '5 minutes'").await?;
    assert_eq!(world.expected.refresh_all(lease).await?, 1);
    world.set("UPDATE dispatch.assignments SET delay_told_time = NULL, pickup_time = now()").await?;
    assert_eq!(world.expected.refresh_all(lease).await?, 0);
    let kinds: Vec<_> = world.events().await?.iter().map(|(_, event)| event.r#type()).collect();
    assert_eq!(kinds, [Type::Delayed, Type::Delayed]);
    Ok(())
}

#[tokio::test]
async fn a_former_leader_tells_nothing_and_no_event_has_a_place() -> Result<()> {
    let world = World::new().await?;
    let former = world.fixture.lead().await?;
    let lease = world.fixture.lead().await?;
    world.drive_to(3000.0);
    assert_eq!(world.expected.refresh_all(former).await?, 0);
    assert_eq!(world.events().await?, []);
    assert_eq!(world.expected.refresh_all(lease).await?, 1);
    let contents: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT content FROM dispatch.events").fetch_all(&world.fixture.sql).await?;
    let at = world.grid.last_seen(&CourierKey::new(TENANT, "c-1")).expect("it was seen").point;
    for degrees in [PICKUP.0, PICKUP.1, at.latitude, at.longitude] {
        let holds = |content: &Vec<u8>| content.windows(8).any(|part| part == degrees.to_le_bytes());
        assert!(!contents.iter().any(holds));
    }
    Ok(())
}

#[tokio::test]
async fn of_an_erased_trip_nothing_is_told() -> Result<()> {
    let world = World::new().await?;
    let lease = world.fixture.lead().await?;
    world.drive_to(3000.0);
    world.set("DELETE FROM ordering.trips").await?;
    assert_eq!(world.expected.refresh_all(lease).await?, 0);
    Ok(())
}
