//! The streams as a client sees them, on a real Postgres and a real Kafka.

mod faults;
mod fixture;
mod order;
mod orders;
mod partitions;
mod slow;
mod snapshots;
mod stalled;
mod tenants;
