//! The load harness: `comanda load`.
//!
//! It starts the roles as processes of their own on a fresh database and fresh topics ([`stage`]), sends orders at a pace
//! ([`generator`]), reads what the machine spent ([`cost`]), and then asks Postgres and Kafka whether every order became what it
//! should ([`truth`]): a run that lost, doubled or reordered anything is void. [`report`] is what is stored, [`page`] what people
//! look at.

pub mod bench;
pub mod city;
pub mod clients;
pub mod command;
pub mod compare;
pub mod cost;
pub mod environment;
pub mod gauges;
pub mod generator;
pub mod http;
pub mod latency;
pub mod map;
pub mod orders;
pub mod page;
pub mod pairs;
pub mod plot;
pub mod preload;
pub mod probes;
pub mod report;
mod security;
pub mod smtp;
pub mod stage;
pub mod truth;
pub mod workloads;
