//! One thing that was found wrong.

use serde::{Deserialize, Serialize};

use crate::{history::Line, invariant::Invariant};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// The order, where it concerns one.
    pub order_id: Option<String>,
    /// When it was seen, in the run's microseconds, where that is known.
    pub at_us: Option<u64>,
    /// What was seen, in one sentence with the figures.
    pub evidence: String,
    /// The order's lines around the evidence.
    pub lines: Vec<Line>,
    /// Faults that were active then.
    pub faults: Vec<String>,
}
