//! The ordering service as its callers, its operators and its faults see it, on a real Postgres and a real Kafka.

mod cancel;
mod connections;
mod create;
mod fixture;
mod list;
mod plans;
mod publish;
mod repeat;
mod silent;
mod stop;
