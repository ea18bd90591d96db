//! One server-sent event as bytes (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::time::Duration;

use bytes::Bytes;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name, for which scripts listen.
    pub name: &'static str,
    /// From where a browser that was cut off goes on: `None` leaves what it has, an empty one makes it forget.
    pub id: Option<String>,
    /// JSON, which has no line breaks.
    pub data: Vec<u8>,
    /// How long a browser is to wait before it connects again.
    pub retry: Option<Duration>,
}

impl Event {
    /// An event with a name and data.
    pub fn new(name: &'static str, data: impl Into<Vec<u8>>) -> Self {
        Self { name, id: None, data: data.into(), retry: None }
    }

    /// With an id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// With a wait.
    #[must_use]
    pub fn retry(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> Bytes {
        let mut text = Vec::with_capacity(self.data.len() + 64);
        if let Some(wait) = self.retry {
            text.extend_from_slice(format!("retry: {}\n", wait.as_millis()).as_bytes());
        }
        if let Some(id) = &self.id {
            text.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        text.extend_from_slice(format!("event: {}\ndata: ", self.name).as_bytes());
        text.extend_from_slice(&self.data);
        text.extend_from_slice(b"\n\n");
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_lines_and_an_empty_one() {
        let event = Event::new("transition", "{}").id("7").retry(Duration::from_millis(1500));
        assert_eq!(&event.to_bytes()[..], b"retry: 1500\nid: 7\nevent: transition\ndata: {}\n\n");
        assert_eq!(&Event::new("reset", "{}").id("").to_bytes()[..], b"id: \nevent: reset\ndata: {}\n\n");
        assert_eq!(&Event::new("end", "{}").to_bytes()[..], b"event: end\ndata: {}\n\n");
    }
}
