//! Races, lost logs, strange records, stops.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use comanda_kit::{
    access::DEFAULT_TENANT,
    testing::{Environment, eventually},
};
use comanda_proto::{
    topics,
    v1::{Phase, WatchOrderRequest, watch_orders_request::Start},
};
use futures::future::join_all;
use prost::Message;
use tonic::{Code, codegen::http::uri::PathAndQuery};
use tonic_prost::ProstCodec;
use uuid::Uuid;

use crate::fixture::{Said::*, *};

/// Keeps the service from reading orders until the transaction is dropped.
async fn hold_orders(world: &World) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut transaction = world.sql.begin().await.expect("begun");
    sqlx::query("LOCK TABLE ordering.orders IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .expect("locked");
    transaction
}

async fn a_read_waits(world: &World) {
    eventually("a read waits for the lock", || async {
        let waiting = "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                       WHERE NOT l.granted AND a.datname = current_database()";
        sqlx::query_scalar::<_, bool>(waiting).fetch_one(&world.sql).await.expect("read").then_some(())
    })
    .await;
}

/// A record of a version that the store does not show to the read that is under way.
fn future_record(order_id: Uuid, version: i64) -> (String, Vec<u8>) {
    let transition = comanda_proto::events::OrderTransition {
        order_id: order_id.to_string(),
        tenant: DEFAULT_TENANT.into(),
        version,
        phase: Phase::Active.into(),
        ..Default::default()
    };
    (order_id.to_string(), transition.encode_to_vec())
}

#[tokio::test]
async fn what_is_published_while_the_store_is_read_is_not_lost() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;
    let mut witness = follow(&mut client, None, now()).await.expect("opened");
    // The snapshot reads ordering.orders as well.
    let hold = hold_orders(&world).await;
    let (mut second, mut third) = (client.clone(), client.clone());
    let one = tokio::spawn(async move { watch(&mut second, order_id, 0).await });
    let many = tokio::spawn(async move { follow(&mut third, None, snapshot()).await });
    a_read_waits(&world).await;
    world.produce(&[future_record(order_id, 2)]).await;
    assert_eq!(moves(&mut witness, 1).await.0, [(order_id, 2)]);
    hold.rollback().await.expect("released");

    let mut one = one.await.expect("no panic").expect("opened");
    for expected in [Moved(1), Current(1), Moved(2)] {
        assert_eq!(said(&mut one).await, expected);
    }
    let mut many = many.await.expect("no panic").expect("opened");
    for expected in [Told::Current(order_id, 1), Told::Complete, Told::Moved(order_id, 2)] {
        assert_eq!(event(&mut many).await.0, expected);
    }
}

#[tokio::test]
async fn callers_who_wait_for_the_store_are_told_in_time() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;
    let (hold, began) = (hold_orders(&world).await, Instant::now());
    // Many more than read at once, each of which waits 2 s for the lock.
    let opens = (0..40).map(|_| {
        let (mut client, order_id) = (client.clone(), order_id.to_string());
        async move { client.watch_order(WatchOrderRequest { order_id, ..Default::default() }).await.map(drop) }
    });
    for answer in join_all(opens).await {
        assert_eq!(answer.expect_err("the table is locked").code(), Code::Unavailable);
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    hold.rollback().await.expect("released");
    watch(&mut client, order_id, 0).await.expect("opened");
}

#[tokio::test]
async fn watches_that_open_while_the_order_moves_see_each_version_once() {
    const LAST: i64 = 60;
    let world = Arc::new(World::new().await);
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let client = client(&replica).await;
    let mover = tokio::spawn({
        let world = world.clone();
        async move { while world.step(order_id).await < LAST {} }
    });
    let mut watches = Vec::new();
    while !mover.is_finished() {
        let mut client = client.clone();
        let mut stream = watch(&mut client, order_id, 0).await.expect("opened");
        watches.push(tokio::spawn(async move { up_to(&mut stream, LAST).await }));
        tokio::task::yield_now().await;
        if watches.len() >= 200 {
            break;
        }
    }
    mover.await.expect("no panic");
    assert!(watches.len() > 5);
    for watch in watches {
        let all = watch.await.expect("no panic");
        assert_eq!(versions(&all), (1..=LAST).collect::<Vec<_>>());
        let current = all.iter().position(|said| matches!(said, Current(_))).expect("the order as it is");
        assert_eq!(all[current], Current(current as i64), "of the same version as the transition before it");
    }
}

#[tokio::test]
async fn records_that_come_again_are_not_shown_again() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let mut many = follow(&mut client, None, now()).await.expect("opened");
    let order_id = world.order("ana").await;
    let mut one = watch(&mut client, order_id, 0).await.expect("opened");
    world.step(order_id).await;
    for _ in 0..3 {
        world.publish(order_id, 1..=2).await;
    }
    world.step(order_id).await;
    assert_eq!(versions(&up_to(&mut one, 3).await), [1, 2, 3]);
    assert_eq!(moves(&mut many, 3).await.0, [(order_id, 1), (order_id, 2), (order_id, 3)]);
}

