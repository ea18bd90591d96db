//! The real program, as processes, on a real Kafka and a real Postgres: what users and operators are promised, also while processes
//! are killed, stopped and frozen and while what they depend on is away.

mod harness;

mod access;
mod accounts;
mod client;
mod delivery;
mod dev;
mod discretion;
mod erasure;
mod faults;
mod fleets;
mod gateway;
mod load;
mod matrix;
mod operator;
mod planted;
mod rides;
mod starting;
mod stats;
mod stopping;
mod tenants;
mod tls;
mod traces;
mod workflows;
