//! What operator's commands list: lines on standard output, with times as clients show them.

use std::{
    fmt::Display,
    io::{self, Write},
};

use comanda_proto::views::timestamp;
use prost_types::Timestamp;
use time::OffsetDateTime;

/// Prints lines. Where the reader has left, as `head` does, this is an error that ends the command without a message.
pub fn print_lines<L: Display>(lines: impl IntoIterator<Item = L>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    lines.into_iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// A time to the second, in UTC (RFC 3339).
pub fn moment(time: OffsetDateTime) -> String {
    Timestamp { nanos: 0, ..timestamp(time) }.to_string()
}