#[tokio::test]
async fn a_hole_in_the_topic_is_filled_from_the_store() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut stream = watch(&mut client(&replica).await, order_id, 0).await.expect("opened");
    up_to(&mut stream, 1).await;
    world.commit(order_id, 3, Phase::Succeeded).await;
    world.publish(order_id, 4..=4).await;
    for expected in [Current(1), Moved(2), Moved(3), Moved(4), Ended] {
        assert_eq!(said(&mut stream).await, expected);
    }
}

#[derive(Clone, PartialEq, Message)]
struct FutureResponse {
    #[prost(message, optional, tag = "1")]
    transition: Option<FutureTransition>,
}

#[derive(Clone, PartialEq, Message)]
struct FutureTransition {
    #[prost(int64, tag = "2")]
    version: i64,
    #[prost(string, tag = "1000")]
    invented_later: String,
}

#[tokio::test]
async fn fields_of_the_future_reach_the_watcher() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = tonic::client::Grpc::new(replica.connect().await.expect("it listens"));
    client.ready().await.expect("ready");
    let codec: ProstCodec<WatchOrderRequest, FutureResponse> = ProstCodec::default();
    let request = tonic::Request::new(WatchOrderRequest {
        order_id: order_id.to_string(),
        after_version: 1,
        ..Default::default()
    });
    let path = PathAndQuery::from_static("/comanda.v1.WatchService/WatchOrder");
    let mut stream = client.server_streaming(request, path, codec).await.expect("opened").into_inner();

    let (key, mut payload) = future_record(order_id, 2);
    payload.extend(FutureTransition { version: 2, invented_later: "hello".into() }.encode_to_vec());
    world.produce(&[(key, payload)]).await;
    let found = loop {
        let response = soon("a response", stream.message()).await.expect("no error").expect("no end");
        if let Some(transition) = response.transition {
            break transition;
        }
    };
    assert_eq!(found, FutureTransition { version: 2, invented_later: "hello".into() });
}

#[tokio::test]
async fn an_unreadable_record_makes_the_store_tell_what_it_was() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let mut many = follow(&mut client, None, now()).await.expect("opened");
    let order_id = world.order("ana").await;
    let mut one = watch(&mut client, order_id, 0).await.expect("opened");
    up_to(&mut one, 1).await;

    world.commit(order_id, 2, Phase::Active).await;
    let unreadable = (order_id.to_string(), b"no protobuf".to_vec());
    let strange = [("no order".to_string(), b"?".to_vec()), (Uuid::now_v7().to_string(), b"?".to_vec())];
    world.produce(&[strange[0].clone(), unreadable.clone(), strange[1].clone()]).await;
    assert_eq!(versions(&up_to(&mut one, 3).await), [2, 3]);
    let (all, token) = moves(&mut many, 2).await;
    assert_eq!(all, [(order_id, 1), (order_id, 2)]);
    assert_eq!(moves(&mut many, 1).await.0, [(order_id, 3)]);
    let of_another = (order_id.to_string(), future_record(Uuid::now_v7(), 2).1);
    world.produce(&[unreadable, of_another]).await;
    world.step(order_id).await;
    assert_eq!(
        moves(&mut many, 1).await.0,
        [(order_id, 4)],
        "a known version is not sent again, and a record under a wrong key is ignored"
    );
    // A token between the two transitions of one record repeats the first rather than leave out the second.
    let mut resumed = follow(&mut client, None, Start::ResumeToken(token.into())).await.expect("resumed");
    assert_eq!(moves(&mut resumed, 3).await.0, [(order_id, 2), (order_id, 3), (order_id, 4)]);
}

#[tokio::test]
async fn a_later_stream_gets_by_its_record_what_the_store_told_before() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let mut many = follow(&mut client, None, now()).await.expect("opened");
    let order_id = world.order("ana").await;
    world.commit(order_id, 1, Phase::Active).await;
    world.produce(&[(order_id.to_string(), b"no protobuf".to_vec())]).await;
    assert_eq!(moves(&mut many, 2).await.0, [(order_id, 1), (order_id, 2)]);

    // As with a token of a replica that asked the store before the order had moved.
    let mut late = follow(&mut client, None, now()).await.expect("opened");
    world.publish(order_id, 2..=2).await;
    assert_eq!(moves(&mut late, 1).await.0, [(order_id, 2)]);
}

