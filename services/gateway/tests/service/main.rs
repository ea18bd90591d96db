//! The gateway as its callers see it, before real servers on a real Postgres and a real Kafka, and before servers that answer by a script.

mod errors;
mod events;
mod fixture;
mod foreign;
mod new_order;
mod pages;
mod resources;
mod rpc;
mod stalled;
mod stopping;
mod strangers;
mod track;
