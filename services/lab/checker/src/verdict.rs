//! What a judge found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{figures::Figures, invariant::Invariant, violation::Violation};

/// The judgement of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// What must not be, by invariant; of each at most 100 are told.
    pub violations: Vec<Violation>,
    /// How many there are of each invariant, told or not.
    pub counts: BTreeMap<Invariant, u64>,
    /// Why the run proves nothing even where no violation was found.
    pub doubts: Vec<String>,
    /// What the run consisted of.
    pub figures: Figures,
}

/// The judgement in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing was violated, and there was enough to violate.
    Pass,
    /// Something was violated.
    Fail,
    /// Nothing was violated, but the run proves nothing.
    Inconclusive,
}

impl Verdict {
    /// In a word. A violation weighs more than any doubt.
    pub fn outcome(&self) -> Outcome {
        match (self.counts.is_empty(), self.doubts.is_empty()) {
            (false, _) => Outcome::Fail,
            (true, false) => Outcome::Inconclusive,
            (true, true) => Outcome::Pass,
        }
    }
}
