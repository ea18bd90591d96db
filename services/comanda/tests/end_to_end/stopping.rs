//! SIGTERM, whatever clients are connected.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
};

use comanda_proto::v1::{
    WatchOrderRequest, WatchOrdersRequest, watch_orders_request::Start, watch_service_client::WatchServiceClient,
};
use tokio::task::JoinHandle;
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_types::StatusExt;

use crate::harness::{World, orders};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_in_time_whatever_clients_are_connected() {
    let world = World::new().await;
    // The steps of the workflow take half a minute: these orders rest.
    let [mut ordering, mut state_machine, mut notification] = world.start_roles("30000").await;
    let order_ids = world.create(&ordering.orders().await, &orders(5)).await;
    let mut watchers = Vec::new();
    for number in 0..50 {
        let client = notification.watches().await;
        watchers.push(if number % 2 == 0 {
            watch_order(client, &order_ids[number / 2 % 5]).await
        } else {
            watch_orders(client).await
        });
    }
    let frozen = world.start_as("frozen", client(&world, notification.address().await, &order_ids[0]));
    frozen.says("received").await;
    frozen.signal("STOP");

    let mut sockets = Vec::new();
    for role in [&mut ordering, &mut state_machine, &mut notification] {
        let address = role.address().await;
        sockets.extend([&b""[..], &PREFACE[..12], &[PREFACE, SETTINGS].concat()].map(|bytes| socket(address, bytes)));
    }
    for role in [&ordering, &state_machine, &notification] {
        role.signal("TERM");
    }
    for role in [&mut ordering, &mut state_machine, &mut notification] {
        role.ends_well().await;
    }
    for (number, watcher) in watchers.into_iter().enumerate() {
        let end = watcher.await.expect("a watcher that does not panic");
        assert_eq!(end.code(), Code::Unavailable, "{end}");
        let info = end.get_details_error_info().expect("an error of ours");
        assert_eq!(info.reason, "SHUTTING_DOWN");
        let resumes =
            if number % 2 == 0 { info.metadata["version"] == "1" } else { !info.metadata["resume_token"].is_empty() };
        assert!(resumes, "a watcher is told where to go on: {info:?}");
    }
    world.is_discreet();
}

/// Opens a watch of one order and reads the first two responses; then returns how the stream ends.
async fn watch_order(mut client: WatchServiceClient<Channel>, order_id: &str) -> JoinHandle<Status> {
    let request = WatchOrderRequest { order_id: order_id.into(), ..Default::default() };
    let mut stream = client.watch_order(request).await.expect("a stream").into_inner();
    for _ in ["transition", "current"] {
        stream.message().await.expect("a stream that lasts").expect("a response");
    }
    tokio::spawn(end(stream))
}

/// The same for a watch of all orders.
async fn watch_orders(mut client: WatchServiceClient<Channel>) -> JoinHandle<Status> {
    let request = WatchOrdersRequest { start: Some(Start::Now(Default::default())), ..Default::default() };
    let mut stream = client.watch_orders(request).await.expect("a stream").into_inner();
    stream.message().await.expect("a stream that lasts").expect("a token");
    tokio::spawn(end(stream))
}

async fn end<T>(mut stream: Streaming<T>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Status::ok("the stream ended well"),
            Err(status) => return status,
        }
    }
}

/// A watcher in a process of its own.
fn client(world: &World, address: SocketAddr, order_id: &str) -> std::process::Command {
    world.command(&["order", "watch", order_id, "--notification-addr", &address.to_string()])
}

/// A connection that says no more than this.
fn socket(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).expect("a server that listens");
    socket.write_all(bytes).expect("a server that reads");
    socket
}
