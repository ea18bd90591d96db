use anyhow::Result;
use comanda_proto::v1::{CreateOrderRequest, Phase};
use futures::future::join_all;
use tonic::Code;

use crate::fixture::{Fixture, create, reason, request_with_id};

#[tokio::test]
async fn concurrent_calls_with_one_request_id_create_one_order() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (first, client) = fixture.serve().await?;
    let (second, other_client) = fixture.serve().await?;
    let request = request_with_id();
    let calls = (0..32).map(|call| {
        let mut client = if call % 2 == 0 { client.clone() } else { other_client.clone() };
        let request = request.clone();
        async move { client.create_order(request).await }
    });
    let answers = join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.into_inner()).collect();
    assert!(answers.iter().all(|answer| answer.order == answers[0].order));
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);

    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, 1);
    fixture.drained().await;
    assert_eq!(fixture.published().await?.len(), 1);
    first.stop().await?;
    second.stop().await
}

#[tokio::test]
async fn a_repeated_call_shows_the_order_as_it_is_now() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let request = request_with_id();
    let order = create(&client, request.clone()).await?;
    fixture.set_state(&order, 4, "delivered", Phase::Succeeded).await?;

    let again = client.create_order(request).await?.into_inner();
    assert!(again.replayed);
    let now = again.order.expect("has one");
    assert_eq!((now.number, now.version, now.status.as_str()), (order.number, 4, "delivered"));
    assert_eq!((now.phase(), now.create_time), (Phase::Succeeded, order.create_time));
    assert!(now.status_time.expect("always there").seconds >= order.status_time.expect("always there").seconds);
    replica.stop().await
}

#[tokio::test]
async fn a_request_id_with_another_request_is_refused_and_names_the_order_it_made() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let request = request_with_id();
    let order = create(&client, request.clone()).await?;

    let mut other = request.clone();
    other.items[0].quantity += 1;
    let refused = create(&client, other).await.expect_err("another request");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "IDEMPOTENCY_MISMATCH"));
    let info = tonic_types::StatusExt::get_details_error_info(&refused).expect("has one");
    assert_eq!(info.metadata["order_id"], order.order_id);

    // Half of many concurrent calls differ: one order is made, and each half gets the same answer.
    let (one, other) = (request_with_id(), request_with_id());
    let other = CreateOrderRequest { request_id: one.request_id.clone(), labels: Default::default(), ..other };
    let calls = (0..16).flat_map(|_| [one.clone(), other.clone()]).map(|request| create(&client, request));
    let answers = join_all(calls).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (16, 16));
    assert!(refused.into_iter().all(|refused| reason(&refused.expect_err("partitioned")) == "IDEMPOTENCY_MISMATCH"));
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, 2);
    replica.stop().await
}
