//! The state machine as its callers, its operators and its faults see it, on a real Postgres and a real Kafka.

mod adopt;
mod choice;
mod command;
mod deadlock;
mod fixture;
mod history;
mod lead;
mod move_on;
mod plans;
mod request_id;
mod start_time;
mod tenants;
mod way_back;
mod workflow;
