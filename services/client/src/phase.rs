//! Which phases are ends.

use comanda_proto::v1::Phase;

/// Whether an order in this phase never moves again.
pub fn is_terminal(phase: Phase) -> bool {
    match phase {
        Phase::Unspecified | Phase::Active => false,
        Phase::Succeeded | Phase::Cancelled | Phase::Rejected | Phase::Failed => true,
    }
}
