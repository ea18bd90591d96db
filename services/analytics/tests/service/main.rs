//! Analytics as its callers, its operators and its faults see it, on a real Postgres and a real Kafka.

mod faults;
mod fixture;
mod lives;
mod numbers;
mod plans;
mod rebuild;
mod records;
mod replicas;
mod reports;
mod tidy;
