//! The ordering service as its callers, its operators and its faults see it, on a real Postgres and a real Kafka.

mod cancel;
mod connections;
mod create;
mod erase;
mod fixture;
mod kept;
mod list;
mod plans;
mod poll;
mod publish;
mod repeat;
mod silent;
mod slow_reads;
mod stop;
mod tenants;
mod tracking;
mod trip;
