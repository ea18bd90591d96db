//! The parts that every service stands on, against a real Postgres and real or simulated brokers.

mod access;
mod broker;
mod consumer;
mod http2;
mod outage;
mod postgres;
mod relay;
mod roles;
mod server;
mod tls;
