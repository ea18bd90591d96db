//! What each kind of watch is: where it starts, what its responses are as events, and when it has ended.

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use comanda_proto::v1::Phase;
use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage, Value};

use super::event::Event;
use crate::{fields, json, problem::Problem};

const LAST_EVENT_ID: &str = "last-event-id";
/// The same as a parameter, for scripts, which cannot set the header.
const PARAMETER: &str = "last_event_id";
/// `start=now` leaves the snapshot out.
const START: &str = "start";

/// The kinds of watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One order, by versions. It ends with the order.
    Order,
    /// Many orders, by tokens.
    Orders,
    /// One courier. Nothing to resume: each response replaces the one before.
    Courier,
}

impl Kind {
    /// The kind of an rpc that streams.
    pub fn of(method: &MethodDescriptor) -> Self {
        match method.name() {
            "WatchOrder" => Self::Order,
            "WatchOrders" => Self::Orders,
            "WatchCourier" => Self::Courier,
            other => unreachable!("{other} has no route; a test reads the table"),
        }
    }

    /// Takes the parameters out of a query that say where the watch starts, and sets it in the request.
    pub fn start(self, headers: &HeaderMap, query: &mut Vec<(String, String)>) -> Result<Start, Problem> {
        let from_query = take(query, PARAMETER);
        let from_header = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()).map(str::to_owned);
        // The browser's own is newer: it comes with each further try.
        let last = from_header.or(from_query).filter(|id| !id.is_empty());
        match (self, last) {
            (Self::Courier, _) => Ok(Start::Beginning),
            (Self::Order, Some(id)) => version(&id).map(Start::After),
            (Self::Orders, Some(id)) => token(&id).map(Start::Token),
            (Self::Order, None) => Ok(Start::Beginning),
            (Self::Orders, None) => match take(query, START).as_deref() {
                None | Some("snapshot") => Ok(Start::Beginning),
                Some("now") => Ok(Start::Now),
                Some(_) => Err(Problem::invalid_field(START, "must be snapshot or now")),
            },
        }
        .inspect(|_| _ = take(query, START).filter(|_| self == Self::Orders))
    }
}

/// Where a watch starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what was before.
    Beginning,
    /// With what happens next.
    Now,
    /// After a version.
    After(i64),
    /// After the response with this token.
    Token(Bytes),
}

impl Start {
    /// Sets it in the request of a watch.
    pub fn set(&self, kind: Kind, request: &mut DynamicMessage) {
        match self {
            Self::Beginning if kind == Kind::Orders => set_start(request, "snapshot"),
            Self::Beginning => {}
            Self::Now => set_start(request, "now"),
            Self::After(version) => request.set_field_by_name("after_version", Value::I64(*version)),
            Self::Token(token) => request.set_field_by_name("resume_token", Value::Bytes(token.clone())),
        }
    }
}

fn set_start(request: &mut DynamicMessage, name: &str) {
    let field = request.descriptor().get_field_by_name(name);
    let empty = field.as_ref().and_then(fields::inner).map(DynamicMessage::new).expect("the protos have it");
    request.set_field_by_name(name, Value::Message(empty));
}

fn take(query: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = query.iter().position(|(found, _)| found == name)?;
    Some(query.remove(at).1)
}

fn version(id: &str) -> Result<i64, Problem> {
    let version = id.parse().ok().filter(|version| *version >= 0);
    version.ok_or_else(|| Problem::invalid_field(LAST_EVENT_ID, "must be the id of an event of this stream, a number"))
}

fn token(id: &str) -> Result<Bytes, Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(id.trim_end_matches('=')).map(Bytes::from);
    bytes.map_err(|_| Problem::invalid_field(LAST_EVENT_ID, "must be the id of an event of this stream"))
}

/// A response, looked at.
#[derive(Debug, PartialEq)]
pub struct Seen {
    /// As an event; `None` where this program does not know what it is.
    pub event: Option<Event>,
    /// Whether the order has ended with it.
    pub ends: bool,
    /// Whether it tells a browser that has seen this version, and the order's end, nothing.
    version: Option<i64>,
    is_current: bool,
}

