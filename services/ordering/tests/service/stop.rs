use anyhow::Result;
use comanda_kit::testing::eventually;
use comanda_proto::v1::{BatchCreateOrdersRequest, batch_create_orders_response::result::Outcome};

use crate::fixture::{Fixture, request};

#[tokio::test]
async fn a_stop_lets_calls_in_progress_finish_and_refuses_new_connections() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    fixture.slow_down_inserts(1.0).await?;
    let requests = vec![request(); 100];
    let call = tokio::spawn(async move { client.batch_create_orders(BatchCreateOrdersRequest { requests }).await });
    fixture.inserts_in_progress().await;

    let address = replica.address;
    let stopped = tokio::spawn(replica.stop());
    eventually("the port is closed", || async { tokio::net::TcpStream::connect(address).await.err() }).await;
    let results = call.await??.into_inner().results;
    stopped.await??;
    let created = results.iter().filter(|result| matches!(result.outcome, Some(Outcome::Created(_)))).count();
    assert_eq!((created, fixture.number("SELECT count(*) FROM ordering.orders").await), (100, 100));
    Ok(())
}
