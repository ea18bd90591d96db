//! The service as its callers and the topics see it, with a real database and a real Kafka.

mod expected_times;
mod fixture;
mod locations;
mod pace;
mod positions;
mod watch_courier;
