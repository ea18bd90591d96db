use anyhow::Result;
use comanda_dispatch::commands::Action;
use comanda_kit::access::Scope;
use comanda_proto::{
    access::Role,
    events::AssignmentEventType as Type,
    v1::{AssignmentOutcome, Phase},
};
use uuid::Uuid;

use super::{
    fixture::{Fixture, Placed, RIDE, config},
    stepper::{Stepper, refused},
};

/// A ride that courier c-1 has, confirmed; c-2 is there too, further away.
async fn confirmed(fixture: &Fixture) -> Result<(Stepper, Uuid)> {
    let mut stepper = Stepper::new(fixture, &config())?;
    for (courier, metres) in [("c-1", 100.0), ("c-2", 500.0)] {
        fixture.courier("default", courier, 1).await?;
        stepper.heard(courier, metres);
    }
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    stepper.round().await?;
    stepper.settle(fixture).await?;
    Ok((stepper, ride))
}

#[tokio::test]
async fn a_courier_brings_a_ride_to_its_end_step_by_step() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = confirmed(&fixture).await?;
    assert_eq!(refused(stepper.command(Action::PickUp, ride, 1).await), "NOT_ARRIVED");
    assert_eq!(refused(stepper.command(Action::Complete, ride, 1).await), "NOT_PICKED_UP");
    let steps = [(Action::Arrive, "arriving"), (Action::PickUp, "on_trip"), (Action::Complete, "completed")];
    for (version, (action, status)) in (3..).zip(steps) {
        assert!(!stepper.command(action, ride, 1).await?.replayed);
        assert!(stepper.command(action, ride, 1).await?.replayed);
        stepper.settle(&fixture).await?;
        assert_eq!(fixture.status(ride).await?, (version, status.into()));
    }
    let of_order = fixture.of_order(ride).await?;
    assert_eq!(of_order[0].outcome, AssignmentOutcome::Completed as i16);
    assert!(stepper.command(Action::Arrive, ride, 1).await?.replayed, "also after the end");
    assert_eq!(refused(stepper.command(Action::Withdraw, ride, 1).await), "ASSIGNMENT_ENDED");
    let events = fixture.events(ride).await?;
    let kinds: Vec<_> = events.iter().map(|event| event.r#type()).collect();
    assert_eq!(kinds, [Type::Allotted, Type::Arrived, Type::PickedUp, Type::Completed]);
    assert!(events[1..].iter().all(|event| event.allot_time.is_some()));
    assert!(events[2..].iter().all(|event| event.pickup_time.is_some() && event.expected_pickup_time.is_none()));
    Ok(())
}

#[tokio::test]
async fn commands_that_come_faster_than_the_state_machine_follow_each_other_all_the_same() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = confirmed(&fixture).await?;
    for action in [Action::Arrive, Action::PickUp, Action::Complete] {
        stepper.command(action, ride, 1).await?;
    }
    assert_eq!(stepper.settle(&fixture).await?, 3);
    assert_eq!(fixture.status(ride).await?, (5, "completed".into()));
    Ok(())
}

#[tokio::test]
async fn a_ride_that_its_courier_gives_back_waits_for_another_one() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = confirmed(&fixture).await?;
    stepper.command(Action::Arrive, ride, 1).await?;
    stepper.settle(&fixture).await?;
    assert!(!stepper.command(Action::Withdraw, ride, 1).await?.replayed);
    assert!(stepper.command(Action::Withdraw, ride, 1).await?.replayed);
    assert_eq!(stepper.round().await?, 0, "it is not in the queue before the state machine says so");
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?.1, "requested");
    assert_eq!(stepper.round().await?, 1);
    stepper.settle(&fixture).await?;
    let open = fixture.open(ride).await?.expect("allotted again");
    assert_eq!((open.courier_id.as_str(), open.attempt, open.confirmed), ("c-2", 2, true));
    let released = &fixture.events(ride).await?[2];
    assert_eq!(
        (released.r#type(), released.reason.as_str(), released.actor.as_str()),
        (Type::Released, "flat tyre", "owner")
    );
    Ok(())
}

#[tokio::test]
async fn a_ride_that_is_given_back_before_it_is_confirmed_comes_back_to_the_queue_too() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = Stepper::allotted(&fixture).await?;
    stepper.command(Action::Withdraw, ride, 1).await?;
    assert_eq!(stepper.settle(&fixture).await?, 2, "confirmed, and back");
    assert_eq!((fixture.status(ride).await?, fixture.job(ride).await?), ((3, "requested".into()), Some(2)));
    Ok(())
}

#[tokio::test]
async fn nothing_is_given_back_after_the_pickup() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = confirmed(&fixture).await?;
    stepper.command(Action::Arrive, ride, 1).await?;
    stepper.command(Action::PickUp, ride, 1).await?;
    assert_eq!(refused(stepper.command(Action::Withdraw, ride, 1).await), "ALREADY_PICKED_UP");
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?.1, "on_trip");
    Ok(())
}

#[tokio::test]
async fn a_delivery_stays_where_it_is_until_it_is_picked_up() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard("c-1", 100.0);
    let order = fixture.place(Placed { workflow: "courier-delivery", status: "preparing", ..RIDE }).await?;
    stepper.see(&[order]).await?;
    stepper.round().await?;
    assert_eq!(stepper.settle(&fixture).await?, 0);
    assert!(fixture.open(order).await?.expect("allotted").confirmed, "nothing has to be confirmed");
    stepper.command(Action::Withdraw, order, 1).await?;
    assert_eq!(fixture.job(order).await?, Some(2), "it waits at once");
    fixture.courier("default", "c-2", 1).await?;
    stepper.heard("c-2", 100.0);
    stepper.round().await?;
    stepper.command(Action::PickUp, order, 2).await?;
    stepper.command(Action::Complete, order, 2).await?;
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(order).await?, (3, "delivered".into()));
    Ok(())
}

#[tokio::test]
async fn an_order_that_somebody_puts_back_by_hand_is_searched_for_again() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = confirmed(&fixture).await?;
    fixture.advance(ride, "requested", Phase::Active).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(fixture.open(ride).await?, None);
    assert_eq!(stepper.round().await?, 1);
    stepper.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?, (4, "confirmed".into()));
    Ok(())
}

#[tokio::test]
async fn a_courier_reaches_its_own_assignments_alone() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (stepper, ride) = confirmed(&fixture).await?;
    let as_courier = |courier: &str| Scope::new("default", courier, Role::Courier);
    let other = stepper.command_of(as_courier("c-2"), Action::Arrive, ride, 1).await;
    assert_eq!(refused(other), "ASSIGNMENT_NOT_FOUND");
    let other = stepper.command_of(Scope::new("acme", "owner", Role::Owner), Action::Arrive, ride, 1).await;
    assert_eq!(refused(other), "ASSIGNMENT_NOT_FOUND");
    assert!(!stepper.command_of(as_courier("c-1"), Action::Arrive, ride, 1).await?.replayed);
    Ok(())
}
