//! Tracking tokens.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use comanda_kit::{
    access::{Access, Scope},
    shutdown::Tasks,
    testing::Replica,
    tracking::{Keys, new_key},
};
use comanda_ordering::App;
use comanda_proto::{
    access::Role,
    v1::{
        BatchCreateOrdersRequest, GetOrderRequest, batch_create_orders_response::result::Outcome,
        get_order_request::Key,
    },
};
use tonic::{Code, Request};

use crate::fixture::{Client, Fixture, request, request_with_id};

/// A replica of one tenant whose orders get tokens.
async fn serve(fixture: &Fixture, tenant: &str, keys: &Arc<Keys>) -> Result<(Replica, Client)> {
    let tasks = Tasks::new();
    let app = App::build(&fixture.environment.postgres, &fixture.environment.kafka)?;
    let app = app.with_tracking(Some(keys.clone()));
    let access = Access::everyone_is(Scope::new(tenant, "owner", Role::Owner)).with_tracking(Some(keys.clone()));
    let replica = Replica::serve_to(access, vec![app.start(&tasks)?], tasks)?;
    let client = Client::new(replica.connect().await?);
    Ok((replica, client))
}

fn with_token(key: Key, token: &str) -> Request<GetOrderRequest> {
    let mut request = Request::new(GetOrderRequest { key: Some(key), ..Default::default() });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
    request
}

#[tokio::test]
async fn the_token_of_an_order_shows_that_one_and_nothing_of_who_ordered() -> Result<()> {
    let fixture = Fixture::new().await?;
    let keys = Arc::new(Keys::of_pem(new_key()?.as_bytes(), Duration::from_secs(3600))?);
    let (replica, mut client) = serve(&fixture, "acme", &keys).await?;
    let repeated = request_with_id();
    let first = client.create_order(repeated.clone()).await?.into_inner();
    let (mine, token) = (first.order.expect("an order"), first.tracking_token);
    let replayed = client.create_order(repeated).await?.into_inner();
    assert_eq!((replayed.replayed, &replayed.tracking_token), (true, &token));
    let batch = BatchCreateOrdersRequest { requests: vec![request()] };
    let row = client.batch_create_orders(batch).await?.into_inner().results.remove(0);
    let Some(Outcome::Created(second)) = row.outcome else { panic!("{row:?}") };
    let other = second.order.expect("an order");
    assert!(!second.tracking_token.is_empty() && second.tracking_token != token);

    for key in [Key::OrderId(mine.order_id.clone()), Key::Number(mine.number)] {
        let shown = client.get_order(with_token(key, &token)).await?.into_inner().order.expect("the order");
        assert_eq!((&shown.order_id, &shown.items, shown.customer), (&mine.order_id, &mine.items, None));
    }
    for key in [Key::OrderId(other.order_id.clone()), Key::Number(other.number)] {
        let refused = client.get_order(with_token(key, &token)).await.expect_err("not its order");
        assert_eq!(refused.code(), Code::NotFound);
    }
    // Not even where the caller would otherwise be the owner of that tenant.
    let (elsewhere, mut stranger) = serve(&fixture, "other", &keys).await?;
    let key = || Key::OrderId(mine.order_id.clone());
    assert!(stranger.get_order(with_token(key(), &token)).await.is_ok(), "the token says whose order it is");
    let refused = client.get_order(with_token(key(), &format!("{token}A"))).await.expect_err("no token");
    assert_eq!(refused.code(), Code::Unauthenticated);
    elsewhere.stop().await?;
    replica.stop().await
}
