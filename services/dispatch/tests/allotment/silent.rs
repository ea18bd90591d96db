use anyhow::Result;
use comanda_dispatch::commands::Action;
use comanda_kit::testing::Logs;
use comanda_proto::{events::AssignmentEventType as Type, v1::AssignmentOutcome};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    fixture::{Fixture, RIDE, config},
    stepper::Stepper,
};

/// A ride that was allotted to c-1 ten minutes ago, and a courier who has not been heard from for that long.
async fn silent(fixture: &Fixture) -> Result<(Stepper, Uuid)> {
    let mut stepper = Stepper::new(fixture, &config())?;
    let now = OffsetDateTime::now_utc();
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard_at("default", "c-1", 100.0, now - Duration::minutes(10));
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(stepper.round().await?, 1, "nothing is known of the topic yet");
    stepper.settle(fixture).await?;
    stepper.grid.note_read(now + Duration::seconds(5));
    Ok((stepper, ride))
}

const LONG_AGO: &str = "UPDATE dispatch.assignments SET allot_time = now() - interval '10 minutes'";

#[tokio::test]
async fn a_courier_who_fell_silent_gets_nothing_new() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    let now = OffsetDateTime::now_utc();
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard_at("default", "c-1", 100.0, now - Duration::seconds(130));
    stepper.grid.note_read(now + Duration::seconds(1));
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(stepper.round().await?, 0);
    stepper.heard("c-1", 100.0);
    assert_eq!(stepper.round().await?, 1);
    Ok(())
}

#[tokio::test]
async fn before_the_pickup_the_order_of_a_silent_courier_is_released() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = silent(&fixture).await?;
    let lease = stepper.lead().await?;
    assert_eq!(stepper.overdue.release_silent(lease).await?, 0, "it has had the order for a moment only");
    fixture.run(LONG_AGO).await?;
    assert_eq!(stepper.overdue.release_silent(lease).await?, 1);
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?.1, "requested");
    assert_eq!(fixture.of_order(ride).await?[0].outcome, AssignmentOutcome::CourierSilent as i16);
    assert_eq!(stepper.round().await?, 0, "the courier is still silent");
    fixture.courier("default", "c-2", 1).await?;
    stepper.heard("c-2", 500.0);
    assert_eq!(stepper.round().await?, 1);
    Ok(())
}

#[tokio::test]
async fn after_the_pickup_a_silent_courier_keeps_the_order_and_an_alarm_is_given_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = silent(&fixture).await?;
    stepper.command(Action::Arrive, ride, 1).await?;
    stepper.command(Action::PickUp, ride, 1).await?;
    stepper.settle(&fixture).await?;
    fixture.run(LONG_AGO).await?;
    let lease = stepper.lead().await?;
    let (logs, _guard) = Logs::catch();
    for _ in 0..2 {
        assert_eq!(stepper.overdue.release_silent(lease).await?, 0);
    }
    assert_eq!(logs.count("has not been heard from"), 1);
    assert!(fixture.open(ride).await?.is_some());
    let alarms = fixture.events(ride).await?.iter().filter(|event| event.r#type() == Type::CourierSilent).count();
    assert_eq!(alarms, 1);
    stepper.heard("c-1", 100.0);
    stepper.overdue.release_silent(lease).await?;
    stepper.command(Action::Complete, ride, 1).await?;
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?.1, "completed");
    Ok(())
}

#[tokio::test]
async fn a_courier_who_was_never_heard_from_is_not_silent() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.give(ride, "c-1", None).await?;
    fixture.run(LONG_AGO).await?;
    stepper.grid.note_read(OffsetDateTime::now_utc());
    let lease = stepper.lead().await?;
    assert_eq!(stepper.overdue.release_silent(lease).await?, 0, "it was given by hand to one who tells no positions");
    Ok(())
}
