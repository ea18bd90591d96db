//! The notification service: streams what happens to orders ([`watch`]) and mails it to customers ([`mail`]).

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use comanda_kit::{kafka, postgres, server::Endpoint, shutdown::Tasks, tracking::Keys};
use sqlx::PgPool;
use tonic::service::Routes;

mod courier;
pub mod mail;
pub mod operator;
pub mod watch;

/// Settings of the notification service.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Settings of the streams.
    #[command(flatten)]
    pub watch: watch::Config,
    /// Settings of the mails.
    #[command(flatten)]
    pub mail: mail::Config,
}

/// The service, not yet running.
pub struct App {
    watch: watch::Config,
    mail: mail::App,
    kafka: kafka::Config,
    pool: PgPool,
}

impl App {
    /// Checks the settings. What is down is waited for later, while the server answers NOT_SERVING.
    pub fn build(
        config: &Config,
        postgres: &postgres::Config,
        kafka: &kafka::Config,
        tracking: Option<Arc<Keys>>,
    ) -> Result<Self> {
        let pool = postgres::pool(postgres, watch::store::SCHEMA)?;
        let mail = mail::App::build(&config.mail, kafka, pool.clone(), tracking)?;
        Ok(Self { watch: config.watch.clone(), mail, kafka: kafka.clone(), pool })
    }

    /// Starts everything. An old schema stops the process.
    pub fn start(self, tasks: &Tasks) -> Result<Endpoint> {
        let (watch, ready) = watch::start(&self.watch, &self.kafka, self.pool, tasks);
        let mail = self.mail.service(tasks);
        self.mail.start(tasks);
        Ok(Endpoint {
            routes: Routes::new(watch).add_service(mail),
            services: vec![watch::SERVICE, mail::SERVICE],
            ready,
        })
    }
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
