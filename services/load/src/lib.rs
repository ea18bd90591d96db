//! The load harness: `comanda load`.

pub mod report;
