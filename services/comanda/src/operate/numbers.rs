//! Where analytics keeps its numbers.

use anyhow::Result;
use clap::Args;
use comanda_analytics::{Config, operator::Operator};
use comanda_kit::{postgres, secret::Secret};

/// Where analytics keeps its numbers.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Numbers {
    /// The database of analytics' numbers, if they have one of their own.
    #[arg(long, env = "COMANDA_ANALYTICS_DATABASE_URL", hide_env_values = true)]
    analytics_database_url: Option<Secret>,
}

impl Numbers {
    /// Access for one command. `postgres` is the database of the other services.
    pub fn operator(&self, postgres: &postgres::Config) -> Result<Operator> {
        Operator::connect(&self.config(), postgres)
    }

    /// The database of its own; `None` where there is none.
    pub fn own_database(&self, postgres: &postgres::Config) -> Option<postgres::Config> {
        self.analytics_database_url.is_some().then(|| self.config().database(postgres))
    }

    fn config(&self) -> Config {
        Config { analytics_database_url: self.analytics_database_url.clone(), ..Config::default() }
    }
}
