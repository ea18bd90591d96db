//! What a watch hands out.

use std::time::Duration;

use crate::error::Error;

/// What a watch hands out.
#[derive(Clone, Debug, PartialEq)]
pub enum Update<T> {
    /// A response of the stream that tells something new.
    Event(T),
    /// The stream broke. Nothing has to be done: the next call of `next` waits, and resumes.
    Interrupted(Interruption),
}

/// How a stream broke, and how the watch goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Interruption {
    /// Why.
    pub error: Error,
    /// How long the watch waits before it resumes.
    pub wait: Duration,
    /// From where it goes on.
    pub resume: Resume,
}

/// From where a watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// After the last response: nothing is missed.
    InPlace,
    /// With what happens next, since there was no resume token yet. What happens meanwhile is missed.
    Now,
    /// With a new snapshot, since the resume token has expired. Missed are the steps that orders made meanwhile, and orders that were
    /// created and have ended meanwhile.
    Snapshot,
    /// With what happens next and, beside it, all orders that have not ended, page by page: there are too many for a snapshot. Missed is
    /// what [`Snapshot`](Self::Snapshot) misses.
    Pages,
}
