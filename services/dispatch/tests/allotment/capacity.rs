use anyhow::Result;
use comanda_dispatch::{
    change::By,
    decide::{Choice, claim},
    model::JobState,
};
use comanda_proto::v1::WorkflowDispatch;
use time::OffsetDateTime;

use super::{
    fixture::{Fixture, RIDE, config},
    stepper::Stepper,
};

#[tokio::test]
async fn a_courier_has_as_many_orders_as_its_capacity_and_gets_the_next_when_one_ends() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 2).await?;
    stepper.heard("c-1", 100.0);
    let mut rides = Vec::new();
    for _ in 0..3 {
        rides.push(fixture.place(RIDE).await?);
    }
    stepper.see(&rides).await?;
    let mut made = 0;
    for _ in 0..4 {
        made += stepper.round().await?;
    }
    assert_eq!(made, 2);
    let slots = "SELECT count(DISTINCT slot) FROM dispatch.assignments WHERE ended_at IS NULL AND slot <= 2";
    assert_eq!(fixture.number(slots).await, 2);
    fixture.advance(rides[0], "cancelled", comanda_proto::v1::Phase::Cancelled).await?;
    stepper.see(&rides).await?;
    assert_eq!(stepper.round().await?, 1);
    assert!(fixture.open(rides[2]).await?.is_some());
    Ok(())
}

/// Two statements that both saw the courier free: one of them gets it.
#[tokio::test]
async fn claims_that_come_at_the_same_time_never_exceed_the_capacity() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 3).await?;
    let mut rides = Vec::new();
    for _ in 0..12 {
        rides.push(fixture.place(RIDE).await?);
    }
    stepper.see(&rides).await?;
    let mut claims = Vec::new();
    for case in stepper.store.cases(&rides).await? {
        let (store, now) = (stepper.store.clone(), OffsetDateTime::now_utc());
        let choice = Choice { courier_id: "c-1".into(), pickup: now, dropoff: now, idle: None, offered_until: None };
        let claim = claim(&WorkflowDispatch::default(), &case, choice, By::system(""));
        claims.push(tokio::spawn(async move { store.claim(vec![claim], now, &[JobState::Waiting], None).await }));
    }
    for claim in claims {
        claim.await??;
    }
    let open = fixture.number("SELECT count(*) FROM dispatch.assignments WHERE ended_at IS NULL").await;
    assert!((1..=3).contains(&open), "{open} open");
    let taken = "SELECT count(*) FROM dispatch.jobs j WHERE (j.state = 3) <>
                 EXISTS (SELECT FROM dispatch.assignments a WHERE a.order_id = j.order_id)";
    assert_eq!(fixture.number(taken).await, 0, "a job is taken exactly where it has an assignment");
    Ok(())
}
