//! The parts that every service stands on, against a real Postgres and real or simulated brokers.

mod broker;
mod postgres;
mod relay;
