//! The streams as a client sees them, on a real Postgres and a real Kafka.

mod couriers;
mod faults;
mod fixture;
mod order;
mod orders;
mod partitions;
mod rides;
mod slow;
mod snapshots;
mod stalled;
mod tenants;
