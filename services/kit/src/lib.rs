//! What every Comanda process needs and that knows nothing of orders: logs, metrics and traces, stopping, the gRPC server, Postgres,
//! Kafka, the three loops built on them (leader lease, outbox relay, batch consumer), and the cache of workflows.

pub mod access;
pub mod backoff;
pub mod batch;
pub mod consumer;
pub mod currency;
pub mod dead_letters;
pub mod deadline;
pub mod dedicated;
pub mod errors;
mod free_text;
pub mod kafka;
pub mod lease;
pub mod mail_address;
pub mod page;
pub mod planted;
pub mod postgres;
pub mod readiness;
pub mod recent;
pub mod relay;
pub mod rpcs;
pub mod secret;
pub mod server;
pub mod settings;
pub mod shares;
pub mod shutdown;
pub mod streams;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod tls;
pub mod traces;
pub mod tracking;
pub mod workflows;
