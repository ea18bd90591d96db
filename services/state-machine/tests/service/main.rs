//! The state machine as its callers, its operators and its faults see it, on a real Postgres and a real Kafka.

mod adopt;
mod command;
mod fixture;
mod history;
mod lead;
mod move_on;
mod plans;
mod workflow;
