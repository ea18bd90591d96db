use std::time::Duration;

use anyhow::Result;
use comanda_dispatch::commands::Action;
use comanda_proto::{topics, v1::Phase};

use super::{fixture::Fixture, stepper::Stepper};

#[tokio::test]
async fn events_whose_steps_were_lost_are_published_again() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, _) = Stepper::allotted(&fixture).await?;
    stepper.publish_all().await?;
    let lease = stepper.lead().await?;
    stepper.overdue.repeat_steps(lease, Duration::from_secs(30)).await?;
    assert_eq!(fixture.number("SELECT count(*) FROM dispatch.outbox").await, 0, "not so soon");
    fixture.run("UPDATE dispatch.jobs SET step_time = now() - interval '31 seconds'").await?;
    stepper.overdue.repeat_steps(lease, Duration::from_secs(30)).await?;
    stepper.publish_all().await?;
    let records = fixture.environment.records(topics::ASSIGNMENTS).await?;
    assert_eq!(records.len(), 2);
    assert_eq!((&records[0].key, &records[0].payload), (&records[1].key, &records[1].payload), "the same again");
    stepper.settle(&fixture).await?;
    fixture.run("UPDATE dispatch.jobs SET step_time = now() - interval '31 seconds'").await?;
    stepper.overdue.repeat_steps(lease, Duration::from_secs(30)).await?;
    assert_eq!(fixture.number("SELECT count(*) FROM dispatch.outbox").await, 0, "it was answered");
    Ok(())
}

#[tokio::test]
async fn events_that_still_wait_to_be_published_are_not_put_back() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, _) = Stepper::allotted(&fixture).await?;
    let lease = stepper.lead().await?;
    for _ in 0..2 {
        fixture.run("UPDATE dispatch.jobs SET step_time = now() - interval '31 seconds'").await?;
        stepper.overdue.repeat_steps(lease, Duration::from_secs(30)).await?;
        assert_eq!(fixture.number("SELECT sum(cardinality(order_ids)) FROM dispatch.outbox").await, 1);
    }
    stepper.publish_all().await?;
    fixture.run("UPDATE dispatch.jobs SET step_time = now() - interval '31 seconds'").await?;
    // Others may be in front of it in a long outbox.
    fixture
        .run("INSERT INTO dispatch.outbox (order_ids, versions) SELECT ARRAY[gen_random_uuid()], ARRAY[1] FROM generate_series(1, 1000)")
        .await?;
    stepper.overdue.repeat_steps(lease, Duration::from_secs(30)).await?;
    assert_eq!(fixture.number("SELECT count(*) FROM dispatch.outbox").await, 1000);
    Ok(())
}

#[tokio::test]
async fn what_happened_to_an_order_is_found_out_where_its_record_was_lost() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (stepper, ride) = Stepper::allotted(&fixture).await?;
    fixture.advance(ride, "cancelled", Phase::Cancelled).await?;
    fixture.run("UPDATE dispatch.jobs SET step_time = now() - interval '31 seconds'").await?;
    let lease = stepper.lead().await?;
    stepper.overdue.repeat_steps(lease, Duration::from_secs(30)).await?;
    assert_eq!((fixture.open(ride).await?, fixture.job(ride).await?), (None, Some(4)));
    Ok(())
}

#[tokio::test]
async fn steps_that_a_cancelled_order_can_never_take_are_not_repeated() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut stepper, ride) = Stepper::allotted(&fixture).await?;
    fixture.advance(ride, "confirmed", Phase::Active).await?;
    stepper.see(&[ride]).await?;
    for action in [Action::Arrive, Action::PickUp, Action::Complete] {
        stepper.command(action, ride, 1).await?;
    }
    fixture.advance(ride, "cancelled", Phase::Cancelled).await?;
    stepper.see(&[ride]).await?;
    stepper.publish_all().await?;
    fixture.run("UPDATE dispatch.jobs SET step_time = now() - interval '31 seconds'").await?;
    let lease = stepper.lead().await?;
    stepper.overdue.repeat_steps(lease, Duration::from_secs(30)).await?;
    assert_eq!(fixture.number("SELECT count(*) FROM dispatch.outbox").await, 0);
    Ok(())
}
