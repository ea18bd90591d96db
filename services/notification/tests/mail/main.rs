//! Mails, against a real database, a real Kafka and a mail server with a script.

mod world;

mod cost;
mod couriers;
mod entered;
mod ledger;
mod outcomes;
mod owners;
mod plans;
mod refusals;
mod resend;
mod service;
