//! Judges a recorded run of Comanda: what clients saw, against what the database, the topics and the mail server hold.
//!
//! It knows the contracts and nothing of the code: its only input is a history, one [`history::Line`] a line of JSON.
//! [`read`] reads it, [`judge()`] tells what is wrong with it.

pub mod case;
pub mod codes;
pub mod compare;
pub mod explain;
pub mod figures;
pub mod findings;
pub mod history;
pub mod invariant;
pub mod invariants;
mod judge;
pub mod read;
pub mod verdict;
pub mod violation;

pub use invariant::Invariant;
pub use judge::judge;
pub use verdict::{Outcome, Verdict};
pub use violation::Violation;
