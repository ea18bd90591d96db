//! The analytics service: counts what happened to orders and couriers, and answers with reports.
//!
//! # How data flows
//!
//! ```text
//! order-transitions --+
//!                     +--> [reader] --> [folder] --> [count]: [gates], [fold], and one transaction of the [store] with the next offsets
//! assignments --------+                                 ^                     |
//!                                                       |                     v
//! views order_history, assignment_history --------> [rebuild]        [store] --> [reports] --> [api]: AnalyticsService
//! ```
//!
//! Events say all that is counted, so nothing is looked up. A gate per order and topic holds the last version that is counted: a record that is
//! repeated, republished or late counts once; a gap is read from the history. Offsets are kept in the transaction that counts, never in
//! Kafka, so a crash in the middle of a batch counts nothing twice and nothing not at all. One replica folds: the leader. Every replica
//! serves reports.
//!
//! # Modules
//!
//! * `event`, with `moved` and `job`: what is counted of a record (pure)
//! * `gates`: which events of a batch count, and what is missing between them (pure)
//! * `fold`: from events to changes of sums, with `span` and `durations` (pure)
//! * `reader`: both topics, from the offsets that the database has; `folder` and `count` apply what it reads
//! * `rebuild`: the second generation; `tidy`: gates that are not needed any more
//! * `reports`, with `period`: from sums to the rows of a report (pure)
//! * `api`, `store`, `operator`: as in the other services

use anyhow::Result;
use clap::{Args, value_parser};
use comanda_kit::{kafka, lease::Elector, postgres, readiness, secret::Secret, server::Endpoint, shutdown::Tasks};
use comanda_proto::v1::analytics_service_server::AnalyticsServiceServer;
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes};

pub use crate::store::SCHEMA;
use crate::{api::Api, event::Topic, reader::Reader, store::Store};

mod api;
mod count;
mod durations;
mod elapsed;
mod event;
mod fold;
mod folder;
mod gates;
mod job;
mod moved;
pub mod operator;
mod period;
mod reader;
mod rebuild;
mod reports;
mod span;
mod store;
mod tidy;

/// Full name of the gRPC service, for health.
pub const SERVICE: &str = "comanda.v1.AnalyticsService";
/// Requests hold a few short fields.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Settings of analytics.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// A database of its own for the numbers, as DATABASE_URL; without it they are kept in that one. `comanda migrate` brings either up to date.
    #[arg(long, env = "COMANDA_ANALYTICS_DATABASE_URL", hide_env_values = true)]
    pub analytics_database_url: Option<Secret>,
    /// For how many days after its end an order that was purged is remembered, so that a record of it that is repeated counts once. More than
    /// Kafka keeps records.
    #[arg(long, env = "COMANDA_ANALYTICS_GATE_DAYS", default_value_t = 15, value_parser = value_parser!(u16).range(8..=366))]
    pub analytics_gate_days: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self { analytics_database_url: None, analytics_gate_days: 15 }
    }
}

impl Config {
    /// The database that has the numbers. `postgres` is that of the other services.
    pub fn database(&self, postgres: &postgres::Config) -> postgres::Config {
        let database_url = self.analytics_database_url.as_ref().map(|url| url.reveal().to_owned());
        // The file has the password of the other one.
        let database_password_file = postgres.database_password_file.clone().filter(|_| database_url.is_none());
        postgres::Config {
            database_url: database_url.unwrap_or_else(|| postgres.database_url.clone()),
            database_password_file,
            ..postgres.clone()
        }
    }

    fn store(&self, postgres: &postgres::Config) -> Result<Store> {
        let numbers = postgres::pool(&self.database(postgres), SCHEMA)?;
        let source =
            if self.analytics_database_url.is_some() { postgres::pool(postgres, SCHEMA)? } else { numbers.clone() };
        Ok(Store::new(numbers, source))
    }
}

/// The service, not yet running.
#[derive(Debug)]
pub struct App {
    store: Store,
    kafka: kafka::Config,
    gate_days: u16,
}

impl App {
    /// Checks the settings. What is down is waited for later, while the server answers NOT_SERVING.
    pub fn build(config: &Config, postgres: &postgres::Config, kafka: &kafka::Config) -> Result<Self> {
        Ok(Self { store: config.store(postgres)?, kafka: kafka.clone(), gate_days: config.analytics_gate_days })
    }

    /// Starts to count, where this replica leads, and to serve reports.
    pub fn start(self, tasks: &Tasks) -> Result<Endpoint> {
        let Self { store, kafka, gate_days } = self;
        let ready = readiness::database(store.numbers().clone(), tasks, async { Ok(()) });
        let (led, stop) = (store.clone(), tasks.stop_token());
        tasks.spawn("analytics leader", async move { lead(led, kafka, gate_days, stop).await });
        let service = AnalyticsServiceServer::new(Api::new(store))
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        Ok(Endpoint { routes: Routes::new(service), services: vec![SERVICE], ready })
    }
}

/// What the leader does.
async fn lead(store: Store, kafka: kafka::Config, gate_days: u16, stop: CancellationToken) -> Result<()> {
    let elector = Elector::new(store.numbers().clone());
    let reader = |topic| Reader { store: store.clone(), kafka: kafka.clone(), topic };
    let transitions = reader(Topic::Transitions).run(elector.clone(), stop.clone());
    let assignments = reader(Topic::Assignments).run(elector.clone(), stop.clone());
    let tidying = tidy::run(store.clone(), gate_days, elector.clone(), stop);
    let mut ended = Ok(());
    elector
        .while_working(async {
            let (transitions, assignments, ()) = tokio::join!(transitions, assignments, tidying);
            ended = transitions.and(assignments);
        })
        .await;
    ended
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::check_settings;

    use super::*;

    #[test]
    fn the_settings_are_consistent() {
        check_settings::<Config>();
    }
}
