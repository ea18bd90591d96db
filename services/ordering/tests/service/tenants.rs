//! Nothing of one tenant can be reached, seen or guessed by another.

use anyhow::Result;
use comanda_kit::{
    access::{Access, Scope},
    shutdown::Tasks,
    testing::{Replica, eventually},
};
use comanda_ordering::{App, order::NewOrder, store::Store};
use comanda_proto::{
    access::Role,
    topics,
    v1::{
        BatchCreateOrdersRequest, BatchGetOrdersRequest, EraseCustomerRequest, GetOrderRequest, ListOrdersRequest,
        Order, batch_create_orders_response::result::Outcome, get_order_request::Key,
        order_service_client::OrderServiceClient,
    },
};
use futures::future::try_join_all;
use tokio::time::timeout;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::fixture::{Client, Fixture, acme, create, new_order_for, request, request_with_id};

async fn get(client: &Client, key: Key) -> Result<Order, Status> {
    let response = client.clone().get_order(GetOrderRequest { key: Some(key), view: 0 }).await?.into_inner();
    Ok(response.order.expect("an answer has its order"))
}

/// Everything of an error that a client sees, with the key that it asked for taken out.
fn seen(status: Status, key: &str) -> String {
    let details = String::from_utf8_lossy(status.details()).into_owned();
    format!("{:?} {} {details} {:?}", status.code(), status.message(), status.metadata().keys().collect::<Vec<_>>())
        .replace(key, "KEY")
}

#[tokio::test]
async fn an_order_of_another_tenant_is_answered_exactly_as_one_that_does_not_exist() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (ours, client) = fixture.serve().await?;
    let (theirs, mut foreign) = fixture.serve_for(acme()).await?;
    for _ in 0..3 {
        create(&client, request()).await?;
    }
    let order = create(&client, request()).await?;

    let nobodys = Uuid::now_v7().to_string();
    let of_theirs = get(&foreign, Key::OrderId(order.order_id.clone())).await.expect_err("not theirs");
    let of_nobodys = get(&foreign, Key::OrderId(nobodys.clone())).await.expect_err("not there");
    assert_eq!(seen(of_theirs, &order.order_id), seen(of_nobodys, &nobodys));
    let by_number = get(&foreign, Key::Number(order.number)).await.expect_err("not theirs");
    let by_no_number = get(&foreign, Key::Number(9)).await.expect_err("not there");
    assert_eq!(seen(by_number, &order.number.to_string()), seen(by_no_number, "9"));

    let own = create(&foreign, request()).await?;
    let order_ids = vec![order.order_id.clone(), own.order_id.clone(), nobodys.clone()];
    let batch = foreign.batch_get_orders(BatchGetOrdersRequest { order_ids, view: 0 }).await?.into_inner();
    assert_eq!((batch.orders, batch.missing_order_ids), (vec![own.clone()], vec![order.order_id, nobodys]));
    let customer_id = "c-1".to_owned();
    for filter in [ListOrdersRequest::default(), ListOrdersRequest { customer_id, ..Default::default() }] {
        let page = foreign.list_orders(filter).await?.into_inner();
        assert_eq!(page.orders.iter().map(|order| &order.order_id).collect::<Vec<_>>(), [&own.order_id]);
    }
    ours.stop().await?;
    theirs.stop().await
}

#[tokio::test]
async fn numbers_request_ids_and_page_tokens_are_each_tenants_own() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (ours, client) = fixture.serve().await?;
    let (theirs, mut foreign) = fixture.serve_for(acme()).await?;
    let repeated = request_with_id();
    let (one, other) = (create(&client, repeated.clone()).await?, create(&foreign, repeated.clone()).await?);
    assert_ne!(one.order_id, other.order_id, "a request id of another tenant is unknown");
    assert_eq!((one.number, other.number), (1, 1), "a number tells nothing of other tenants");
    assert_eq!(create(&foreign, repeated).await?.order_id, other.order_id);
    assert_eq!(get(&foreign, Key::Number(1)).await?.order_id, other.order_id);

    create(&client, request()).await?;
    let page = ListOrdersRequest { page_size: 1, ..Default::default() };
    let page_token = client.clone().list_orders(page.clone()).await?.into_inner().next_page_token;
    assert!(!page_token.is_empty());
    let stolen = ListOrdersRequest { page_token, ..page.clone() };
    let refused = foreign.list_orders(stolen).await.expect_err("a token of another tenant");
    let forged = ListOrdersRequest { page_token: "forged".into(), ..page };
    let as_forged = foreign.list_orders(forged).await.expect_err("no token");
    assert_eq!(seen(refused, ""), seen(as_forged, ""));

    let erase = EraseCustomerRequest { customer_id: "c-1".into(), ..Default::default() };
    assert_eq!(foreign.erase_customer(erase).await?.into_inner().erased_orders, 1);
    let untouched = get(&client, Key::OrderId(one.order_id)).await?.customer.expect("has one");
    assert_eq!(untouched.name, "Ana Rojas");
    ours.stop().await?;
    theirs.stop().await
}

