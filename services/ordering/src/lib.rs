//! The ordering service: takes orders, stores them, shows them and publishes each.
//!
//! A request to create an order is checked by [`order`], its trip by [`trip`]. It is written in a batch with others by [`writer`], and published by the relay. [`list`],
//! [`batch_get`] and [`erase`] are the calls that work on many orders. [`store`] holds the SQL, [`api`] the gRPC service.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use comanda_kit::{
    backoff::sleep,
    kafka,
    lease::Elector,
    postgres, readiness,
    relay::{Kept, Relay},
    server::Endpoint,
    shutdown::Tasks,
    tracking::Keys,
    workflows::Workflows,
};
use comanda_proto::{topics, v1::order_service_server::OrderServiceServer};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::warn;

use crate::{api::Api, share::Share, store::Store, writer::Writer};

pub mod api;
pub mod batch_get;
pub mod erase;
pub mod list;
pub mod money;
pub mod operator;
pub mod order;
pub mod position;
pub mod room;
pub mod share;
pub mod store;
pub mod trip;
pub mod view;
pub mod writer;

const MAX_REQUEST_BYTES: usize = 256 * 1024;
/// How often request ids of more than 7 days are forgotten, and how many in one statement.
const FORGET_INTERVAL: Duration = Duration::from_secs(60);
const FORGET_BATCH: i64 = 10_000;

/// The service, not yet running.
pub struct App {
    pool: PgPool,
    share: Share,
    kafka: kafka::Config,
    tracking: Option<Arc<Keys>>,
}

impl App {
    /// Checks the settings. A database or broker that is down is waited for later, while the server answers NOT_SERVING.
    pub fn build(postgres: &postgres::Config, kafka: &kafka::Config) -> Result<Self> {
        let pool = postgres::pool(postgres, store::SCHEMA)?;
        Ok(Self { pool, share: Share::of(postgres.database_connections), kafka: kafka.clone(), tracking: None })
    }

    /// Orders get tracking tokens of these keys.
    #[must_use]
    pub fn with_tracking(self, tracking: Option<Arc<Keys>>) -> Self {
        Self { tracking, ..self }
    }

    /// Starts writers and relay.
    pub fn start(self, tasks: &Tasks) -> Result<Endpoint> {
        let Self { pool, share, kafka, tracking } = self;
        let kept = Kept::of(&kafka);
        let store = Store::new(pool.clone()).with_kept(kept.clone());
        let nudge = Arc::new(Notify::new());
        let writer = Writer::start(store.clone(), nudge.clone(), tasks);

        let elector = Elector::new(pool.clone());
        let topic = kafka.topic(topics::ORDERS);
        let relay = Relay::new(pool.clone(), store.clone(), kafka, topic, nudge)?.with_kept(kept);
        let (stop, leaders_store) = (tasks.stop_token(), store.clone());
        tasks.spawn("ordering leader", async move {
            let relay = relay.run(elector.clone(), stop.clone());
            let forget = forget_requests(leaders_store, elector.clone(), stop);
            elector.while_working(async { _ = tokio::join!(relay, forget) }).await;
            Ok(())
        });

        let service =
            OrderServiceServer::new(Api::new(store.clone(), Workflows::new(pool.clone()), writer, share, tracking));
        Ok(Endpoint {
            routes: Routes::new(
                service
                    .max_decoding_message_size(MAX_REQUEST_BYTES)
                    .accept_compressed(tonic::codec::CompressionEncoding::Gzip),
            ),
            services: vec!["comanda.v1.OrderService"],
            ready: readiness::database(pool, tasks, async { Ok(()) }),
        })
    }
}

/// Forgets request ids after their 7 days.
async fn forget_requests(store: Store, elector: Elector, stop: CancellationToken) {
    while let Some(lease) = elector.held(&stop).await {
        match store.forget_requests(lease, FORGET_BATCH).await {
            Ok(forgotten) if forgotten == FORGET_BATCH as u64 => continue,
            Ok(_) => {}
            Err(error) => warn!("request ids were not forgotten: {error}"),
        }
        sleep(FORGET_INTERVAL, &stop).await;
    }
}
