//! Mails, against a real database, a real Kafka and a mail server that does as it is told.

mod smtp_server;
mod world;

mod ledger;
mod outcomes;
mod owners;
mod plans;
mod service;
