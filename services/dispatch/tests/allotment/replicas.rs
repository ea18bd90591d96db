use anyhow::Result;
use comanda_proto::{events::AssignmentEvent, topics};

use super::{
    fixture::{Fixture, RIDE, config},
    stepper::Stepper,
};

#[tokio::test]
async fn a_former_leader_that_wakes_up_allots_nothing() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut former, mut leader) = (Stepper::new(&fixture, &config())?, Stepper::new(&fixture, &config())?);
    for courier in ["c-1", "c-2"] {
        fixture.courier("default", courier, 1).await?;
        former.heard(courier, 100.0);
        leader.heard(courier, 100.0);
    }
    let ride = fixture.place(RIDE).await?;
    let old = former.lead().await?;
    former.see(&[ride]).await?;
    fixture.run("UPDATE dispatch.lease SET expires_at = '-infinity'").await?;
    let new = leader.lead().await?;
    assert!(old.epoch < new.epoch);
    assert_eq!(former.rounds.round(old).await?, 0, "its term is over");
    assert_eq!(leader.rounds.round(new).await?, 1);
    assert_eq!(former.rounds.round(old).await?, 0);
    assert_eq!(fixture.assignments().await?.len(), 1);
    Ok(())
}

/// Many rounds of two replicas that both believe to lead, as if the lease protected nothing: the indexes and the compare-and-set do.
#[tokio::test]
async fn two_replicas_that_allot_at_the_same_time_allot_each_ride_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut one, mut other) = (Stepper::new(&fixture, &config())?, Stepper::new(&fixture, &config())?);
    let mut rides = Vec::new();
    for index in 0..30 {
        let courier = format!("c-{index}");
        fixture.courier("default", &courier, 1).await?;
        one.heard(&courier, f64::from(index) * 10.0);
        other.heard(&courier, f64::from(index) * 10.0);
        rides.push(fixture.place(RIDE).await?);
    }
    let lease = one.lead().await?;
    one.see(&rides).await?;
    for _ in 0..20 {
        one.rounds.forget();
        other.rounds.forget();
        let (a, b) = tokio::join!(one.rounds.round(lease), other.rounds.round(lease));
        a?;
        b?;
    }
    let assignments = fixture.assignments().await?;
    assert_eq!(assignments.len(), 30, "each ride once");
    assert_eq!(fixture.number("SELECT count(DISTINCT courier_id) FROM dispatch.assignments").await, 30);
    assert_eq!(fixture.number("SELECT count(DISTINCT order_id) FROM dispatch.assignments").await, 30);
    assert_eq!(fixture.number("SELECT count(*) FROM dispatch.events").await, 30);
    Ok(())
}

#[tokio::test]
async fn a_process_that_dies_between_claim_and_publication_has_allotted_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut dead = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    fixture.courier("default", "c-2", 1).await?;
    dead.heard("c-1", 100.0);
    let ride = fixture.place(RIDE).await?;
    dead.see(&[ride]).await?;
    assert_eq!(dead.round().await?, 1);
    drop(dead);
    assert!(fixture.environment.records(topics::ASSIGNMENTS).await?.is_empty());
    fixture.run("UPDATE dispatch.lease SET expires_at = '-infinity'").await?;

    let mut heir = Stepper::new(&fixture, &config())?;
    heir.heard("c-2", 100.0);
    heir.see(&[ride]).await?;
    assert_eq!(heir.round().await?, 0);
    heir.publish_all().await?;
    let records = fixture.environment.records(topics::ASSIGNMENTS).await?;
    let [record] = &records[..] else { panic!("{records:?}") };
    let event: AssignmentEvent = record.event();
    assert_eq!((record.key.clone(), event.order_id.clone()), (ride.to_string(), ride.to_string()));
    assert_eq!(record.headers["ce_id"], format!("{ride}/assignment/1"));
    assert_eq!(
        (event.version, event.attempt, event.courier_id.as_str(), event.tenant.as_str()),
        (1, 1, "c-1", "default")
    );
    heir.settle(&fixture).await?;
    assert_eq!(fixture.status(ride).await?, (2, "confirmed".into()));
    assert_eq!(fixture.of_order(ride).await?.len(), 1);
    Ok(())
}
