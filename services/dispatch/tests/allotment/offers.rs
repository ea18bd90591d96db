use anyhow::Result;
use comanda_dispatch::{Config, commands::Action};
use comanda_proto::{events::AssignmentEventType as Type, v1::AssignmentOutcome};

use super::{
    fixture::{Fixture, Placed, RIDE, config},
    stepper::{Stepper, refused},
};

fn asking() -> Config {
    Config { offer_ms: 60_000, ..config() }
}

const EXPIRE: &str = "UPDATE dispatch.assignments SET offered_until = now() - interval '1 second' WHERE state = 1";

async fn with_couriers(fixture: &Fixture, config: &Config, count: usize) -> Result<Stepper> {
    let stepper = Stepper::new(fixture, config)?;
    for index in 1..=count {
        let courier = format!("c-{index}");
        fixture.courier("default", &courier, 1).await?;
        stepper.heard(&courier, index as f64 * 100.0);
    }
    Ok(stepper)
}

#[tokio::test]
async fn an_offer_that_is_accepted_becomes_an_assignment_and_accepting_again_is_answered_the_same() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = with_couriers(&fixture, &asking(), 1).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(stepper.round().await?, 1);
    assert_eq!(stepper.settle(&fixture).await?, 0, "an offer asks for no step");
    assert_eq!(refused(stepper.command(Action::Arrive, ride, 1).await), "NOT_CONFIRMED");
    let accepted = stepper.command(Action::Accept, ride, 1).await?;
    assert!(!accepted.replayed && accepted.case.assignment.expect("there").allot_time.is_some());
    assert!(stepper.command(Action::Accept, ride, 1).await?.replayed);
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?.1, "confirmed");
    assert_eq!(refused(stepper.command(Action::Decline, ride, 1).await), "ALREADY_ALLOTTED");
    let events = fixture.events(ride).await?;
    let kinds: Vec<_> = events.iter().map(|event| event.r#type()).collect();
    assert_eq!(kinds, [Type::Offered, Type::Allotted]);
    assert!(events[0].offer_expire_time.is_some() && events[1].actor == "owner");
    Ok(())
}

#[tokio::test]
async fn a_courier_who_declines_is_not_asked_again() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = with_couriers(&fixture, &asking(), 2).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    stepper.round().await?;
    assert!(!stepper.command(Action::Decline, ride, 1).await?.replayed);
    assert!(stepper.command(Action::Decline, ride, 1).await?.replayed);
    assert_eq!(refused(stepper.command(Action::Accept, ride, 1).await), "ASSIGNMENT_ENDED");
    assert_eq!(stepper.round().await?, 1);
    assert_eq!(fixture.open(ride).await?.expect("offered").courier_id, "c-2");
    stepper.command(Action::Decline, ride, 2).await?;
    assert_eq!(stepper.round().await?, 0, "nobody is left to ask");
    assert_eq!(fixture.job(ride).await?, Some(2), "it waits for others");
    Ok(())
}

#[tokio::test]
async fn an_offer_that_expires_goes_to_the_next_courier() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = with_couriers(&fixture, &asking(), 2).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    stepper.round().await?;
    let lease = stepper.lead().await?;
    assert_eq!(stepper.overdue.expire_offers(lease).await?, 0, "it has time");
    fixture.run(EXPIRE).await?;
    assert_eq!(refused(stepper.command(Action::Accept, ride, 1).await), "OFFER_EXPIRED", "before the leader ends it");
    assert_eq!(stepper.overdue.expire_offers(lease).await?, 1);
    assert_eq!(refused(stepper.command(Action::Accept, ride, 1).await), "OFFER_EXPIRED", "and after");
    assert_eq!(stepper.round().await?, 1);
    assert_eq!(fixture.open(ride).await?.expect("offered").courier_id, "c-2");
    Ok(())
}

#[tokio::test]
async fn after_so_many_attempts_the_search_is_given_up() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = with_couriers(&fixture, &asking(), 5).await?;
    let ride = fixture.place(RIDE).await?;
    let delivery = fixture.place(Placed { workflow: "courier-delivery", status: "preparing", ..RIDE }).await?;
    stepper.see(&[ride, delivery]).await?;
    for attempt in 1..=3 {
        assert_eq!(stepper.round().await?, 2);
        stepper.command(Action::Decline, ride, attempt).await?;
        stepper.command(Action::Decline, delivery, attempt).await?;
    }
    assert_eq!(stepper.round().await?, 0);
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?, (2, "no_driver".into()));
    // This workflow has no status for it: a person decides.
    assert_eq!((fixture.status(delivery).await?.1.as_str(), fixture.job(delivery).await?), ("preparing", Some(4)));
    for order in [ride, delivery] {
        let last = fixture.events(order).await?.pop().expect("events");
        assert_eq!((last.r#type(), last.attempt, last.courier_id.as_str()), (Type::GivenUp, 0, ""));
    }
    assert_eq!(stepper.round().await?, 0);
    let declined = AssignmentOutcome::Declined as i16;
    assert!(fixture.assignments().await?.iter().all(|row| row.outcome == declined));
    Ok(())
}

#[tokio::test]
async fn an_offer_of_a_ride_that_is_cancelled_ends() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = with_couriers(&fixture, &asking(), 1).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    stepper.round().await?;
    fixture.advance(ride, "cancelled", comanda_proto::v1::Phase::Cancelled).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(refused(stepper.command(Action::Accept, ride, 1).await), "ASSIGNMENT_ENDED");
    assert_eq!(fixture.open(ride).await?, None);
    Ok(())
}
