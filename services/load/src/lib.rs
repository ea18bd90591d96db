//! The load harness: `comanda load`.

pub mod compare;
pub mod page;
pub mod plot;
pub mod report;
