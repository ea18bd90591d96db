//! Positions outlive leaders, restarts and the topic.

use anyhow::Result;
use comanda_dispatch::{grid::Grid, last_positions::LastPositions};
use comanda_kit::shutdown::Tasks;
use comanda_proto::{LatLng, events::CourierLocation, topics, views::timestamp};
use prost::Message;
use time::OffsetDateTime;

use crate::fixture::{Fixture, TENANT, after, seen};

/// Records as the service publishes them, each of a courier at a second after `since`.
async fn publish(fixture: &Fixture, since: OffsetDateTime, positions: &[(&str, u64, f64)]) -> Result<()> {
    let record = |(courier_id, seconds, latitude): &(&str, u64, f64)| {
        let location = CourierLocation {
            courier_id: (*courier_id).into(),
            tenant: TENANT.into(),
            position: Some(LatLng { latitude: *latitude, longitude: -3.7 }),
            record_time: Some(timestamp(after(since, *seconds))),
            accuracy_meters: 5.0,
        };
        ((*courier_id).to_owned(), location.encode_to_vec())
    };
    let records: Vec<_> = positions.iter().map(record).collect();
    fixture.environment.produce(topics::COURIER_LOCATIONS, &records).await
}

/// Whole seconds, which both Kafka and the database keep.
fn noted_now() -> OffsetDateTime {
    OffsetDateTime::now_utc().replace_nanosecond(0).expect("no nanoseconds")
}

async fn stored(fixture: &Fixture) -> Result<Vec<(String, f64)>> {
    let statement = "SELECT courier_id, latitude FROM dispatch.positions ORDER BY courier_id";
    Ok(sqlx::query_as(statement).fetch_all(&fixture.sql).await?)
}

#[tokio::test]
async fn positions_survive_a_change_of_leader_a_lost_topic_and_a_restart() -> Result<()> {
    let (fixture, began, tasks) = (Fixture::new().await?, noted_now(), Tasks::new());
    let first = fixture.grid(&tasks)?;
    publish(&fixture, began, &[("c-1", 0, 40.0), ("c-2", 0, 41.0), ("c-1", 1, 40.1)]).await?;
    seen(&first, "c-1", |seen| seen.time == after(began, 1)).await;
    seen(&first, "c-2", |_| true).await;
    let mut first_writer = LastPositions::new(first.clone(), fixture.store()?);
    assert_eq!(first_writer.write_next(fixture.lead().await?).await?, 2);
    assert_eq!(stored(&fixture).await?, [("c-1".into(), 40.1), ("c-2".into(), 41.0)]);

    fixture.environment.delete_topic(topics::COURIER_LOCATIONS).await?;
    // Who leads next has what the database has, though it could read nothing, and judges nobody silent by that.
    let second = fixture.grid(&tasks)?;
    let restored = seen(&second, "c-1", |_| true).await;
    assert_eq!((restored.time, restored.point), (after(began, 1), seen(&first, "c-1", |_| true).await.point));
    assert!(!second.is_silent(&restored, after(began, 3600)));
    // The same where it had started before there was anything.
    let empty = std::sync::Arc::new(Grid::default());
    let mut second_writer = LastPositions::new(empty.clone(), fixture.store()?);
    assert_eq!(second_writer.write_next(fixture.lead().await?).await?, 0);
    seen(&empty, "c-2", |seen| seen.time == began).await;

    // A new log is read from its beginning, by everybody.
    fixture.environment.create_topic(topics::COURIER_LOCATIONS).await?;
    publish(&fixture, began, &[("c-2", 5, 41.5), ("c-2", 6, 41.6)]).await?;
    for grid in [&first, &second] {
        seen(grid, "c-2", |seen| seen.time == after(began, 6)).await;
        seen(grid, "c-1", |seen| seen.time == after(began, 1)).await;
    }
    tasks.stop_token().cancel();
    tasks.run().await
}

#[tokio::test]
async fn a_former_leader_writes_nothing_and_an_old_position_replaces_no_newer_one() -> Result<()> {
    let (fixture, began, tasks) = (Fixture::new().await?, noted_now(), Tasks::new());
    let grid = fixture.grid(&tasks)?;
    let mut writer = LastPositions::new(grid.clone(), fixture.store()?);
    let former = fixture.lead().await?;
    publish(&fixture, began, &[("c-1", 1, 40.0)]).await?;
    seen(&grid, "c-1", |_| true).await;
    let lease = fixture.lead().await?;
    assert_eq!(writer.write_next(former).await?, 0);
    assert_eq!(stored(&fixture).await?, []);
    assert_eq!(writer.write_next(lease).await?, 1, "what was not written is not taken for written");

    sqlx::query("UPDATE dispatch.positions SET latitude = 50, position_time = $1")
        .bind(after(began, 9))
        .execute(&fixture.sql)
        .await?;
    publish(&fixture, began, &[("c-1", 8, 40.8)]).await?;
    seen(&grid, "c-1", |seen| seen.time == after(began, 8)).await;
    writer.write_next(lease).await?;
    assert_eq!(stored(&fixture).await?, [("c-1".into(), 50.0)]);
    tasks.stop_token().cancel();
    tasks.run().await
}

#[tokio::test]
async fn the_database_gets_one_row_a_courier_however_often_it_reports() -> Result<()> {
    let (fixture, began, tasks) = (Fixture::new().await?, noted_now(), Tasks::new());
    let grid = fixture.grid(&tasks)?;
    let positions: Vec<_> = (0..2000).map(|second| ("c-1", second, 40.0)).collect();
    publish(&fixture, began, &positions).await?;
    seen(&grid, "c-1", |seen| seen.time == after(began, 1999)).await;
    let (mut writer, lease) = (LastPositions::new(grid, fixture.store()?), fixture.lead().await?);
    assert_eq!(writer.write_next(lease).await?, 1);
    assert_eq!(writer.write_next(lease).await?, 0, "it did not move");
    assert_eq!(stored(&fixture).await?.len(), 1);
    tasks.stop_token().cancel();
    tasks.run().await
}

#[tokio::test]
async fn a_courier_falls_silent_once_the_topic_was_read_two_minutes_further() -> Result<()> {
    let (fixture, began, tasks) = (Fixture::new().await?, noted_now(), Tasks::new());
    let grid = fixture.grid(&tasks)?;
    publish(&fixture, began, &[("c-1", 0, 40.0)]).await?;
    let heard = seen(&grid, "c-1", |_| true).await.heard;
    comanda_kit::testing::eventually("the topic was read to its end", || async {
        grid.silent_before(after(began, 3600)).filter(|before| *before >= heard - comanda_dispatch::grid::SILENCE)
    })
    .await;
    let courier = seen(&grid, "c-1", |_| true).await;
    assert!(!grid.is_silent(&courier, after(began, 3600)), "the topic was not read that far");
    grid.note_read(after(began, 300));
    assert!(grid.is_silent(&courier, after(began, 300)));
    tasks.stop_token().cancel();
    tasks.run().await
}
