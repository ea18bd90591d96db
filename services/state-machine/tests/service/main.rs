//! The state machine as its callers, its operators and its faults see it, on a real Postgres and a real Kafka.

mod adopt;
mod assignments;
mod choice;
mod command;
mod crowds;
mod deadlock;
mod fixture;
mod history;
mod kept;
mod lead;
mod move_on;
mod plans;
mod races;
mod request_id;
mod start_time;
mod steps;
mod tenants;
mod way_back;
mod workflow;
