//! Steps that dispatch asks for.

use anyhow::Result;
use comanda_kit::{
    access::Access,
    consumer::{Consumer, Handler},
    postgres,
    shutdown::Tasks,
    testing::eventually,
};
use comanda_proto::{
    events::{AssignmentEvent, Step},
    topics,
    v1::{AdvanceOrderRequest, CancelOrderRequest, OrderTransition, Trigger},
    views::offset_date_time,
};
use comanda_state_machine::{Config, store::SCHEMA};
use futures::future::try_join_all;
use prost::Message;
use uuid::Uuid;

use crate::{
    assignments::{consumed, handler, publish, record, rides, step},
    fixture::{Fixture, Stepper, reason, run, stop, told},
};

/// A fixture with the topic, and adopted rides.
async fn with_rides(count: usize) -> Result<(Fixture, Vec<Uuid>)> {
    let fixture = Fixture::new().await?;
    fixture.environment.create_topic(topics::ASSIGNMENTS).await?;
    let ids = rides(&fixture, count).await?;
    Stepper::new(&fixture)?.adopt(&ids).await?;
    Ok((fixture, ids))
}

fn advance(id: Uuid, to_status: &str) -> AdvanceOrderRequest {
    AdvanceOrderRequest { order_id: id.to_string(), to_status: to_status.into(), ..Default::default() }
}

fn cancel(id: Uuid) -> CancelOrderRequest {
    CancelOrderRequest { order_id: id.to_string(), ..Default::default() }
}

/// Where orders stand: version and status.
async fn standing(fixture: &Fixture, id: Uuid) -> Result<(i64, String)> {
    let query = "SELECT version, status FROM state_machine.states WHERE order_id = $1";
    Ok(sqlx::query_as(query).bind(id).fetch_one(&fixture.sql).await?)
}

#[tokio::test]
async fn a_step_moves_its_order_and_says_who_and_why() -> Result<()> {
    let (fixture, ids) = with_rides(1).await?;
    let (replica, _) = fixture.serve().await?;
    let events = [(1, 1, "confirmed"), (2, 2, "arriving"), (3, 3, "on_trip"), (4, 4, "completed")];
    publish(&fixture, &events.map(|(version, expected, to)| step(ids[0], version, expected, to))).await?;
    fixture.all_ended().await;

    let history = fixture.history(ids[0]).await?;
    let expected = [
        (1, Trigger::Create, "requested"),
        (2, Trigger::Advance, "confirmed"),
        (3, Trigger::Advance, "arriving"),
        (4, Trigger::Advance, "on_trip"),
        (5, Trigger::Advance, "completed"),
    ];
    assert_eq!(told(&history), expected);
    assert!(history[1..].iter().all(|step| (&*step.actor, &*step.reason) == ("system:dispatch", "allotted")));
    assert_eq!(fixture.published_histories().await?[&ids[0]], history);
    let bound: Vec<Uuid> = sqlx::query_scalar("SELECT request_id FROM state_machine.requests ORDER BY version")
        .fetch_all(&fixture.sql)
        .await?;
    assert_eq!(bound, ["1", "2", "3", "4"].map(|version| Uuid::new_v5(&ids[0], version.as_bytes())));
    replica.stop().await
}

#[tokio::test]
async fn a_step_is_taken_once_however_often_its_record_comes_and_by_whichever_replica() -> Result<()> {
    let (fixture, ids) = with_rides(100).await?;
    let (first, second) = (fixture.start(None).await?, fixture.start(None).await?);
    let events: Vec<_> = ids.iter().map(|id| step(*id, 1, 1, "confirmed")).collect();
    for _ in 0..3 {
        publish(&fixture, &events).await?;
    }
    consumed(&fixture).await?;
    // Another group reads the topic from its beginning, as after a lost offset.
    let tasks = Tasks::new();
    let consumer = Consumer {
        group: "again",
        topic: fixture.environment.kafka.topic(topics::ASSIGNMENTS),
        kafka: fixture.environment.kafka.clone(),
        pool: postgres::pool(&fixture.environment.postgres, SCHEMA)?,
        handler: handler(&fixture)?,
    };
    tasks.spawn("consumer", consumer.run(tasks.stop_token()));
    consumed(&fixture).await?;
    stop(tasks).await?;
    first.stop().await?;
    second.stop().await?;

    let histories = fixture.histories().await?;
    for id in ids {
        assert_eq!(told(&histories[&id]), [(1, Trigger::Create, "requested"), (2, Trigger::Advance, "confirmed")]);
    }
    assert_eq!(fixture.dead_letters().await, 0);
    Ok(())
}

