//! The system under attack: its processes, and what they need, on loopback.

mod endpoints;

pub use endpoints::{Endpoints, Replica, Role};