impl Seen {
    /// Whether a browser that has seen this much has seen all that there will ever be.
    pub fn is_old_end(&self, start: &Start) -> bool {
        matches!(start, Start::After(seen) if self.ends && self.is_current && self.version == Some(*seen))
    }
}

/// Looks at a response. `None` where the bytes are no such message.
pub fn look(kind: Kind, method: &MethodDescriptor, response: Bytes) -> Option<Seen> {
    let message = DynamicMessage::decode(method.output(), response).ok()?;
    Some(match kind {
        Kind::Courier => courier(&message),
        Kind::Order | Kind::Orders => event_of(kind, &message),
    })
}

fn courier(message: &DynamicMessage) -> Seen {
    let id = fields::text(message, "revision").unwrap_or_default();
    let event = Event::new("assignments", json::write(message)).id(id);
    Seen { event: Some(event), ends: false, version: None, is_current: false }
}

/// The names under which events are sent; those of the fields.
const NAMES: [&str; 5] = ["transition", "current", "heartbeat", "courier", "snapshot_complete"];

fn event_of(kind: Kind, message: &DynamicMessage) -> Seen {
    let name = NAMES.into_iter().find(|name| message.has_field_by_name(name));
    let inner = name.and_then(|name| message.get_field_by_name(name)?.as_message().cloned());
    let (Some(name), Some(inner)) = (name, inner) else {
        return Seen { event: None, ends: false, version: None, is_current: false };
    };
    let version = inner.get_field_by_name("version").and_then(|version| version.as_i64());
    let phase = inner.get_field_by_name("phase").and_then(|phase| phase.as_enum_number());
    let mut event = Event::new(name, json::write(&inner));
    event.id = match kind {
        Kind::Orders => resume_token(message),
        _ => version.filter(|version| *version > 0).map(|version| version.to_string()),
    };
    let ends = kind == Kind::Order && phase.is_some_and(is_terminal);
    Seen { event: Some(event), ends, version, is_current: name == "current" }
}

fn resume_token(message: &DynamicMessage) -> Option<String> {
    let token = message.get_field_by_name("resume_token")?.as_bytes()?.clone();
    (!token.is_empty()).then(|| URL_SAFE_NO_PAD.encode(token))
}

fn is_terminal(phase: i32) -> bool {
    Phase::try_from(phase).is_ok_and(comanda_client::is_terminal)
}

