//! The analytics service: counts what happened to orders and couriers, and answers with reports.
//!
//! # How data flows
//!
//! ```text
//! order-transitions --+
//!                     +--> [reader] --> [fold]: a pure function --> [store]: gates, rollups and next offsets in one transaction
//! assignments --------+                        ^                                       |
//!                                              |                                       v
//! views order_history, assignment_history --> [rebuild]                            [reports] --> AnalyticsService
//! ```
//!
//! Events say all that is counted, so nothing is looked up. A gate per order and topic holds the last version that is counted: a record that is
//! repeated, republished or late counts once; a gap is read from the history. Offsets are kept in the transaction that counts, never in
//! Kafka, so a crash in the middle of a batch counts nothing twice and nothing not at all. One replica folds: the leader. Every replica
//! serves reports.
//!
//! A rebuild notes the ends of the topics, folds the whole history into a second generation, goes on from those ends, and puts the second
//! generation in the place of the first.
//!
//! # Modules
//!
//! * `fold`: from a batch of events to changes of rollups (pure)
//! * `reader`: both topics, from the offsets that the database has
//! * `rebuild`: the second generation
//! * `reports`: what a report asks for, and its rows (pure but for the store)
//! * `api`, `store`, `operator`: as in the other services

use clap::{Args, value_parser};
use comanda_kit::secret::Secret;

/// The schema that this service alone writes.
pub const SCHEMA: &str = "analytics";

/// Settings of analytics.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// A database of its own for the numbers, as DATABASE_URL; without it they are kept in that one. `comanda migrate` brings either up to date.
    #[arg(long, env = "COMANDA_ANALYTICS_DATABASE_URL", hide_env_values = true)]
    pub analytics_database_url: Option<Secret>,
    /// How many days after its end an order may still be repeated on a topic: until then its last version is remembered. More than Kafka keeps.
    #[arg(long, env = "COMANDA_ANALYTICS_GATE_DAYS", default_value_t = 15, value_parser = value_parser!(u16).range(8..=366))]
    pub analytics_gate_days: u16,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        _config: Config,
    }

    #[test]
    fn the_settings_are_consistent() {
        Cli::command().debug_assert();
    }
}
