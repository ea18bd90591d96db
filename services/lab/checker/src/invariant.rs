//! What is judged.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What must always hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Invariant {
    /// What was accepted is there, exactly once and as it was accepted.
    C1Durable,
    /// Nothing is there that nobody asked for, or that was refused.
    C2NoPhantom,
    /// One request, one effect, one answer.
    C3Idempotent,
    /// Versions without hole or repeat, along the edges of the workflow, to an end; reads never go back.
    C4Chain,
    /// Each topic tells each order in the order of its versions, in one partition.
    C5LogOrder,
    /// No timer is early.
    C6Timers,
    /// Streams are ordered, whole and true.
    C7Watch,
    /// Every mail that is due was sent, to whom it concerns, and repeated only where nobody could know.
    C8Mail,
    /// What was consumed was dealt with; only what was planted was put aside.
    C9Account,
    /// No client sees or moves an order of another tenant, and every row and record names the order's tenant.
    C10Tenants,
    /// After the last fault everything comes to rest in time.
    C11Liveness,
    /// No panic, no end that nobody wanted, no code that must not be, no growth.
    C12Hygiene,
    /// An order has one courier at a time, a courier no more orders than it takes; who is free gets what waits; what has ended is over, and
    /// nobody sees a courier or a job that is none of theirs.
    C13Dispatch,
    /// Reports are what the history adds up to.
    C14Analytics,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::C1Durable => "C1 durable",
            Self::C2NoPhantom => "C2 no phantom",
            Self::C3Idempotent => "C3 idempotent",
            Self::C4Chain => "C4 chain",
            Self::C5LogOrder => "C5 log order",
            Self::C6Timers => "C6 timers",
            Self::C7Watch => "C7 watch",
            Self::C8Mail => "C8 mail",
            Self::C9Account => "C9 account",
            Self::C10Tenants => "C10 tenants",
            Self::C11Liveness => "C11 liveness",
            Self::C12Hygiene => "C12 hygiene",
            Self::C13Dispatch => "C13 dispatch",
            Self::C14Analytics => "C14 analytics",
        };
        f.pad(name)
    }
}
