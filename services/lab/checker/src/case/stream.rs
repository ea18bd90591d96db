//! Streams with what they showed.

use crate::history::{Event, Start};

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream<'a> {
    /// Its number in the history.
    pub stream: u64,
    /// Whose data its reader may reach.
    pub tenant: &'a str,
    /// What it streams.
    pub kind: Kind<'a>,
    /// When it was opened.
    pub opened_us: u64,
    /// What it showed, and when.
    pub events: Vec<(u64, &'a Event)>,
    /// When and how it ended; none where the history ends first.
    pub end: Option<(u64, &'a str, Option<&'a str>)>,
}

/// What a stream streams.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// One order.
    One {
        /// The order.
        order_id: &'a str,
        /// The last version that its reader had seen.
        after_version: i64,
    },
    /// All orders, or those of one customer.
    All {
        /// Whose; empty means all.
        customer_id: &'a str,
        /// From where.
        start: &'a Start,
    },
    /// The jobs of a courier.
    Courier {
        /// Whose.
        courier_id: &'a str,
    },
}

impl Stream<'_> {
    /// Whether it ended without a word of the server: its reader left, or the history ended first.
    pub fn left_by_reader(&self) -> bool {
        self.end.is_none_or(|(_, code, _)| code == "CLIENT")
    }

    /// When it ended; `history_end_us` where nothing tells.
    pub fn end_us(&self, history_end_us: u64) -> u64 {
        self.end.map_or(history_end_us, |(at, ..)| at)
    }
}
