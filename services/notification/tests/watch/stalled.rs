//! Clients that open streams and never read them.

use bytes::Bytes;
use comanda_kit::testing::{Replica, eventually};
use comanda_notification::watch::Config;
use comanda_proto::v1::{Order, WatchOrderRequest, WatchOrdersRequest};
use futures::future::join_all;
use h2::{RecvStream, client::SendRequest};
use prost::Message;
use tokio::{net::TcpStream, task::JoinHandle};
use tonic::{Code, codegen::http};
use uuid::Uuid;

use crate::fixture::*;

const PLACES: usize = 20;

fn few_places() -> Config {
    let mut config = config();
    (config.max_watches, config.max_many_watches) = (PLACES, PLACES);
    // Long enough that all places can be taken meanwhile on a busy machine.
    (config.watch_stall_ms, config.watch_heartbeat_ms) = (3000, 300);
    config
}

/// A connection whose client answers pings and takes headers, but of each stream only the first `window` bytes.
struct Stalled {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<()>,
    address: String,
    streams: Vec<RecvStream>,
}

impl Stalled {
    async fn connect(replica: &Replica, window: u32) -> Self {
        let socket = TcpStream::connect(replica.address).await.expect("it listens");
        let (requests, connection) =
            h2::client::Builder::new().initial_window_size(window).handshake(socket).await.expect("HTTP/2");
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { requests, connection, address: replica.address.to_string(), streams: Vec::new() }
    }

    /// Opens a stream that is never read; tells whether the server opened it.
    async fn open(&mut self, call: &str, message: &impl Message) -> bool {
        let uri = format!("http://{}/comanda.v1.WatchService/{call}", self.address);
        let request = http::Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        self.requests = self.requests.clone().ready().await.expect("room for a stream");
        let (response, mut body) = self.requests.send_request(request, false).expect("sent");
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).expect("small").to_be_bytes();
        body.send_data([&[0], &length[..], &message].concat().into(), true).expect("sent");
        let response = soon("the headers", response).await.expect("an answer");
        // A refusal is an answer without a body that carries the status.
        let is_open = !response.headers().contains_key("grpc-status");
        self.streams.push(response.into_body());
        is_open
    }

    fn is_connected(&self) -> bool {
        !self.connection.is_finished()
    }
}

fn one(order_id: Uuid) -> WatchOrderRequest {
    WatchOrderRequest { order_id: order_id.to_string(), ..Default::default() }
}

fn many(start: comanda_proto::v1::watch_orders_request::Start) -> WatchOrdersRequest {
    WatchOrdersRequest { start: Some(start), ..Default::default() }
}

/// All places are taken by clients that never read. Still each of them is soon free for a client that does.
async fn a_good_client_gets_every_place(replica: &Replica, stalled: &Stalled, call: &str, order_id: Uuid) {
    let mut client = client(replica).await;
    let refused = match call {
        "WatchOrder" => watch(&mut client, order_id, 0).await.map(drop),
        _ => follow(&mut client, None, now()).await.map(drop),
    };
    assert_eq!(refused.expect_err("every place is taken").code(), Code::ResourceExhausted);
    let opens = (0..PLACES).map(|_| {
        let client = client.clone();
        async move {
            eventually("a place is free", || {
                let mut client = client.clone();
                async move {
                    match call {
                        "WatchOrder" => watch(&mut client, order_id, 0).await.map(Ok).ok(),
                        _ => follow(&mut client, None, now()).await.map(Err).ok(),
                    }
                }
            })
            .await
        }
    });
    let streams = join_all(opens).await;
    assert_eq!(streams.len(), PLACES);
    assert!(stalled.is_connected(), "the places are free although the connection still lives");
}

#[tokio::test]
async fn a_window_that_is_closed_from_the_first_byte_keeps_no_place() {
    let world = World::new().await;
    let order_id = world.order("ana").await;
    for (call, start) in [("WatchOrder", None), ("WatchOrders", Some(now())), ("WatchOrders", Some(snapshot()))] {
        let replica = world.replica(few_places()).await;
        let mut stalled = Stalled::connect(&replica, 0).await;
        for _ in 0..PLACES {
            let opened = match &start {
                None => stalled.open(call, &one(order_id)).await,
                Some(start) => stalled.open(call, &many(start.clone())).await,
            };
            assert!(opened, "{call}");
        }
        a_good_client_gets_every_place(&replica, &stalled, call, order_id).await;
    }
}

#[tokio::test]
async fn a_client_that_stops_within_a_snapshot_keeps_no_place() {
    let world = World::new().await;
    for _ in 0..50 {
        world.order("ana").await;
    }
    // More than the window and what HTTP/2 buffers by itself.
    let large = Order { labels: [("key".to_owned(), "x".repeat(20_000))].into(), ..Default::default() };
    sqlx::query("UPDATE ordering.orders SET content = $1")
        .bind(large.encode_to_vec())
        .execute(&world.sql)
        .await
        .expect("updated");
    let replica = world.replica(few_places()).await;
    let mut stalled = Stalled::connect(&replica, 30_000).await;
    for _ in 0..PLACES {
        assert!(stalled.open("WatchOrders", &many(snapshot())).await);
    }
    a_good_client_gets_every_place(&replica, &stalled, "WatchOrders", Uuid::nil()).await;
}
