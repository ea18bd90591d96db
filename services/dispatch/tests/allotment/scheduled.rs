use anyhow::Result;
use time::{Duration, OffsetDateTime};

use super::{
    fixture::{Fixture, Placed, RIDE, config},
    stepper::Stepper,
};

fn in_minutes(minutes: i64) -> Option<OffsetDateTime> {
    Some(OffsetDateTime::now_utc() + Duration::minutes(minutes))
}

#[tokio::test]
async fn a_scheduled_ride_is_held_until_it_is_time_for_its_nearest_courier_to_leave() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 20).await?;
    // 10 km at 20 km/h: half an hour.
    stepper.heard("c-1", 10_000.0);
    let far_ahead = fixture.place(Placed { start_time: in_minutes(13 * 24 * 60), ..RIDE }).await?;
    let early = fixture.place(Placed { start_time: in_minutes(50), ..RIDE }).await?;
    stepper.see(&[far_ahead, early]).await?;
    assert_eq!((fixture.job(far_ahead).await?, stepper.round().await?), (Some(1), 0));
    let due = fixture.place(Placed { start_time: in_minutes(40), ..RIDE }).await?;
    stepper.see(&[due]).await?;
    assert_eq!(stepper.round().await?, 1);
    assert!(fixture.open(due).await?.is_some());
    let promised: OffsetDateTime =
        sqlx::query_scalar("SELECT promised_pickup_time FROM dispatch.assignments").fetch_one(&fixture.sql).await?;
    assert!(promised > OffsetDateTime::now_utc() + Duration::minutes(39), "not before it is wanted");
    Ok(())
}

#[tokio::test]
async fn a_scheduled_ride_goes_to_nobody_whose_shift_ends_before_it_begins() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    fixture.run("UPDATE dispatch.couriers SET shift_end = now() + interval '5 minutes'").await?;
    stepper.heard("c-1", 100.0);
    let ride = fixture.place(Placed { start_time: in_minutes(10), ..RIDE }).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(stepper.round().await?, 0);
    fixture.run("UPDATE dispatch.couriers SET shift_end = now() + interval '15 minutes'").await?;
    assert_eq!(stepper.round().await?, 1);
    Ok(())
}
