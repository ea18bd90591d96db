use anyhow::Result;
use comanda_dispatch::Config;
use comanda_proto::events::AssignmentEventType as Type;

use super::{
    fixture::{Fixture, PICKUP, Placed, RIDE, config},
    stepper::Stepper,
};

#[tokio::test]
async fn a_ride_that_is_requested_gets_the_nearest_courier_and_is_confirmed() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    for (courier, metres) in [("far", 3000.0), ("near", 200.0), ("middle", 900.0)] {
        fixture.courier("default", courier, 1).await?;
        stepper.heard(courier, metres);
    }
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(stepper.round().await?, 1);
    let open = fixture.open(ride).await?.expect("allotted");
    assert_eq!((open.courier_id.as_str(), open.attempt, open.confirmed), ("near", 1, false));

    assert_eq!(stepper.settle(&fixture).await?, 1);
    assert_eq!(fixture.status(ride).await?, (2, "confirmed".into()));
    assert!(fixture.open(ride).await?.expect("still open").confirmed, "the courier is told now");
    let events = fixture.events(ride).await?;
    let [allotted] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (allotted.r#type(), allotted.courier_id.as_str(), allotted.actor.as_str()),
        (Type::Allotted, "near", "system:dispatch")
    );
    let step = allotted.step.clone().expect("asks for a step");
    assert_eq!((step.to_status.as_str(), step.expected_version), ("confirmed", 1));
    assert!(allotted.idle_duration.is_some_and(|idle| idle.seconds >= 60), "idle for a minute: {allotted:?}");
    assert!(allotted.expected_pickup_time.is_some() && allotted.promised_pickup_time.is_some());
    Ok(())
}

#[tokio::test]
async fn a_courier_who_comes_online_while_rides_wait_gets_one_with_the_next_round() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    let (first, second) = (fixture.place(RIDE).await?, fixture.place(RIDE).await?);
    stepper.see(&[first, second]).await?;
    assert_eq!(stepper.round().await?, 0);
    fixture.courier("default", "late", 1).await?;
    assert_eq!(stepper.round().await?, 0, "nobody knows where it is");
    stepper.heard("late", 100.0);
    assert_eq!(stepper.round().await?, 1);
    assert_eq!(fixture.assignments().await?[0].courier_id, "late");
    assert_eq!(stepper.round().await?, 0, "it has what it can have");
    Ok(())
}

#[tokio::test]
async fn a_ride_that_nobody_may_take_keeps_no_other_waiting() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard("c-1", 100.0);
    // More than a page of them, and first in the queue.
    let mut hopeless = Vec::new();
    for index in 0..300 {
        let (vehicle_kind, zone, load) = [("lorry", "", 1), ("", "", 11)][index % 2];
        hopeless.push(fixture.place(Placed { vehicle_kind, zone, load, ..RIDE }).await?);
    }
    stepper.see(&hopeless).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(stepper.round().await?, 1);
    assert_eq!(fixture.assignments().await?[0].order_id, ride);
    Ok(())
}

#[tokio::test]
async fn several_rides_are_gathered_for_a_window_and_matched_together() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &Config { dispatch_window_ms: 600_000, ..config() })?;
    for (courier, metres) in [("c-1", 0.0), ("c-2", 1000.0)] {
        fixture.courier("default", courier, 1).await?;
        stepper.heard(courier, metres);
    }
    // Nearest first, the first ride would take c-1, and c-2 would have the long way to the second.
    let first = fixture.place(Placed { pickup: (PICKUP.0 + 300.0 / 111_195.0, PICKUP.1), ..RIDE }).await?;
    let second = fixture.place(Placed { pickup: (PICKUP.0 - 5000.0 / 111_195.0, PICKUP.1), ..RIDE }).await?;
    stepper.see(&[first, second]).await?;
    assert_eq!(stepper.round().await?, 0, "the window is open");
    fixture.run("UPDATE dispatch.jobs SET waiting_since = now() - interval '1 hour', not_before = now() - interval '1 hour'").await?;
    assert_eq!(stepper.round().await?, 2);
    assert_eq!(fixture.open(first).await?.expect("allotted").courier_id, "c-2");
    assert_eq!(fixture.open(second).await?.expect("allotted").courier_id, "c-1");
    Ok(())
}

#[tokio::test]
async fn a_courier_is_asked_only_for_what_it_can_take() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 20).await?;
    fixture.run("UPDATE dispatch.couriers SET vehicle_kind = 'car', zone = 'north', max_load = 3").await?;
    stepper.heard("c-1", 100.0);
    let wrong = [
        Placed { vehicle_kind: "bike", ..RIDE },
        Placed { zone: "south", ..RIDE },
        Placed { load: 4, ..RIDE },
        Placed { workflow: "courier-delivery", status: "received", ..RIDE },
    ];
    for placed in wrong {
        let order = fixture.place(placed.clone()).await?;
        stepper.see(&[order]).await?;
        assert_eq!(stepper.round().await?, 0, "{placed:?}");
    }
    let right = fixture.place(Placed { vehicle_kind: "car", zone: "north", load: 3, ..RIDE }).await?;
    stepper.see(&[right]).await?;
    fixture.run("UPDATE dispatch.couriers SET shift_end = now() - interval '1 second'").await?;
    assert_eq!(stepper.round().await?, 0, "its shift has ended");
    fixture.run("UPDATE dispatch.couriers SET shift_end = now() + interval '1 hour', status = 3").await?;
    assert_eq!(stepper.round().await?, 0, "it pauses");
    fixture.run("UPDATE dispatch.couriers SET status = 2").await?;
    assert_eq!(stepper.round().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_ride_whose_trip_was_erased_is_given_up() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    fixture.run("DELETE FROM ordering.trips").await?;
    assert_eq!(stepper.round().await?, 0);
    stepper.settle(&fixture).await?;
    assert_eq!((fixture.status(ride).await?.1.as_str(), fixture.job(ride).await?), ("no_driver", Some(4)));
    Ok(())
}