#[tokio::test]
async fn replicas_that_take_the_same_steps_at_once_take_each_once() -> Result<()> {
    let (fixture, ids) = with_rides(500).await?;
    let records: Vec<_> = ids.iter().map(|id| record(&step(*id, 1, 1, "confirmed"))).collect();
    let backwards: Vec<_> = records.iter().rev().cloned().collect();
    let replicas = [handler(&fixture)?, handler(&fixture)?, handler(&fixture)?, handler(&fixture)?];
    let batches = [&records, &backwards, &records, &backwards];
    try_join_all(replicas.iter().zip(batches).map(|(replica, batch)| replica.apply(1, batch))).await?;
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.states WHERE version = 2").await, 500);
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.transitions").await, 1000);
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.requests").await, 500);
    Ok(())
}

#[tokio::test]
async fn a_late_step_changes_nothing_also_where_its_status_was_reached_or_could_be_entered_again() -> Result<()> {
    let (fixture, ids) = with_rides(3).await?;
    let (replica, mut client) = fixture.serve().await?;
    let (again, cancelled, on_trip) = (ids[0], ids[1], ids[2]);
    // Confirmed once, then back in the queue: the workflow would allow the late step.
    for status in ["confirmed", "requested"] {
        client.advance_order(advance(again, status)).await?;
    }
    client.cancel_order(cancel(cancelled)).await?;
    for status in ["confirmed", "arriving", "on_trip"] {
        client.advance_order(advance(on_trip, status)).await?;
    }
    let before = fixture.histories().await?;
    let late = [
        step(again, 1, 1, "confirmed"),
        step(again, 2, 2, "confirmed"),
        step(cancelled, 1, 1, "confirmed"),
        step(on_trip, 1, 1, "confirmed"),
        step(on_trip, 2, 3, "requested"),
        step(on_trip, 3, 3, "on_trip"),
    ];
    publish(&fixture, &late).await?;
    consumed(&fixture).await?;
    let after = fixture.histories().await?;
    for id in ids {
        assert_eq!(after[&id], before[&id]);
    }
    assert_eq!(fixture.dead_letters().await, 0);
    // A step for the present version is taken all the same.
    publish(&fixture, &[step(again, 3, 3, "confirmed")]).await?;
    eventually("the step is taken", || async {
        (standing(&fixture, again).await.ok()? == (4, "confirmed".to_owned())).then_some(())
    })
    .await;
    replica.stop().await
}

#[tokio::test]
async fn a_step_for_another_version_tenant_or_order_or_without_an_edge_changes_nothing_and_stops_nobody() -> Result<()>
{
    let (fixture, ids) = with_rides(5).await?;
    let replica = fixture.start(None).await?;
    let of_another = AssignmentEvent { tenant: "acme".into(), ..step(ids[2], 1, 1, "confirmed") };
    let events = [
        step(ids[0], 1, 2, "confirmed"),
        step(ids[1], 1, 7, "confirmed"),
        of_another,
        step(ids[3], 1, 1, "completed"),
        step(ids[3], 2, 1, "requested"),
        step(ids[3], 3, 1, "nowhere"),
        step(ids[3], 4, 1, "cancelled"),
        step(Uuid::now_v7(), 1, 1, "confirmed"),
        AssignmentEvent { step: None, ..step(ids[4], 1, 1, "confirmed") },
    ];
    publish(&fixture, &events).await?;
    consumed(&fixture).await?;
    for id in ids {
        assert_eq!(standing(&fixture, id).await?, (1, "requested".to_owned()));
        assert_eq!(fixture.history(id).await?.len(), 1);
    }
    assert_eq!(fixture.dead_letters().await, 0);
    replica.stop().await
}

