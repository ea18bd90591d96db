//! Output: lines for people, or one JSON object a line for programs. Results go to standard output, notices to standard error.

use std::{
    io::{self, IsTerminal, Write},
    sync::LazyLock,
};

use comanda_proto::{DESCRIPTORS, v1::Phase};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Timestamp;

use crate::terminal::{escape, escape_json, escape_lines};

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the descriptors were compiled with this program"));

/// Where and how results are written.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    json: bool,
    paint: Paint,
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Printer {
    /// Colours only where a terminal shows them and NO_COLOR is not set (<https://no-color.org>).
    pub fn new(json: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, paint: Paint { on: io::stdout().is_terminal() && !no_color } }
    }

    /// Whether lines for people are written, not JSON.
    pub fn is_for_people(self) -> bool {
        !self.json
    }

    /// Writes a message: as JSON under its full name in the API, or as `human` puts it, which escapes what others wrote.
    pub fn show(self, name: &str, message: &impl Message, human: impl FnOnce(Paint) -> String) -> io::Result<()> {
        match self.json {
            true => self.record(name, message),
            false => self.line(&human(self.paint)),
        }
    }

    /// Writes something that is no message of the API. `human` is written as it is: escape what others wrote.
    pub fn value(self, json: &serde_json::Value, human: &str) -> io::Result<()> {
        match self.json {
            true => self.record_value(json),
            false => self.line(human),
        }
    }

    /// Writes the names over a table, which only people need.
    pub fn heading(self, human: impl FnOnce(Paint) -> String) -> io::Result<()> {
        if self.json { Ok(()) } else { self.line(&human(self.paint)) }
    }

    /// Writes a message that only programs need.
    pub fn record(self, name: &str, message: &impl Message) -> io::Result<()> {
        if self.json { self.line(&escape_json(&json(name, message)?)) } else { Ok(()) }
    }

    /// Writes something that is no message of the API and that only programs need.
    pub fn record_value(self, json: &serde_json::Value) -> io::Result<()> {
        if self.json { self.line(&escape_json(&json.to_string())) } else { Ok(()) }
    }

    /// Tells a person what happens, beside the results.
    pub fn notice(self, text: &str) {
        // If standard error is closed, the notice is lost, and nothing else.
        let _ = writeln!(io::stderr(), "{}", escape_lines(text));
    }

    fn line(self, text: &str) -> io::Result<()> {
        writeln!(io::stdout().lock(), "{text}")
    }
}

impl Paint {
    /// No colours.
    #[cfg(test)]
    pub const NONE: Self = Self { on: false };

    /// Less important than what stands beside it.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// The name of a thing.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// In the colour of the phase.
    pub fn phase(self, phase: Phase, text: &str) -> String {
        match phase {
            Phase::Unspecified => text.to_owned(),
            Phase::Active => self.wrap("36", text),
            Phase::Succeeded => self.wrap("32", text),
            Phase::Cancelled | Phase::Rejected | Phase::Failed => self.wrap("31", text),
        }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Cells of a row, each escaped and padded to its width. A longer one pushes the others: nothing is cut, so that ids can be copied.
pub fn columns(cells: &[(&str, usize)]) -> String {
    let padded: Vec<_> = cells.iter().map(|(text, width)| format!("{:width$}", escape(text))).collect();
    padded.join("  ")
}

/// A value of an enum as people write it: `PHASE_ACTIVE` is "active".
pub fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

/// RFC 3339 in UTC, to the second.
pub fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| Timestamp { nanos: 0, ..time }.to_string())
}

/// The canonical JSON of a message (<https://protobuf.dev/programming-guides/json/>).
fn json(name: &str, message: &impl Message) -> io::Result<String> {
    let descriptor = POOL.get_message_by_name(name).ok_or_else(|| io::Error::other(format!("no message {name}")))?;
    let dynamic = DynamicMessage::decode(descriptor, &*message.encode_to_vec()).map_err(io::Error::other)?;
    serde_json::to_string(&dynamic).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{Order, WatchOrdersResponse, watch_orders_response::Event};

    use super::*;

    #[test]
    fn json_keeps_a_text_but_shows_a_terminal_nothing_to_obey() {
        let order = Order { status: "\u{202e}\u{9b}2J\u{1b}".into(), ..Default::default() };
        let json = json("comanda.v1.Order", &order).expect("JSON");
        assert_eq!(escape_json(&json), r#"{"status":"\u202e\u009b2J\u001b"}"#);
    }

    #[test]
    fn json_is_canonical() {
        let order = Order { number: 7, phase: Phase::Active.into(), ..Default::default() };
        let response = WatchOrdersResponse { event: Some(Event::Current(order)), resume_token: vec![1, 2].into() };
        assert_eq!(
            json("comanda.v1.WatchOrdersResponse", &response).expect("JSON"),
            r#"{"current":{"number":"7","phase":"PHASE_ACTIVE"},"resumeToken":"AQI="}"#
        );
    }

    #[test]
    fn columns_align_and_control_characters_do_not_reach_the_terminal() {
        assert_eq!(columns(&[("a", 3), ("béé", 4), ("c", 0)]), "a    béé   c");
        assert_eq!(columns(&[("a\x1b[2J", 3), ("\u{202e}x", 0)]), "a\\u{1b}[2J  \\u{202e}x");
    }

    #[test]
    fn colours_are_for_terminals() {
        assert_eq!(Paint::NONE.phase(Phase::Failed, "failed"), "failed");
        assert_eq!(Paint { on: true }.phase(Phase::Failed, "failed"), "\x1b[31mfailed\x1b[0m");
    }
}
