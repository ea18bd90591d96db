//! Orders on their way, with nothing in the way.

use comanda_proto::v1::{WatchOrderRequest, watch_order_response::Event, watch_service_client::WatchServiceClient};
use tonic::transport::Channel;

use crate::harness::{STEP_MS, Watch, World, orders};

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_delivered_watched_and_mailed() {
    let world = World::new().await;
    let [mut ordering, state_machine, mut notification] = world.start_roles(STEP_MS).await;
    let watch = Watch::start(notification.watches().await).await;
    let order_ids = world.create(&ordering.orders().await, &orders(100)).await;
    for order_id in &order_ids[..3] {
        assert_eq!(follow(notification.watches().await, order_id).await, [1, 2, 3, 4]);
    }
    world.all_delivered(&order_ids).await;
    watch.sees(&order_ids, &[1, 2, 3, 4]).await;
    world.mails_are_files(&order_ids).await;
    drop(watch);
    world.stop([ordering, state_machine, notification]).await;
}

/// The versions that a watch of one order shows until the stream ends with it.
async fn follow(mut client: WatchServiceClient<Channel>, order_id: &str) -> Vec<i64> {
    let request = WatchOrderRequest { order_id: order_id.into(), ..Default::default() };
    let mut stream = client.watch_order(request).await.expect("a stream").into_inner();
    let mut versions = Vec::new();
    while let Some(response) = stream.message().await.expect("a stream that ends well") {
        if let Some(Event::Transition(transition)) = response.event {
            versions.push(transition.version);
        }
    }
    versions
}
