//! WatchOrders when nothing goes wrong, and what it refuses.

use std::collections::BTreeSet;

use comanda_notification::watch::token::{Offsets, Token};
use comanda_proto::v1::{Phase, WatchFilter, WatchOrdersRequest, watch_orders_request::Start};
use tonic::Code;

use crate::fixture::{Told::*, *};

fn customer(customer_id: &str) -> Option<WatchFilter> {
    Some(WatchFilter { customer_id: customer_id.into(), ..Default::default() })
}

fn statuses(statuses: &[&str]) -> Option<WatchFilter> {
    let statuses = statuses.iter().map(ToString::to_string).collect();
    Some(WatchFilter { statuses, ..Default::default() })
}

#[tokio::test]
async fn a_snapshot_shows_the_active_orders_and_then_what_happens() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let (one, two, ended) = (world.order("ana").await, world.order("bob").await, world.order("ana").await);
    world.step(two).await;
    world.step_to(ended, Phase::Succeeded).await;

    let mut stream = follow(&mut client(&replica).await, None, snapshot()).await.expect("opened");
    let shown = [event(&mut stream).await.0, event(&mut stream).await.0];
    for expected in [Current(one, 1), Current(two, 2)] {
        assert!(shown.contains(&expected), "{expected:?} in {shown:?}");
    }
    assert_eq!(event(&mut stream).await.0, Complete);
    world.step(one).await;
    let three = world.order("ana").await;
    assert_eq!(moves(&mut stream, 2).await.0, [(one, 2), (three, 1)]);
}

#[tokio::test]
async fn versions_that_the_snapshot_showed_do_not_come_again() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let order_id = world.silent_order("ana").await;
    world.commit(order_id, 2, Phase::Active).await;
    let mut stream = follow(&mut client(&replica).await, None, snapshot()).await.expect("opened");
    assert_eq!(event(&mut stream).await.0, Current(order_id, 3));
    assert_eq!(event(&mut stream).await.0, Complete);
    // The topic is behind the store.
    world.publish(order_id, 1..=3).await;
    world.step(order_id).await;
    assert_eq!(moves(&mut stream, 1).await.0, [(order_id, 4)]);
}

#[tokio::test]
async fn a_filter_shows_its_orders_and_sees_them_enter_and_leave() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let (ana, bob) = (world.order("ana").await, world.order("bob").await);
    let mut of_ana = follow(&mut client, customer("ana"), snapshot()).await.expect("opened");
    let mut of_s2 = follow(&mut client, statuses(&["s2"]), snapshot()).await.expect("opened");
    assert_eq!(event(&mut of_ana).await.0, Current(ana, 1));
    assert_eq!(event(&mut of_ana).await.0, Complete);
    assert_eq!(event(&mut of_s2).await.0, Complete);
    for order_id in [bob, ana] {
        for _ in 0..3 {
            world.step(order_id).await;
        }
    }
    assert_eq!(moves(&mut of_ana, 3).await.0, [(ana, 2), (ana, 3), (ana, 4)]);
    let entered_and_left: BTreeSet<_> = moves(&mut of_s2, 4).await.0.into_iter().collect();
    assert_eq!(entered_and_left, BTreeSet::from([(ana, 2), (ana, 3), (bob, 2), (bob, 3)]));
}

#[tokio::test]
async fn a_filter_of_phases_shows_orders_as_they_end() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let phases = |phases: &[Phase]| {
        let phases = phases.iter().map(|phase| i32::from(*phase)).collect();
        Some(WatchFilter { phases, ..Default::default() })
    };
    let one = world.order("ana").await;
    let ended = phases(&[Phase::Succeeded, Phase::Cancelled]);
    let mut of_ended = follow(&mut client, ended, snapshot()).await.expect("opened");
    assert_eq!(event(&mut of_ended).await.0, Complete, "a snapshot holds no ended orders");
    let mut of_active = follow(&mut client, phases(&[Phase::Active]), snapshot()).await.expect("opened");
    assert_eq!(event(&mut of_active).await.0, Current(one, 1));
    assert_eq!(event(&mut of_active).await.0, Complete);
    world.step(one).await;
    world.step_to(one, Phase::Cancelled).await;
    assert_eq!(moves(&mut of_ended, 1).await.0, [(one, 3)]);
    assert_eq!(moves(&mut of_active, 2).await.0, [(one, 2), (one, 3)]);
}

#[tokio::test]
async fn every_token_resumes_behind_its_response_on_every_replica() {
    let world = World::new().await;
    let first = world.replica(config()).await;
    let orders = [world.order("ana").await, world.order("ana").await, world.order("ana").await];
    let mut stream = follow(&mut client(&first).await, None, now()).await.expect("opened");
    let mut tokens = vec![told(&mut stream).await.1];
    let mut all = Vec::new();
    for _ in 0..3 {
        for order_id in orders {
            world.step(order_id).await;
            let (moved, token) = moves(&mut stream, 1).await;
            all.extend(moved);
            tokens.push(token);
        }
    }
    first.stop().await.expect("a clean stop");
    for order_id in orders {
        all.push((order_id, world.step_to(order_id, Phase::Succeeded).await));
    }

    let second = world.replica(config()).await;
    let mut client = client(&second).await;
    for (seen, token) in tokens.into_iter().enumerate() {
        let mut stream = follow(&mut client, None, Start::ResumeToken(token.into())).await.expect("resumed");
        let expected: BTreeSet<_> = all[seen..].iter().copied().collect();
        let (found, _) = moves(&mut stream, expected.len()).await;
        // Across partitions the order may differ, within an order it may not.
        assert!(orders.iter().all(|order_id| {
            found.iter().filter(|(found, _)| found == order_id).map(|(_, version)| version).is_sorted()
        }));
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        let version = world.step(orders[0]).await;
        assert_eq!(moves(&mut stream, 1).await.0, [(orders[0], version)], "nothing more was missing");
        all.push((orders[0], version));
    }
}

