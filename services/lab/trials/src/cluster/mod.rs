//! The system under attack: its processes, and what they need, on loopback.

mod endpoints;
mod folder;
mod kafka;
mod keys;
mod launch;
mod ports;
mod postgres;
mod process;
mod serving;
mod shape;
mod start;
mod wait;
mod watch;
mod wires;

pub use endpoints::{Endpoints, Replica, Role, Tenant};
pub use folder::Folder;
pub use keys::Key;
pub use launch::STALE;
pub use process::{Process, Signal};
pub use serving::{is_serving, page};
pub use shape::{Shape, quick_settings, version};
pub use start::Cluster;
pub use wait::within;
pub use watch::ALARMS;
pub use wires::{Class, Wire};