#[tokio::test]
async fn undecodable_records_become_dead_letters_and_do_not_block_others() -> Result<()> {
    let (fixture, ids) = with_rides(20).await?;
    let replica = fixture.start(None).await?;
    let whole = step(ids[0], 1, 1, "confirmed");
    let broken = |change: fn(&mut Step)| {
        let mut event = whole.clone();
        change(event.step.as_mut().expect("has one"));
        (event.order_id.clone(), event.encode_to_vec())
    };
    let records = [
        (ids[0].to_string(), vec![0xff; 20]),
        ("no order".to_owned(), whole.encode_to_vec()),
        (ids[1].to_string(), whole.encode_to_vec()),
        broken(|step| step.request_id = "7".into()),
        broken(|step| step.to_status.clear()),
        broken(|step| step.expected_version = 0),
        (ids[0].to_string(), AssignmentEvent { reason: "a\0b".into(), ..whole.clone() }.encode_to_vec()),
    ];
    let others: Vec<_> = ids[2..].iter().map(|id| step(*id, 1, 1, "confirmed")).collect();
    publish(&fixture, &others[..9]).await?;
    fixture.environment.produce(topics::ASSIGNMENTS, &records).await?;
    publish(&fixture, &others[9..]).await?;
    consumed(&fixture).await?;
    assert_eq!(fixture.dead_letters().await, records.len() as i64);
    for (index, id) in ids.into_iter().enumerate() {
        let expected = if index < 2 { (1, "requested".to_owned()) } else { (2, "confirmed".to_owned()) };
        assert_eq!(standing(&fixture, id).await?, expected);
    }
    replica.stop().await
}