#[tokio::test]
async fn one_batch_holds_orders_of_several_tenants_each_with_its_own_numbers() -> Result<()> {
    let fixture = Fixture::new().await?;
    let scopes = [Scope::built_in(), acme()];
    let orders: Vec<_> = (0..10).map(|n| new_order_for(scopes[n % 2].clone(), request_with_id())).collect();
    let store = Store::new(fixture.pool()?);
    let stored = store.insert(&orders).await?;
    for (order, count) in orders.iter().zip(1..) {
        // In the order in which they came, for each tenant.
        assert_eq!(stored[&order.order_id].number, (count + 1) / 2);
    }
    let again = orders.iter().map(|order| NewOrder { order_id: Uuid::now_v7(), ..order.clone() });
    assert!(store.insert(&again.collect::<Vec<_>>()).await?.is_empty(), "the request ids are known");
    let stored = store.insert(&[new_order_for(acme(), request())]).await?;
    assert_eq!(stored.values().map(|stored| stored.number).collect::<Vec<_>>(), [6], "what was known took no number");

    let (replica, _) = fixture.serve().await?;
    fixture.drained().await;
    let published = fixture.environment.records(topics::ORDERS).await?;
    let foreign = published.iter().filter(|record| record.headers["ce_tenant"] == "acme").count();
    assert_eq!((published.len(), foreign), (11, 6));
    replica.stop().await
}

#[tokio::test]
async fn batches_of_many_replicas_over_the_same_tenants_and_request_ids_never_deadlock() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let scopes: Vec<_> = (0..4).map(|n| Scope::new(&format!("t{n}"), "owner", Role::Owner)).collect();
    let requests: Vec<_> = (0..40).map(|_| request_with_id()).collect();
    let stores: Vec<_> = (0..4).map(|_| Ok(Store::new(fixture.pool()?))).collect::<Result<_>>()?;
    let before = fixture.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await;
    for round in 0..10 {
        let calls = stores.iter().enumerate().map(|(replica, store)| {
            // The same request ids of the same tenants, in an order of each replica's own, and orders without one between them.
            let mut orders: Vec<_> = scopes
                .iter()
                .flat_map(|scope| {
                    requests.iter().skip(round).map(|request| new_order_for(scope.clone(), request.clone()))
                })
                .collect();
            orders.extend(scopes.iter().map(|scope| new_order_for(scope.clone(), request())));
            let middle = (replica * 37 + round) % orders.len();
            orders.rotate_left(middle);
            async move { store.insert(&orders).await }
        });
        try_join_all(calls).await?;
    }
    let orders = fixture.number("SELECT count(*) FROM ordering.orders").await;
    assert_eq!(orders, 4 * 40 + 4 * 4 * 10);
    let holes = "SELECT count(*) FROM ordering.numbers n
                 WHERE n.last_number <> (SELECT count(DISTINCT o.number) FROM ordering.orders o WHERE o.tenant = n.tenant)";
    assert_eq!(fixture.number(holes).await, 0, "a number is missing or there twice");
    assert_eq!(
        fixture.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").await,
        before
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fills_its_part_of_the_queue_is_refused_the_rest() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let tasks = Tasks::new();
    let app = App::build(&fixture.environment.postgres, &fixture.environment.kafka)?.with_tenant_percent(1);
    let replica = Replica::serve_to(Access::everyone_is(acme()), vec![app.start(&tasks)?], tasks)?;
    let mut client = OrderServiceClient::new(replica.connect().await?);
    // Other writers of the tenant's numbers wait for this row, so nothing leaves the queue.
    let mut blocked = fixture.sql.begin().await?;
    let numbers = "INSERT INTO ordering.numbers (tenant, last_number, last_create_time) VALUES ('acme', 0, now())";
    sqlx::query(numbers).execute(&mut *blocked).await?;
    let requests = (0..100).map(|_| request()).collect();
    let (other, batch) = (client.clone(), BatchCreateOrdersRequest { requests });
    let creating = tokio::spawn(async move { client.batch_create_orders(batch).await });
    const BRIEF: std::time::Duration = std::time::Duration::from_millis(100);
    eventually("the tenant's part is full", || async {
        let one = timeout(BRIEF, other.clone().create_order(request())).await.ok()?;
        (one.err()?.code() == Code::ResourceExhausted).then_some(())
    })
    .await;
    blocked.rollback().await?;
    let results = creating.await??.into_inner().results;
    let mut counts = (0, 0);
    for result in results {
        match result.outcome {
            Some(Outcome::Created(_)) => counts.0 += 1,
            Some(Outcome::Error(error)) => {
                assert_eq!(error.code, Code::ResourceExhausted as i32, "{error:?}");
                counts.1 += 1;
            }
            None => panic!("a row without an outcome"),
        }
    }
    assert!(counts.0 > 0 && counts.1 > 0, "{counts:?}");
    replica.stop().await
}