#[tokio::test]
async fn an_unreadable_record_tells_nothing_of_an_order_that_was_not_adopted() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let order_id = world.silent_order("ana").await;
    let first = world.history(order_id).await.remove(0).encode_to_vec();
    world.execute("DELETE FROM state_machine.states").await;
    world.execute("DELETE FROM state_machine.transitions").await;
    let mut stream = follow(&mut client, None, now()).await.expect("opened");
    let before = told(&mut stream).await.1;
    world.produce(&[(order_id.to_string(), b"no protobuf".to_vec())]).await;
    eventually("the record was passed", || {
        let (mut client, before) = (client.clone(), before.clone());
        async move {
            let mut stream = follow(&mut client, None, now()).await.expect("opened");
            (told(&mut stream).await.1 != before).then_some(())
        }
    })
    .await;
    let mut many = follow(&mut client, None, snapshot()).await.expect("opened");
    assert_eq!(event(&mut many).await.0, Told::Complete);
    world.produce(&[(order_id.to_string(), first)]).await;
    assert_eq!(moves(&mut many, 1).await.0, [(order_id, 1)]);
}

#[tokio::test]
async fn a_new_log_ends_watches_of_many_orders_and_no_others() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let order_id = world.order("ana").await;
    world.step(order_id).await;
    let mut one = watch(&mut client, order_id, 0).await.expect("opened");
    up_to(&mut one, 2).await;
    let mut many = follow(&mut client, None, now()).await.expect("opened");
    let token = told(&mut many).await.1;

    world.env.delete_topic(topics::ORDER_TRANSITIONS).await.expect("deleted");
    world.env.create_topic(topics::ORDER_TRANSITIONS).await.expect("created again");
    world.new_epoch().await;
    let (end, _) = event(&mut many).await;
    let Told::Refused(Refused(code, reason, _)) = end else { panic!("{end:?}") };
    assert_eq!((code, reason.as_str()), (Code::OutOfRange, "TOKEN_EXPIRED"));
    // The whole history comes again, as `comanda republish` makes it, and then something new.
    world.publish(order_id, 1..=2).await;
    world.step(order_id).await;
    assert_eq!(versions(&up_to(&mut one, 3).await).last(), Some(&3));

    let expired = eventually("the new log was read", || {
        let (mut client, token) = (client.clone(), token.clone());
        async move {
            let status = follow(&mut client, None, Start::ResumeToken(token.into())).await.expect_err("expired");
            (status.code() != Code::Unavailable).then_some(status)
        }
    })
    .await;
    assert_eq!(error(&expired), refused(Code::OutOfRange, "TOKEN_EXPIRED", None));
    let mut many = follow(&mut client, None, snapshot()).await.expect("opened");
    assert_eq!(event(&mut many).await.0, Told::Current(order_id, 3));
    assert_eq!(event(&mut many).await.0, Told::Complete);
    world.step(order_id).await;
    assert_eq!(moves(&mut many, 1).await.0, [(order_id, 4)]);
    assert_eq!(said(&mut one).await, Moved(4));
}

#[tokio::test]
async fn a_transition_that_the_topic_never_brings_is_found_in_the_store() {
    let world = World::new().await;
    let mut config = config();
    config.watch_check_ms = 100;
    let replica = world.replica(config).await;
    let order_id = world.order("ana").await;
    let mut stream = watch(&mut client(&replica).await, order_id, 0).await.expect("opened");
    up_to(&mut stream, 1).await;
    world.commit(order_id, 1, Phase::Active).await;
    assert_eq!(versions(&up_to(&mut stream, 2).await), [2]);
}

#[tokio::test]
async fn a_stop_ends_every_stream_with_its_place() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.order("ana").await;
    let mut client = client(&replica).await;
    let mut one = watch(&mut client, order_id, 0).await.expect("opened");
    let mut many = follow(&mut client, None, now()).await.expect("opened");
    world.step(order_id).await;
    up_to(&mut one, 2).await;
    let (_, token) = moves(&mut many, 1).await;

    let stopped = tokio::spawn(replica.stop());
    assert_eq!(said(&mut one).await, refused(Code::Unavailable, "SHUTTING_DOWN", Some(2)));
    let (end, _) = event(&mut many).await;
    let Told::Refused(Refused(code, reason, Some(place))) = end else { panic!("{end:?}") };
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert_eq!(place, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, token));
    soon("the replica stops", stopped).await.expect("no panic").expect("a clean stop");
}

#[tokio::test]
async fn a_replica_without_a_topic_serves_single_orders_and_is_not_ready() {
    let env = Environment::without_topics().await.expect("Postgres runs");
    let world = World { sql: env.sql().await.expect("the database answers"), env, tracking: tracking() };
    let (replica, mut ready) = world.start(config()).await;
    let order_id = world.silent_order("ana").await;
    let mut client = client(&replica).await;
    let mut one = watch(&mut client, order_id, 0).await.expect("opened");
    up_to(&mut one, 1).await;
    let status = follow(&mut client, None, now()).await.expect_err("there is no log");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(!*ready.borrow());
    world.env.create_topics().await.expect("made");
    soon("the replica is ready", ready.wait_for(|ready| *ready)).await.expect("it runs");
    world.step(order_id).await;
    assert_eq!(versions(&up_to(&mut one, 2).await), [2]);
}
