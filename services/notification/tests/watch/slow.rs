//! Readers that take their time.

use comanda_kit::testing::Replica;
use comanda_proto::v1::Phase;
use tonic::Code;
use uuid::Uuid;

use crate::fixture::{Said::*, *};

/// More than windows, buffers and the server's own chunk hold.
const MANY: i64 = 1500;

/// Opens a watch that takes nothing, lets the order move many times, and waits until the hub has all of it: another watch does.
async fn overrun(world: &World, replica: &Replica) -> (Uuid, OneOrder, OneOrder) {
    let order_id = world.order("ana").await;
    let slow = watch(&mut narrow_client(replica).await, order_id, 0).await.expect("opened");
    let mut fast = watch(&mut client(replica).await, order_id, 0).await.expect("opened");
    let last = world.commit(order_id, MANY - 1, Phase::Active).await;
    world.publish(order_id, 2..=last).await;
    up_to(&mut fast, last).await;
    (order_id, slow, fast)
}

#[tokio::test]
async fn a_slow_reader_is_served_from_the_store_and_misses_nothing() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let (order_id, mut slow, _fast) = overrun(&world, &replica).await;
    // What the store has from here on differs from what the topic brought: who is served from it can be told.
    world.execute("UPDATE state_machine.transitions SET actor = 'store'").await;
    world.step_to(order_id, Phase::Succeeded).await;

    let (mut versions, mut from_store) = (Vec::new(), 0);
    while let Some(response) = soon("a response", slow.message()).await.expect("no error") {
        if let Some(comanda_proto::v1::watch_order_response::Event::Transition(transition)) = response.event {
            versions.push(transition.version);
            from_store += usize::from(transition.actor == "store");
        }
    }
    assert_eq!(versions, (1..=MANY + 1).collect::<Vec<_>>());
    assert!(from_store > 128, "{from_store}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_ended_with_its_version_and_resumes() {
    let world = World::new().await;
    let mut config = config();
    // The heartbeat of another watch tells that the slow one has been stalled for longer than allowed.
    (config.watch_stall_ms, config.watch_heartbeat_ms) = (500, 1000);
    let replica = world.replica(config).await;
    let (order_id, mut slow, mut fast) = overrun(&world, &replica).await;
    assert_eq!(said(&mut fast).await, Heartbeat(MANY));

    let mut all = Vec::new();
    let end = loop {
        match said(&mut slow).await {
            Moved(version) => all.push(version),
            Current(_) | Heartbeat(_) => {}
            end => break end,
        }
    };
    let last = all.len() as i64;
    assert_eq!(all, (1..=last).collect::<Vec<_>>());
    assert!(last < MANY, "it was ended before it had seen everything");
    assert_eq!(end, refused(Code::Aborted, "SLOW_READER", Some(last)));
    let mut resumed = watch(&mut client(&replica).await, order_id, last).await.expect("resumed");
    assert_eq!(versions(&up_to(&mut resumed, MANY).await), (last + 1..=MANY).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_of_many_orders_that_falls_out_of_the_ring_is_told_so() {
    let world = World::new().await;
    let mut config = config();
    config.watch_keep_records = 50;
    let replica = world.replica(config).await;
    let mut slow = follow(&mut narrow_client(&replica).await, None, now()).await.expect("opened");
    let (order_id, _, _fast) = overrun(&world, &replica).await;

    let (mut all, mut token) = (Vec::new(), told(&mut slow).await.1);
    let end = loop {
        match told(&mut slow).await {
            (Told::Moved(order, version), next) => {
                assert_eq!(order, order_id);
                all.push(version);
                token = next;
            }
            (Told::Heartbeat, next) => token = next,
            (Told::Refused(end), _) => break end,
            (other, _) => panic!("{other:?}"),
        }
    };
    assert_eq!(all, (1..=all.len() as i64).collect::<Vec<_>>(), "nothing was left out before the end");
    assert!(all.len() < MANY as usize);
    let Refused(code, reason, last) = end else { panic!("{end:?}") };
    assert_eq!((code, reason.as_str()), (Code::OutOfRange, "TOKEN_EXPIRED"));
    assert_eq!(last, Some(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &token)));
}

#[tokio::test]
async fn a_slow_reader_of_many_orders_within_the_ring_misses_nothing() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut slow = follow(&mut narrow_client(&replica).await, None, now()).await.expect("opened");
    let (order_id, _, _fast) = overrun(&world, &replica).await;
    let (all, _) = moves(&mut slow, MANY as usize).await;
    assert_eq!(all, (1..=MANY).map(|version| (order_id, version)).collect::<Vec<_>>());
}
