use anyhow::Result;
use comanda_proto::v1::{EraseCustomerRequest, EraseCustomerResponse, GetOrderRequest, Order, get_order_request::Key};
use tonic::Code;

use crate::fixture::{Client, Fixture, create, fields, request, request_of, request_with_id};

async fn erase(client: &Client, customer_id: &str) -> Result<Vec<EraseCustomerResponse>> {
    let mut request = EraseCustomerRequest { customer_id: customer_id.into(), ..Default::default() };
    let mut responses = Vec::new();
    loop {
        let response = client.clone().erase_customer(request.clone()).await?.into_inner();
        request.page_token = response.next_page_token.clone();
        responses.push(response);
        if request.page_token.is_empty() {
            return Ok(responses);
        }
    }
}

fn erased(responses: &[EraseCustomerResponse]) -> i64 {
    responses.iter().map(|response| response.erased_orders).sum()
}

async fn get(client: &Client, order: &Order) -> Result<Order> {
    let key = Some(Key::OrderId(order.order_id.clone()));
    let response = client.clone().get_order(GetOrderRequest { key, view: 0 }).await?.into_inner();
    Ok(response.order.expect("an answer has its order"))
}

/// What is left of an order when its customer is erased.
fn without_person(mut order: Order) -> Order {
    let customer = order.customer.as_mut().expect("has one");
    (customer.name, customer.email, customer.locale) = Default::default();
    order.labels.clear();
    order
}

#[tokio::test]
async fn an_erased_customer_is_gone_from_every_order_and_the_orders_stay() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let mut orders = Vec::new();
    // More than one statement erases.
    for _ in 0..120 {
        orders.push(create(&client, request_of("ana")).await?);
    }
    let other = create(&client, request_of("eve")).await?;

    assert_eq!(erased(&erase(&client, "ana").await?), 120);
    for order in orders {
        assert_eq!(get(&client, &order).await?, without_person(order));
    }
    assert_eq!(get(&client, &other).await?, other);
    let personal = "SELECT count(*) FROM ordering.orders o
                    WHERE o.customer_id = 'ana' AND (o::text ~ 'Rojas|example|es-CL' OR position('table'::bytea IN content) > 0)";
    assert_eq!(fixture.number(personal).await, 0);
    assert_eq!(erased(&erase(&client, "ana").await?), 0, "nothing is left to erase");
    assert_eq!(erased(&erase(&client, "nobody").await?), 0);
    replica.stop().await
}

#[tokio::test]
async fn a_call_that_is_repeated_after_the_erasure_brings_nothing_back() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let asked = request_with_id();
    let order = create(&client, asked.clone()).await?;
    erase(&client, "c-1").await?;
    assert_eq!(create(&client, asked).await?, without_person(order));
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, 1);
    // A new order is a new order.
    let new = create(&client, request()).await?;
    assert_eq!(new.customer, request().customer);
    replica.stop().await
}

#[tokio::test]
async fn an_erasure_that_takes_long_is_continued_with_its_token() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    fixture.fill("default", 300, "'ana'", "'\\x7200'", "now() - n * interval '1 second'").await?;
    // Every statement takes longer than a call goes on.
    crate::fixture::run(
        &fixture.sql,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(4.1); RETURN NULL; END $$;
         CREATE TRIGGER slow BEFORE UPDATE ON ordering.orders EXECUTE FUNCTION slow()",
    )
    .await?;
    let request = EraseCustomerRequest { customer_id: "ana".into(), ..Default::default() };
    let first = client.erase_customer(request.clone()).await?.into_inner();
    assert_eq!((first.erased_orders, first.next_page_token.is_empty()), (50, false));
    crate::fixture::run(&fixture.sql, "DROP TRIGGER slow ON ordering.orders").await?;
    let page_token = first.next_page_token;
    let other = EraseCustomerRequest { customer_id: "eve".into(), page_token: page_token.clone() };
    let refused = client.erase_customer(other).await.expect_err("a token of another customer");
    assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["page_token".to_owned()]));
    let rest = client.erase_customer(EraseCustomerRequest { page_token, ..request }).await?.into_inner();
    assert_eq!((rest.erased_orders, rest.next_page_token.as_str()), (250, ""));
    replica.stop().await
}

#[tokio::test]
async fn an_erasure_names_its_customer() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    for customer_id in ["", "\u{200b}", "a\nb"] {
        let request = EraseCustomerRequest { customer_id: customer_id.into(), ..Default::default() };
        let refused = client.erase_customer(request).await.expect_err("no customer");
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["customer_id".to_owned()]));
    }
    replica.stop().await
}