#[tokio::test]
async fn steps_of_one_order_that_come_together_are_taken_one_after_the_other() -> Result<()> {
    let (fixture, ids) = with_rides(2).await?;
    let chain = |id| {
        [
            step(id, 1, 1, "confirmed"),
            step(id, 2, 2, "requested"),
            step(id, 2, 2, "requested"),
            step(id, 1, 1, "confirmed"),
            step(id, 3, 2, "arriving"),
            step(id, 4, 3, "confirmed"),
            step(id, 5, 4, "arriving"),
        ]
    };
    let records: Vec<_> = chain(ids[0]).iter().chain(&chain(ids[1])).map(record).collect();
    handler(&fixture)?.apply(1, &records).await?;
    for id in ids {
        let history = fixture.history(id).await?;
        let statuses: Vec<_> = history.iter().map(|step| step.to_status.as_str()).collect();
        assert_eq!(statuses, ["requested", "confirmed", "requested", "confirmed", "arriving"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_request_id_that_is_bound_is_not_carried_out_again() -> Result<()> {
    let (fixture, ids) = with_rides(1).await?;
    let (replica, mut client) = fixture.serve().await?;
    let event = step(ids[0], 1, 1, "confirmed");
    let request_id = event.step.clone().expect("has one").request_id;
    // Nothing is to do, so the order keeps its version, but the id is bound.
    client.advance_order(AdvanceOrderRequest { request_id, ..advance(ids[0], "requested") }).await?;
    handler(&fixture)?.apply(1, &[record(&event)]).await?;
    assert_eq!(standing(&fixture, ids[0]).await?, (1, "requested".to_owned()));
    assert_eq!(fixture.dead_letters().await, 0);
    replica.stop().await
}

#[tokio::test]
async fn people_advance_orders_between_steps_of_dispatch() -> Result<()> {
    let (fixture, ids) = with_rides(1).await?;
    let (replica, mut client) = fixture.serve().await?;
    let answer = client.advance_order(advance(ids[0], "confirmed")).await?.into_inner();
    assert_eq!(answer.transition.expect("has one").version, 2);
    publish(&fixture, &[step(ids[0], 1, 1, "confirmed"), step(ids[0], 2, 2, "arriving")]).await?;
    eventually("dispatch's step is taken", || async { (standing(&fixture, ids[0]).await.ok()?.0 == 3).then_some(()) })
        .await;
    let again = client.advance_order(advance(ids[0], "arriving")).await?.into_inner();
    assert!(again.replayed, "it is there");
    let refused = client.advance_order(advance(ids[0], "confirmed")).await.expect_err("it has left it");
    assert_eq!(reason(&refused), "TRANSITION_NOT_ALLOWED");
    client.advance_order(advance(ids[0], "on_trip")).await?;
    let history = fixture.history(ids[0]).await?;
    let actors: Vec<_> = history.iter().map(|step| step.actor.as_str()).collect();
    assert_eq!(actors, ["system:ordering", "owner", "system:dispatch", "owner"]);
    replica.stop().await
}

#[tokio::test]
async fn a_step_back_into_the_queue_starts_its_timer_again_and_the_timer_fires() -> Result<()> {
    let (fixture, ids) = with_rides(2).await?;
    let later = "UPDATE ordering.orders SET start_time = create_time + interval '1 day' WHERE order_id = $1";
    sqlx::query(later).bind(ids[1]).execute(&fixture.sql).await?;
    let records: Vec<_> = ids
        .iter()
        .flat_map(|id| [step(*id, 1, 1, "confirmed"), step(*id, 2, 2, "requested")])
        .map(|event| record(&event))
        .collect();
    handler(&fixture)?.apply(1, &records).await?;
    let due = |from: &OrderTransition, of: &OrderTransition| {
        let time = |time: Option<prost_types::Timestamp>| offset_date_time(&time.expect("has one")).expect("in range");
        (time(of.next_transition_time) - time(from.transition_time)).whole_seconds()
    };
    let (at_once, scheduled) = (fixture.history(ids[0]).await?, fixture.history(ids[1]).await?);
    assert_eq!(at_once[1].next_transition_time, None);
    assert_eq!(due(&at_once[2], &at_once[2]), 600);
    assert_eq!(due(&scheduled[0], &scheduled[2]), 86_400 + 600);

    fixture.make_due(std::time::Duration::ZERO).await?;
    assert_eq!(Stepper::new(&fixture)?.fire().await?, 2);
    assert_eq!(told(&fixture.history(ids[0]).await?)[3], (4, Trigger::Timer, "no_driver"));
    // Nobody is late for a ride that has ended.
    handler(&fixture)?.apply(1, &[record(&step(ids[0], 3, 3, "confirmed"))]).await?;
    assert_eq!(fixture.history(ids[0]).await?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn the_timer_of_a_status_that_a_step_enters_fires_by_itself() -> Result<()> {
    let (fixture, ids) = with_rides(1).await?;
    // Every timer runs out at once, so the ride ends as soon as it is back in the queue.
    let config = Config { step_ms: Some(0), ..Config::default() };
    handler(&fixture)?.apply(1, &[record(&step(ids[0], 1, 1, "confirmed"))]).await?;
    let replica = fixture.start_with(config, Access::default())?;
    publish(&fixture, &[step(ids[0], 2, 2, "requested")]).await?;
    fixture.all_ended().await;
    assert_eq!(told(&fixture.history(ids[0]).await?)[3], (4, Trigger::Timer, "no_driver"));
    replica.stop().await
}

#[tokio::test]
async fn the_state_machine_works_without_the_topic_and_takes_steps_once_it_is_there() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let ids = rides(&fixture, 2).await?;
    Stepper::new(&fixture)?.adopt(&ids).await?;
    replica.serves("comanda.v1.LifecycleService").await;
    client.advance_order(advance(ids[0], "confirmed")).await?;
    let orders = fixture.place(5).await?;
    fixture.announce(&orders).await?;
    fixture.adopted(&orders).await;

    fixture.environment.create_topic(topics::ASSIGNMENTS).await?;
    publish(&fixture, &[step(ids[1], 1, 1, "confirmed")]).await?;
    consumed(&fixture).await?;
    assert_eq!(standing(&fixture, ids[1]).await?, (2, "confirmed".to_owned()));
    replica.stop().await
}

#[tokio::test]
async fn a_new_log_of_assignments_is_read_from_its_beginning() -> Result<()> {
    let (fixture, ids) = with_rides(1).await?;
    let replica = fixture.start(None).await?;
    consumed(&fixture).await?;
    // Dispatch lost its log, said so, and published everything again.
    fixture.environment.delete_topic(topics::ASSIGNMENTS).await?;
    fixture.environment.create_topic(topics::ASSIGNMENTS).await?;
    publish(&fixture, &[step(ids[0], 1, 1, "confirmed")]).await?;
    run(&fixture.sql, "UPDATE dispatch.topic_log SET topic_epoch = topic_epoch + 1").await?;
    consumed(&fixture).await?;
    assert_eq!(standing(&fixture, ids[0]).await?, (2, "confirmed".to_owned()));
    replica.stop().await
}