#[tokio::test]
async fn heartbeats_move_the_token_past_what_the_filter_leaves_out() {
    let world = World::new().await;
    let mut config = config();
    (config.watch_heartbeat_ms, config.watch_keep_records) = (100, 20);
    let replica = world.replica(config).await;
    let mut client = client(&replica).await;
    let mut of_ana = follow(&mut client, customer("ana"), now()).await.expect("opened");
    let first = told(&mut of_ana).await.1;
    // More than the ring holds, all of it none of the watch's business.
    let bob = world.order("bob").await;
    let last = world.commit(bob, 100, Phase::Active).await;
    world.publish(bob, 2..=last).await;
    let expected = world.env.records("order-transitions").await.expect("readable").len();
    let moved = loop {
        let (told, token) = told(&mut of_ana).await;
        assert_eq!(told, Heartbeat);
        let read = Token::decode(&token, filter_hash_of(&token)).expect("our own token");
        if read.offsets.iter().map(|(_, next)| next).sum::<i64>() == expected as i64 {
            break token;
        }
    };
    let expired = follow(&mut client, customer("ana"), Start::ResumeToken(first.into())).await.expect_err("too old");
    assert_eq!(error(&expired), refused(Code::OutOfRange, "TOKEN_EXPIRED", None));
    let mut resumed = follow(&mut client, customer("ana"), Start::ResumeToken(moved.into())).await.expect("resumed");
    let ana = world.order("ana").await;
    assert_eq!(moves(&mut resumed, 1).await.0, [(ana, 1)]);
    assert_eq!(moves(&mut of_ana, 1).await.0, [(ana, 1)]);
}

/// The first field of a token.
fn filter_hash_of(token: &[u8]) -> &[u8] {
    &token[2..10]
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    let mut stream = follow(&mut client, customer("ana"), now()).await.expect("opened");
    let token = told(&mut stream).await.1;

    let no_start = client.watch_orders(WatchOrdersRequest::default()).await.expect_err("from where?");
    assert_eq!(error(&no_start), refused(Code::InvalidArgument, "INVALID_FIELDS", None));
    assert!(no_start.message().contains("start"), "{no_start:?}");
    for (name, filter, token, code, reason) in [
        ("other filter", customer("bob"), token.clone(), Code::InvalidArgument, "FILTER_MISMATCH"),
        ("nonsense", customer("ana"), b"nonsense".to_vec(), Code::InvalidArgument, "INVALID_FIELDS"),
        ("beyond the end", customer("ana"), altered(&token, 0, 1000), Code::OutOfRange, "TOKEN_EXPIRED"),
        ("other epoch", customer("ana"), altered(&token, 1, 0), Code::OutOfRange, "TOKEN_EXPIRED"),
    ] {
        let status = follow(&mut client, filter, Start::ResumeToken(token.into())).await.expect_err(name);
        assert_eq!(error(&status), refused(code, reason, None), "{name}");
    }
    let too_many = statuses(&["s"; 21]);
    let status = follow(&mut client, too_many, now()).await.expect_err("too many statuses");
    assert_eq!(error(&status), refused(Code::InvalidArgument, "INVALID_FIELDS", None));
}

fn altered(token: &[u8], epochs: i64, offsets: i64) -> Vec<u8> {
    let token = Token::decode(token, filter_hash_of(token)).expect("our own token");
    let offsets = Offsets::new(token.offsets.iter().map(|(_, next)| next + offsets));
    Token::encode(token.epoch + epochs, &token.filter_hash, &offsets).into()
}

#[tokio::test]
async fn a_snapshot_of_too_many_orders_is_refused() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let mut client = client(&replica).await;
    world
        .execute(
            "WITH o AS (
                 INSERT INTO ordering.orders
                     (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                      total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
                 SELECT gen_random_uuid(), 'default', 1, 'ana', '', '', '', '', 'CLP', 0, 0, 1, 'test', 1, 's1'
                 FROM generate_series(1, 10001)
                 RETURNING order_id
             )
             INSERT INTO state_machine.states
                 (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
             SELECT order_id, 'default', 'test', 1, 1, 's1', 1, now(), 'infinity' FROM o",
        )
        .await;
    let status = follow(&mut client, customer("ana"), snapshot()).await.expect_err("too large");
    assert_eq!(error(&status), refused(Code::FailedPrecondition, "SNAPSHOT_TOO_LARGE", None));
    world
        .execute(
            "DELETE FROM state_machine.states WHERE order_id = (SELECT order_id FROM state_machine.states LIMIT 1)",
        )
        .await;
    let mut stream = follow(&mut client, customer("ana"), snapshot()).await.expect("just small enough");
    let mut shown = BTreeSet::new();
    loop {
        match event(&mut stream).await.0 {
            Current(order_id, 1) => assert!(shown.insert(order_id)),
            Complete => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shown.len(), 10_000);
}
