//! The load harness: `comanda load`.

pub mod compare;
pub mod page;
pub mod report;