/// The request of a watch as bytes.
pub fn encoded(start: &Start, kind: Kind, request: &DynamicMessage) -> Bytes {
    let mut request = request.clone();
    start.set(kind, &mut request);
    request.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use comanda_proto::v1::{
        Heartbeat, Order, OrderTransition, SnapshotComplete, WatchOrderResponse, WatchOrdersResponse,
        watch_order_response, watch_orders_response,
    };

    use super::*;
    use crate::{query, schema::Schema};

    fn start(kind: Kind, header: Option<&str>, query: &str) -> Result<(Start, usize), Problem> {
        let headers = header.map(|id| (HeaderName::from_static(LAST_EVENT_ID), id.parse().expect("a value")));
        let mut query = query::pairs(query);
        kind.start(&headers.into_iter().collect(), &mut query).map(|start| (start, query.len()))
    }

    #[test]
    fn a_watch_starts_where_the_browser_was() {
        assert_eq!(start(Kind::Order, None, "view=x").expect("valid"), (Start::Beginning, 1));
        assert_eq!(start(Kind::Order, Some("7"), "last_event_id=3").expect("valid"), (Start::After(7), 0));
        assert_eq!(start(Kind::Order, None, "last_event_id=3").expect("valid"), (Start::After(3), 0));
        assert_eq!(start(Kind::Orders, None, "start=now").expect("valid"), (Start::Now, 0));
        let token = Start::Token(Bytes::from_static(&[251, 255]));
        assert_eq!(start(Kind::Orders, Some("-_8"), "start=now").expect("valid"), (token, 0));
        assert_eq!(start(Kind::Orders, Some(""), "").expect("valid"), (Start::Beginning, 0));
        assert_eq!(start(Kind::Courier, Some("9"), "").expect("valid"), (Start::Beginning, 0));
        for (kind, id) in [(Kind::Order, "x"), (Kind::Order, "-1"), (Kind::Orders, "%%")] {
            assert!(start(kind, Some(id), "").is_err(), "{id}");
        }
        assert!(start(Kind::Orders, None, "start=later").is_err());
    }

    fn of_order(event: watch_order_response::Event) -> Seen {
        let method = Schema::new().method("WatchService/WatchOrder").expect("there");
        let bytes = WatchOrderResponse { event: Some(event) }.encode_to_vec();
        look(Kind::Order, &method, bytes.into()).expect("a response")
    }

    #[test]
    fn ids_of_an_order_are_versions_and_its_end_is_known() {
        let transition = |version, phase: Phase| {
            let transition = OrderTransition { version, phase: phase.into(), ..Default::default() };
            of_order(watch_order_response::Event::Transition(transition))
        };
        let moving = transition(2, Phase::Active);
        assert_eq!((moving.event.expect("known").id.as_deref(), moving.ends), (Some("2"), false));
        assert!(transition(4, Phase::Succeeded).ends);
        let first = of_order(watch_order_response::Event::Heartbeat(Heartbeat::default())).event.expect("known");
        assert_eq!((first.name, first.id), ("heartbeat", None));
    }

    #[test]
    fn who_has_seen_the_end_is_told_nothing_more() {
        let order = Order { version: 4, phase: Phase::Cancelled.into(), ..Default::default() };
        let seen = of_order(watch_order_response::Event::Current(order));
        assert!(seen.is_old_end(&Start::After(4)));
        assert!(!seen.is_old_end(&Start::After(3)) && !seen.is_old_end(&Start::Beginning));
    }

    #[test]
    fn ids_of_many_orders_are_tokens_and_a_snapshot_has_none() {
        let method = Schema::new().method("WatchService/WatchOrders").expect("there");
        let of = |event, token: &'static [u8]| {
            let response = WatchOrdersResponse { event: Some(event), resume_token: Bytes::from_static(token) };
            look(Kind::Orders, &method, response.encode_to_vec().into()).expect("a response")
        };
        let ended = Order { version: 4, phase: Phase::Cancelled.into(), ..Default::default() };
        let current = of(watch_orders_response::Event::Current(ended), &[]);
        assert!(!current.ends);
        assert_eq!(current.event.expect("known").id, None);
        let complete = of(watch_orders_response::Event::SnapshotComplete(SnapshotComplete {}), &[251, 255]);
        let complete = complete.event.expect("known");
        assert_eq!((complete.name, complete.id.as_deref()), ("snapshot_complete", Some("-_8")));
    }

    #[test]
    fn a_start_is_set_in_the_request() {
        let schema = Schema::new();
        let of = |start: Start, kind, name: &str| {
            let request = DynamicMessage::new(schema.message(&format!("comanda.v1.{name}")).expect(name));
            encoded(&start, kind, &request)
        };
        let orders =
            |start| comanda_proto::v1::WatchOrdersRequest::decode(of(start, Kind::Orders, "WatchOrdersRequest"));
        use comanda_proto::v1::watch_orders_request::Start as There;
        assert_eq!(orders(Start::Beginning).expect("one").start, Some(There::Snapshot(Default::default())));
        assert_eq!(orders(Start::Now).expect("one").start, Some(There::Now(Default::default())));
        let token = Bytes::from_static(b"t");
        assert_eq!(orders(Start::Token(token.clone())).expect("one").start, Some(There::ResumeToken(token)));
        let order = of(Start::After(7), Kind::Order, "WatchOrderRequest");
        assert_eq!(comanda_proto::v1::WatchOrderRequest::decode(order).expect("one").after_version, 7);
    }
}
