use anyhow::Result;
use comanda_proto::{
    events::AssignmentEventType as Type,
    v1::{AssignmentOutcome, Phase},
};

use super::{
    fixture::{Fixture, RIDE, config},
    stepper::Stepper,
};

const MOVED: i16 = AssignmentOutcome::OrderMoved as i16;

#[tokio::test]
async fn a_ride_that_is_cancelled_before_it_is_confirmed_is_released_and_its_courier_is_never_told() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard("c-1", 100.0);
    let ride = fixture.place(RIDE).await?;
    stepper.see(&[ride]).await?;
    assert_eq!(stepper.round().await?, 1);
    fixture.advance(ride, "cancelled", Phase::Cancelled).await?;
    assert_eq!(stepper.settle(&fixture).await?, 0, "the step comes too late");
    stepper.see(&[ride]).await?;
    let of_order = fixture.of_order(ride).await?;
    assert_eq!((of_order[0].outcome, of_order[0].confirmed), (MOVED, false));
    assert_eq!(fixture.status(ride).await?, (2, "cancelled".into()));
    let kinds: Vec<_> =
        fixture.events(ride).await?.iter().map(|event| (event.r#type(), event.step.is_some())).collect();
    assert_eq!(kinds, [(Type::Allotted, true), (Type::Released, false)]);
    // The courier is free for the next one.
    let next = fixture.place(RIDE).await?;
    stepper.see(&[next]).await?;
    assert_eq!(stepper.round().await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_ride_that_is_cancelled_after_it_is_confirmed_is_released() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = Stepper::allotted(&fixture).await?;
    stepper.settle(&fixture).await?;
    fixture.advance(ride, "cancelled", Phase::Cancelled).await?;
    stepper.see(&[ride]).await?;
    let of_order = fixture.of_order(ride).await?;
    assert_eq!((of_order[0].outcome, of_order[0].confirmed, fixture.job(ride).await?), (MOVED, true, Some(4)));
    Ok(())
}

#[tokio::test]
async fn a_ride_that_was_cancelled_before_its_record_came_gets_nobody() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard("c-1", 100.0);
    let ride = fixture.place(RIDE).await?;
    let first = stepper.store.present(&[ride]).await?;
    fixture.advance(ride, "cancelled", Phase::Cancelled).await?;
    stepper.follower.follow(first).await?;
    assert_eq!((stepper.round().await?, fixture.job(ride).await?), (0, None));
    Ok(())
}

#[tokio::test]
async fn a_record_that_comes_again_changes_nothing() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    stepper.heard("c-1", 100.0);
    let ride = fixture.place(RIDE).await?;
    let first = stepper.store.present(&[ride]).await?;
    stepper.follower.follow(first.clone()).await?;
    stepper.round().await?;
    stepper.settle(&fixture).await?;
    let before = (fixture.assignments().await?, fixture.events(ride).await?);
    stepper.follower.follow(first).await?;
    stepper.see(&[ride]).await?;
    assert_eq!((fixture.assignments().await?, fixture.events(ride).await?), before);
    assert_eq!(stepper.round().await?, 0);
    Ok(())
}

/// Both orders of arrival, many at once: whatever wins, a cancelled ride has no open assignment, and every courier is free or has a ride that
/// is confirmed.
#[tokio::test]
async fn cancelling_and_confirming_at_once_leaves_nobody_with_a_ride_that_is_over() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    let mut rides = Vec::new();
    for index in 0..40 {
        let courier = format!("c-{index}");
        fixture.courier("default", &courier, 1).await?;
        stepper.heard(&courier, f64::from(index) * 50.0);
        rides.push(fixture.place(RIDE).await?);
    }
    stepper.see(&rides).await?;
    while stepper.round().await? > 0 {}
    let cancel = async {
        for ride in rides.iter().step_by(2) {
            fixture.advance(*ride, "cancelled", Phase::Cancelled).await?;
        }
        anyhow::Ok(())
    };
    let (cancelled, settled) = tokio::join!(cancel, stepper.settle(&fixture));
    cancelled?;
    settled?;
    stepper.see(&rides).await?;
    stepper.settle(&fixture).await?;
    for (index, ride) in rides.iter().enumerate() {
        let open = fixture.open(*ride).await?;
        let (_, status) = fixture.status(*ride).await?;
        assert_eq!(
            (status.as_str(), open.is_some()),
            if index % 2 == 0 { ("cancelled", false) } else { ("confirmed", true) }
        );
        assert!(open.is_none_or(|open| open.confirmed));
    }
    Ok(())
}
