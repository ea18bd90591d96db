//! One replica leads.

use std::time::Duration;

use anyhow::Result;
use comanda_state_machine::operator::put_back;

use crate::fixture::{Fixture, Stepper, run};

#[tokio::test]
async fn a_former_leader_that_wakes_up_changes_nothing() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mut former, mut leader) = (Stepper::new(&fixture)?, Stepper::new(&fixture)?);
    let ids = fixture.place(10).await?;
    former.adopt(&ids).await?;
    fixture.make_due(Duration::ZERO).await?;
    let old_lease = former.lead().await?;
    assert!(leader.elector.ask().await?.is_none(), "two replicas lead");
    run(&fixture.sql, "UPDATE state_machine.lease SET expires_at = '-infinity'").await?;
    let new_lease = leader.lead().await?;

    assert_eq!(former.timers.fire_next(old_lease).await?, 0);
    assert!(former.relay.publish_next(old_lease).await.is_err(), "it must see that it leads no more");
    assert_eq!((fixture.unpublished().await, fixture.histories().await?.values().flatten().count()), (10, 10));

    assert_eq!(leader.timers.fire_next(new_lease).await?, 10);
    leader.publish_all().await?;
    assert_eq!(fixture.unpublished().await, 0);
    let published = fixture.published_histories().await?;
    for (id, history) in fixture.histories().await? {
        // Version 1 is there twice: the former leader published it and could not say so.
        let versions: Vec<_> = published[&id].iter().map(|step| step.version).collect();
        assert_eq!((versions, history.len()), (vec![1, 1, 2], 2));
    }
    Ok(())
}

#[tokio::test]
async fn pointers_that_are_put_back_are_published_again_in_the_order_of_versions() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut leader = Stepper::new(&fixture)?;
    let ids = fixture.place(20).await?;
    leader.adopt(&ids).await?;
    for _ in 0..3 {
        fixture.make_due(Duration::ZERO).await?;
        assert_eq!(leader.fire().await?, 20);
    }
    let ended = fixture.histories().await?;
    // The last transition is not published when the operator comes: it stays behind what is put back.
    let last = "WITH last AS (DELETE FROM state_machine.outbox WHERE 4 = ANY (versions) RETURNING *) SELECT count(*) FROM last";
    assert!(fixture.number(last).await > 0);
    leader.publish_all().await?;
    let outstanding = "INSERT INTO state_machine.outbox (order_ids, versions) SELECT array_agg(order_id), array_agg(4) FROM state_machine.states";
    run(&fixture.sql, outstanding).await?;
    put_back(&mut *fixture.sql.acquire().await?, &ids).await?;
    leader.publish_all().await?;
    assert_eq!(fixture.unpublished().await, 0);
    for (id, told) in fixture.published_histories().await? {
        let history = &ended[&id];
        assert_eq!(told, [&history[..3], &history[..], &history[3..]].concat());
    }
    assert_eq!(fixture.number("SELECT topic_epoch FROM state_machine.log_epoch").await, 1);
    Ok(())
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_at_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let first = fixture.start(Some(200)).await?;
    let ids = fixture.place(50).await?;
    fixture.announce(&ids).await?;
    fixture.adopted(&ids).await;
    let second = fixture.start(Some(200)).await?;
    first.stop().await?;
    assert!(fixture.handed_over().await);
    fixture.all_ended().await;
    assert!(fixture.histories().await?.values().all(|history| history.len() == 4));
    assert_eq!(fixture.number("SELECT epoch FROM state_machine.lease").await, 2);
    second.stop().await
}
