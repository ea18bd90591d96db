//! Who gets which order, and what becomes of it: the leader is stepped, on a real Postgres and a real Kafka.

mod allot;
mod cancel;
mod capacity;
mod commands;
mod fixture;
mod hand;
mod offers;
mod orders;
mod plans;
mod replicas;
mod scheduled;
mod service;
mod silent;
mod stepper;
mod steps;
mod tenants;
