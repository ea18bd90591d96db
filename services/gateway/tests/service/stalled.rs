//! Browsers that read nothing.

use comanda_client::testing::{Fake, Script, Step};
use comanda_proto::v1::{Order, WatchOrdersResponse, watch_orders_response::Event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::fixture::{Events, Gateway};

/// Together far more than sockets and windows hold.
const ORDERS: usize = 400;
const ORDER_BYTES: usize = 64 * 1024;

fn stream() -> Result<Vec<Step<WatchOrdersResponse>>, tonic::Status> {
    let order = Order { order_id: "x".repeat(ORDER_BYTES), ..Default::default() };
    let response = WatchOrdersResponse { event: Some(Event::Current(order)), ..Default::default() };
    Ok(vec![Step::Send(response); ORDERS])
}

/// Asks for events, and reads only the beginning of the answer.
async fn stalled(gateway: &Gateway) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut browser = socket.connect(gateway.address).await.expect("it listens");
    browser.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut head = [0; 12];
    browser.read_exact(&mut head).await.expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 200");
    browser
}

#[tokio::test]
async fn browsers_that_read_nothing_hold_up_no_other() {
    let fake = Fake { watch_orders: Script::new((0..5).map(|_| stream())), ..Default::default() };
    let (_fake, gateway) = Gateway::before(fake, &[]).await;
    let mut stalled_browsers = Vec::new();
    for _ in 0..4 {
        stalled_browsers.push(stalled(&gateway).await);
    }
    let mut events = Events::open(gateway.get("/v1/events")).await;
    for _ in 0..ORDERS {
        assert_eq!(events.next().await.expect("an order").name, "current");
    }
    drop(stalled_browsers);
}
