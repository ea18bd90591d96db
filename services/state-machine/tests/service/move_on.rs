//! Orders move by themselves.

use std::time::Duration;

use anyhow::Result;
use comanda_kit::testing::{Logs, eventually};
use comanda_proto::v1::{Phase, Trigger};

use crate::fixture::{Fixture, Stepper, run, told};

#[tokio::test]
async fn replicas_move_each_order_from_received_to_delivered_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (first, second) = (fixture.start(Some(50)).await?, fixture.start(Some(50)).await?);
    let ids = fixture.place(100).await?;
    fixture.announce(&ids).await?;
    fixture.adopted(&ids).await;
    fixture.all_ended().await;

    let histories = fixture.histories().await?;
    assert_eq!(histories.len(), 100);
    let expected = [
        (1, Trigger::Create, "received"),
        (2, Trigger::Timer, "preparing"),
        (3, Trigger::Timer, "dispatched"),
        (4, Trigger::Timer, "delivered"),
    ];
    for history in histories.values() {
        assert_eq!(told(history), expected);
        assert_eq!((history[3].phase(), history[3].next_transition_time), (Phase::Succeeded, None));
        assert!(history[..3].iter().all(|step| step.phase() == Phase::Active && step.next_transition_time.is_some()));
        assert_eq!((history[0].actor.as_str(), history[1].actor.as_str()), ("system:ordering", "system:timer"));
    }
    assert_eq!(fixture.published_histories().await?, histories);
    first.stop().await?;
    second.stop().await
}

#[tokio::test]
async fn timers_that_ran_out_during_an_outage_fire_once_and_keep_their_delay_afterwards() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut leader = Stepper::new(&fixture)?;
    let ids = fixture.place(600).await?;
    leader.adopt(&ids).await?;
    fixture.make_due(Duration::from_secs(3600)).await?;
    let waiting = fixture.place_one().await?;
    leader.adopt(&[waiting]).await?;

    let mut fired = 0;
    for _ in 0..5 {
        fired += leader.fire().await?;
    }
    assert_eq!(fired, 600);
    for (id, history) in fixture.histories().await? {
        if id == waiting {
            assert_eq!(history.len(), 1, "it is not due");
            continue;
        }
        let [_, step] = history.as_slice() else { panic!("one step, not {history:?}") };
        let (time, next) =
            (step.transition_time.expect("always there"), step.next_transition_time.expect("has a timer"));
        assert_eq!((next.seconds - time.seconds, next.nanos), (30, time.nanos), "a late step is no reason to hurry");
    }
    Ok(())
}

#[tokio::test]
async fn an_order_in_a_status_without_a_timer_keeps_no_other_waiting() -> Result<()> {
    let (logs, _guard) = Logs::catch();
    let fixture = Fixture::new().await?;
    let mut leader = Stepper::new(&fixture)?;
    let ids = fixture.place(3).await?;
    leader.adopt(&ids).await?;
    fixture.make_due(Duration::from_secs(1)).await?;
    let stranded = format!("UPDATE state_machine.states SET status = 'nowhere' WHERE order_id = '{}'", ids[0]);
    run(&fixture.sql, &stranded).await?;
    assert_eq!(leader.fire().await?, 2);
    assert_eq!(leader.fire().await?, 0);
    assert_eq!(fixture.number("SELECT version FROM state_machine.states WHERE status = 'nowhere'").await, 1);
    assert!(logs.count("has no timer for its status") > 0);
    Ok(())
}

#[tokio::test]
async fn a_timer_older_than_the_last_that_fired_fires_within_moments() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut leader = Stepper::new(&fixture)?;
    let ids = fixture.place(2).await?;
    leader.adopt(&ids[..1]).await?;
    fixture.make_due(Duration::ZERO).await?;
    assert_eq!(leader.fire().await?, 1);
    // It was adopted late: its record took an hour.
    run(&fixture.sql, "UPDATE ordering.orders SET create_time = create_time - interval '1 hour'").await?;
    leader.adopt(&ids[1..]).await?;
    let mut fired = 0;
    while fired == 0 {
        fired = leader.fire().await?;
    }
    assert_eq!((fired, fixture.history(ids[1]).await?.len()), (1, 2));
    Ok(())
}

#[tokio::test]
async fn the_leader_finds_orders_that_others_adopted() -> Result<()> {
    let fixture = Fixture::new().await?;
    let leader = fixture.start(Some(100)).await?;
    eventually("it leads", || async {
        (fixture.number("SELECT epoch FROM state_machine.lease").await == 1).then_some(())
    })
    .await;
    let other = Stepper::new(&fixture)?;
    for _ in 0..3 {
        // Adopted with a timer of 30 seconds that another process shortened: the leader gets no notice of it.
        let id = fixture.place_one().await?;
        other.adopt(&[id]).await?;
        fixture.make_due(Duration::ZERO).await?;
        fixture.all_ended().await;
        assert_eq!(fixture.history(id).await?.len(), 4);
    }
    leader.stop().await
}
