use anyhow::Result;
use comanda_dispatch::Config;
use comanda_proto::v1::{AssignmentOutcome, Phase};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    fixture::{Fixture, Placed, RIDE, config},
    stepper::{Stepper, refused},
};

#[tokio::test]
async fn an_order_is_given_by_hand_once_however_often_the_call_is_repeated() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    fixture.courier("default", "c-2", 1).await?;
    // Its record has not come yet, it is wanted tomorrow, and nobody knows where the courier is.
    let tomorrow = OffsetDateTime::now_utc() + Duration::days(1);
    let ride = fixture.place(Placed { start_time: Some(tomorrow), ..RIDE }).await?;
    let request_id = Some(Uuid::new_v4());
    let first = stepper.give(ride, "c-1", request_id).await?;
    assert!(!first.replayed);
    let assignment = first.case.assignment.expect("there");
    assert!((assignment.promised_pickup_time - tomorrow).abs() < Duration::milliseconds(1));
    assert!(stepper.give(ride, "c-1", request_id).await?.replayed);
    assert_eq!(refused(stepper.give(ride, "c-2", request_id).await), "IDEMPOTENCY_MISMATCH");
    assert_eq!(refused(stepper.give(ride, "c-2", None).await), "ALREADY_ALLOTTED");
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?.1, "confirmed");
    assert_eq!(fixture.of_order(ride).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_given_is_refused_with_its_reason() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    fixture.courier("acme", "theirs", 1).await?;
    let (ride, other) = (fixture.place(RIDE).await?, fixture.place(RIDE).await?);
    let received = fixture.place(Placed { workflow: "courier-delivery", status: "received", ..RIDE }).await?;
    let theirs = fixture.place(Placed { tenant: "acme", ..RIDE }).await?;
    assert_eq!(refused(stepper.give(Uuid::now_v7(), "c-1", None).await), "ORDER_NOT_FOUND");
    assert_eq!(refused(stepper.give(theirs, "c-1", None).await), "ORDER_NOT_FOUND");
    assert_eq!(refused(stepper.give(ride, "nobody", None).await), "COURIER_NOT_FOUND");
    assert_eq!(refused(stepper.give(ride, "theirs", None).await), "COURIER_NOT_FOUND");
    assert_eq!(refused(stepper.give(received, "c-1", None).await), "NOT_WAITING");
    stepper.give(ride, "c-1", None).await?;
    assert_eq!(refused(stepper.give(other, "c-1", None).await), "COURIER_FULL");
    fixture.run("UPDATE dispatch.couriers SET capacity = 9, status = 3").await?;
    assert_eq!(refused(stepper.give(other, "c-1", None).await), "COURIER_FULL");
    fixture.advance(other, "cancelled", Phase::Cancelled).await?;
    stepper.see(&[other]).await?;
    assert_eq!(refused(stepper.give(other, "c-1", None).await), "NOT_WAITING");
    Ok(())
}

#[tokio::test]
async fn an_open_offer_makes_way_for_what_is_given_by_hand() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &Config { offer_ms: 60_000, ..config() })?;
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard("c-1", 100.0);
    fixture.courier("default", "c-2", 1).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    stepper.round().await?;
    let given = stepper.give(ride, "c-2", None).await?;
    assert_eq!(given.case.assignment.expect("there").attempt, 2);
    let of_order = fixture.of_order(ride).await?;
    assert_eq!(of_order[0].outcome, AssignmentOutcome::Withdrawn as i16);
    assert_eq!((of_order[1].courier_id.as_str(), of_order[1].state), ("c-2", 2));
    Ok(())
}

#[tokio::test]
async fn an_order_that_was_given_up_can_still_be_given_by_hand() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &Config { dispatch_attempts: 0, ..config() })?;
    fixture.courier("default", "c-1", 1).await?;
    let order = fixture.place(Placed { workflow: "courier-delivery", status: "preparing", ..RIDE }).await?;
    stepper.see(&[order]).await?;
    stepper.round().await?;
    assert_eq!(fixture.job(order).await?, Some(4));
    stepper.give(order, "c-1", None).await?;
    assert_eq!(fixture.job(order).await?, Some(3));
    Ok(())
}
