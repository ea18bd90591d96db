//! C13: what holds for couriers, their jobs, and what is shown of both.

pub mod assignments;
pub mod log;
pub mod positions;
pub mod shown;
mod spell;
pub mod steps;
pub mod waiting;

/// What has ended is over for dispatch so soon after, in microseconds.
const RELEASE_US: u64 = 30_000_000;
/// Two transactions may be stamped in another order than that in which they took effect, by at most so much, in microseconds.
const SLACK_US: i64 = 1_000_000;
