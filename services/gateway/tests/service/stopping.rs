//! The end of a gateway.

use std::time::Duration;

use comanda_client::testing::{Fake, Script, Step};
use comanda_proto::v1::{OrderTransition, WatchOrderResponse, watch_order_response::Event};
use serde_json::json;
use tokio::time::timeout;

use super::fixture::{Events, Gateway};

#[tokio::test]
async fn streams_are_told_and_the_gateway_stops_at_once() {
    let transition = OrderTransition { version: 1, ..Default::default() };
    let stream = vec![Step::Send(WatchOrderResponse { event: Some(Event::Transition(transition)) }), Step::Stall];
    let fake = Fake { watch_order: Script::new([Ok(stream)]), ..Default::default() };
    let (_fake, gateway) = Gateway::before(fake, &[]).await;
    // A connection that is open and asks nothing must not hold up the end.
    let _idle = tokio::net::TcpStream::connect(gateway.address).await.expect("it listens");
    let mut events = Events::open(gateway.get("/v1/orders/x/events")).await;
    assert_eq!(events.next().await.expect("one").name, "transition");

    let stopping = tokio::spawn(timeout(Duration::from_secs(5), gateway.stop()));
    let last = events.next().await.expect("a word at the end");
    assert_eq!((last.name.as_str(), &last.data["reason"]), ("problem", &json!("SHUTTING_DOWN")));
    assert_eq!(events.next().await, None);
    stopping.await.expect("does not panic").expect("in time");
}
