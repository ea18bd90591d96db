//! Watches over HTTP, read as a browser reads them (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): what
//! breaks off within an event was never sent, and an id counts once its event is whole.

use std::mem;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use comanda_proto::{
    errors::reason,
    v1::{WatchOrderResponse, WatchOrdersResponse, watch_order_response as one, watch_orders_response as many},
};
use futures::{Stream, stream};
use reqwest::Response;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::http::{Problem, broken, read, wrong};

/// A response of a watch of one order, and the id of its event, where it has one: from there a browser goes on.
pub(super) type Shown = (WatchOrderResponse, Option<String>);

/// The watch of one order.
pub(super) fn of_order(response: Response) -> impl Stream<Item = Result<Shown, Status>> + Send {
    responses(response, Event::of_order)
}

/// The watch of many orders.
pub(super) fn of_orders(response: Response) -> impl Stream<Item = Result<WatchOrdersResponse, Status>> + Send {
    responses(response, Event::of_orders)
}

/// What a stream shows until its event `end`. Any other end is an error.
fn responses<T: Send>(
    response: Response,
    told: fn(&Event) -> Result<T, Status>,
) -> impl Stream<Item = Result<T, Status>> + Send {
    stream::try_unfold((response, Parser::default()), move |(mut response, mut parser)| async move {
        loop {
            match parser.next() {
                Some(event) if event.name == "end" => return Ok(None),
                Some(event) => return Ok(Some((told(&event)?, (response, parser)))),
                None => {}
            }
            match response.chunk().await.map_err(broken)? {
                Some(bytes) => parser.bytes.extend(bytes),
                None => return Err(wrong("a stream that ends without saying so".into())),
            }
        }
    })
}

/// An event that is whole.
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Event {
    fn of_order(&self) -> Result<Shown, Status> {
        use one::Event::{Courier, Current, Heartbeat, Transition};
        let data = self.data.as_bytes();
        let event = match self.name.as_str() {
            "transition" => Transition(read("OrderTransition", data)?),
            "current" => Current(read("Order", data)?),
            "heartbeat" => Heartbeat(read("Heartbeat", data)?),
            "courier" => Courier(read("CourierUpdate", data)?),
            _ => return Err(self.error()),
        };
        Ok((WatchOrderResponse { event: Some(event) }, self.id.clone()))
    }

    /// The id is the token.
    fn of_orders(&self) -> Result<WatchOrdersResponse, Status> {
        use many::Event::{Current, Heartbeat, SnapshotComplete, Transition};
        let data = self.data.as_bytes();
        let event = match self.name.as_str() {
            "transition" => Transition(read("OrderTransition", data)?),
            "current" => Current(read("Order", data)?),
            "heartbeat" => Heartbeat(read("Heartbeat", data)?),
            "snapshot_complete" => SnapshotComplete(read("SnapshotComplete", data)?),
            _ => return Err(self.error()),
        };
        let token = URL_SAFE_NO_PAD.decode(self.id.as_deref().unwrap_or_default());
        let token = token.map_err(|error| wrong(format!("an id that is no token: {error}")))?;
        Ok(WatchOrdersResponse { event: Some(event), resume_token: token.into() })
    }

    /// What ends a stream. A token that has expired ends it here as over gRPC, though the gateway would go on with a snapshot.
    fn error(&self) -> Status {
        match (self.name.as_str(), serde_json::from_str::<Problem>(&self.data)) {
            ("problem", Ok(problem)) => problem.into(),
            ("reset", _) => {
                let details = ErrorDetails::with_error_info(reason::TOKEN_EXPIRED, "comanda", []);
                Status::with_error_details(Code::OutOfRange, "a reset", details)
            }
            (name, _) => wrong(format!("an event {name:?} with {}", self.data)),
        }
    }
}

/// Bytes that have come in, and the event that they are in the midst of.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    event: Event,
}

impl Parser {
    /// The next event that is whole.
    fn next(&mut self) -> Option<Event> {
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            match String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']) {
                "" if self.event.data.is_empty() => self.event = Event::default(),
                "" => return Some(mem::take(&mut self.event)),
                line => self.event.add(line),
            }
        }
        None
    }
}

impl Event {
    fn add(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" => self.id = Some(value.to_owned()),
            "data" => self.data.push_str(value),
            // A wait for browsers, or a comment.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{OrderTransition, SnapshotComplete};

    use super::*;

    fn events(parts: &[&str]) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for part in parts {
            parser.bytes.extend(part.as_bytes());
            events.extend(std::iter::from_fn(|| parser.next()));
        }
        events
    }

    fn event(name: &str, id: Option<&str>, data: &str) -> Event {
        Event { name: name.into(), id: id.map(str::to_owned), data: data.into() }
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = "retry: 1500\nid: 7\nevent: transition\ndata: {\"version\": \"7\"}\n\n: silence\n\nevent: end\ndata: {}\n\n";
        let whole = [event("transition", Some("7"), r#"{"version": "7"}"#), event("end", None, "{}")];
        assert_eq!(events(&[text]), whole);
        let bytes: Vec<_> = (0..text.len()).map(|at| &text[at..=at]).collect();
        assert_eq!(events(&bytes), whole);
    }

    #[test]
    fn what_breaks_off_within_an_event_was_never_sent() {
        assert_eq!(events(&["id: 7\nevent: transition\ndata: {}\n"]), []);
    }

    #[test]
    fn an_event_tells_what_a_response_of_grpc_tells() {
        let told = event("transition", Some("7"), r#"{"orderId": "o", "version": "7"}"#).of_order();
        let transition = OrderTransition { order_id: "o".into(), version: 7, ..Default::default() };
        let response = WatchOrderResponse { event: Some(one::Event::Transition(transition)) };
        assert_eq!(told.expect("a response"), (response, Some("7".into())));
        let told = event("snapshot_complete", Some("-_8"), "{}").of_orders();
        let event = Some(many::Event::SnapshotComplete(SnapshotComplete {}));
        let response = WatchOrdersResponse { event, resume_token: vec![251, 255].into() };
        assert_eq!(told.expect("a response"), response);
    }

    #[test]
    fn a_problem_ends_a_stream_with_its_code_and_an_unknown_event_with_one_that_must_not_be() {
        let code = |name, data| event(name, None, data).of_order().expect_err("an error").code();
        let data = r#"{"status": 503, "code": "UNAVAILABLE", "reason": "SHUTTING_DOWN", "detail": "x"}"#;
        assert_eq!(code("problem", data), Code::Unavailable);
        assert_eq!(code("reset", "{}"), Code::OutOfRange);
        for (name, data) in [("problem", "{}"), ("surprise", "{}"), ("current", "{"), ("snapshot_complete", "{}")] {
            assert_eq!(code(name, data), Code::DataLoss, "{name}");
        }
        let strange = event("transition", Some("%"), "{}").of_orders().expect_err("no token");
        assert_eq!(strange.code(), Code::DataLoss);
    }
}
