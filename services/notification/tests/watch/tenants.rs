//! Two tenants on one installation: nothing of one reaches the other.

use comanda_kit::{
    access::{DEFAULT_TENANT, Scope},
    testing::Replica,
};
use comanda_proto::{
    access::Role,
    v1::{WatchOrderRequest, watch_order_response::Event as OneEvent, watch_orders_request::Start},
};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::fixture::{Told::*, *};

const OTHER: &str = "acme";

/// A world with a replica for the built-in tenant and one for another tenant.
async fn world() -> (World, Replica, Replica) {
    let world = World::new().await;
    let ours = world.replica(config()).await;
    let theirs = world.replica_for(Scope::new(OTHER, "owner", Role::Owner), config()).await;
    (world, ours, theirs)
}

/// An error without the id that the caller asked for.
fn anonymous(status: &Status, order_id: Uuid) -> (Code, String) {
    let text = format!("{} {:?}", status.message(), String::from_utf8_lossy(status.details()));
    (status.code(), text.replace(&order_id.to_string(), "ID"))
}

#[tokio::test]
async fn an_order_of_another_tenant_is_like_one_that_does_not_exist() {
    let (world, ours, theirs) = world().await;
    let (mine, missing) = (world.order("ana").await, Uuid::now_v7());
    watch(&mut client(&ours).await, mine, 0).await.expect("our own order");
    let mut client = client(&theirs).await;
    // Also with a version that the order has, or does not have yet.
    for after_version in [0, 1, 7] {
        let foreign = watch(&mut client, mine, after_version).await.expect_err("another tenant's order");
        let unknown = watch(&mut client, missing, after_version).await.expect_err("no order");
        assert_eq!(error(&foreign), refused(Code::NotFound, "ORDER_NOT_FOUND", None));
        assert_eq!(anonymous(&foreign, mine), anonymous(&unknown, missing));
    }
}

#[tokio::test]
async fn a_tracking_token_watches_its_order_and_sees_nothing_of_who_ordered() {
    let world = World::new().await;
    let replica = world.replica(config()).await;
    let (mine, other) = (world.order("ana").await, world.order("ben").await);
    let token = world.tracking.token(DEFAULT_TENANT, mine).expect("signed");
    let mut client = client(&replica).await;
    let mut open = async |order_id: Uuid| {
        let request = WatchOrderRequest { order_id: order_id.to_string(), ..Default::default() };
        let mut request = Request::new(request);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
        soon("the watch opens", client.watch_order(request)).await.map(tonic::Response::into_inner)
    };
    let foreign = open(other).await.expect_err("another order");
    assert_eq!(error(&foreign), refused(Code::NotFound, "ORDER_NOT_FOUND", None));
    let mut stream = open(mine).await.expect("its order");
    loop {
        let response = soon("the order", stream.message()).await.expect("open").expect("not ended");
        if let Some(OneEvent::Current(order)) = response.event {
            assert_eq!((order.order_id, order.customer), (mine.to_string(), None));
            break;
        }
    }
}

#[tokio::test]
async fn a_stream_of_many_orders_shows_those_of_its_tenant_only() {
    let (world, ours, theirs) = world().await;
    let (mine, foreign) = (world.order("ana").await, world.order_of(OTHER, "ana").await);
    let (mut our_client, mut their_client) = (client(&ours).await, client(&theirs).await);
    let mut now_ours = follow(&mut our_client, None, now()).await.expect("opened");
    let mut our_snapshot = follow(&mut our_client, None, snapshot()).await.expect("opened");
    let mut their_snapshot = follow(&mut their_client, None, snapshot()).await.expect("opened");
    for (stream, expected) in [(&mut our_snapshot, mine), (&mut their_snapshot, foreign)] {
        assert_eq!(event(stream).await.0, Current(expected, 1));
        assert_eq!(event(stream).await.0, Complete);
    }
    // Each order moves twice, the other tenant's first.
    for _ in 0..2 {
        world.step(foreign).await;
        world.step(mine).await;
    }
    assert_eq!(moves(&mut now_ours, 2).await.0, [(mine, 2), (mine, 3)]);
    assert_eq!(moves(&mut our_snapshot, 2).await.0, [(mine, 2), (mine, 3)]);
    assert_eq!(moves(&mut their_snapshot, 2).await.0, [(foreign, 2), (foreign, 3)]);
}

#[tokio::test]
async fn a_token_of_another_tenant_is_like_one_of_another_filter() {
    let (world, ours, theirs) = world().await;
    let mut stream = follow(&mut client(&ours).await, None, now()).await.expect("opened");
    let mine = world.order("ana").await;
    let (_, token) = moves(&mut stream, 1).await;
    world.step(mine).await;
    let resume = || Start::ResumeToken(token.clone().into());

    let mut their_client = client(&theirs).await;
    let foreign = follow(&mut their_client, None, resume()).await.expect_err("another tenant's token");
    let filter = Some(comanda_proto::v1::WatchFilter { customer_id: "bob".into(), ..Default::default() });
    let other_filter = follow(&mut client(&ours).await, filter, resume()).await.expect_err("another filter's token");
    assert_eq!(error(&foreign), refused(Code::InvalidArgument, "FILTER_MISMATCH", None));
    assert_eq!(anonymous(&foreign, mine), anonymous(&other_filter, mine));
    let mut resumed = follow(&mut client(&ours).await, None, resume()).await.expect("our own token");
    assert_eq!(moves(&mut resumed, 1).await.0, [(mine, 2)]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_to_the_tenant_of_its_order_only() {
    let (world, ours, theirs) = world().await;
    let mut their_stream = follow(&mut client(&theirs).await, None, now()).await.expect("opened");
    let mut our_stream = follow(&mut client(&ours).await, None, now()).await.expect("opened");
    let (mine, foreign) = (world.order("ana").await, world.order_of(OTHER, "ana").await);
    assert_eq!(moves(&mut our_stream, 1).await.0, [(mine, 1)]);
    world.commit(mine, 1, comanda_proto::v1::Phase::Active).await;
    world.produce(&[(mine.to_string(), b"no protobuf".to_vec())]).await;
    assert_eq!(moves(&mut our_stream, 1).await.0, [(mine, 2)]);
    world.step(foreign).await;
    assert_eq!(moves(&mut their_stream, 2).await.0, [(foreign, 1), (foreign, 2)]);
}

#[tokio::test]
async fn a_record_that_names_another_tenant_does_not_reach_a_watch_of_the_order() {
    let (world, ours, _theirs) = world().await;
    let mine = world.order("ana").await;
    let mut stream = watch(&mut client(&ours).await, mine, 0).await.expect("opened");
    up_to(&mut stream, 1).await;
    let wrong = comanda_proto::events::OrderTransition {
        order_id: mine.to_string(),
        tenant: OTHER.into(),
        version: 2,
        ..Default::default()
    };
    world.produce(&[(mine.to_string(), prost::Message::encode_to_vec(&wrong))]).await;
    world.commit(mine, 2, comanda_proto::v1::Phase::Succeeded).await;
    world.publish(mine, 3..=3).await;
    for expected in [Said::Current(1), Said::Moved(2), Said::Moved(3), Said::Ended] {
        assert_eq!(said(&mut stream).await, expected);
    }
}
