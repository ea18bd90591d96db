//! `proto/asyncapi.yaml` describes the topics for readers outside (AsyncAPI 3.0). It is made here, from the topics and the protos, so that
//! it cannot differ from them.

use std::{env, fmt::Write, fs};

use prost::Message;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::{
    events::{AssignmentEvent, CourierLocation, OrderPlaced, OrderTransition},
    topics::{self, Event},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/asyncapi.yaml");
/// The proto files of the events, by name.
const PROTOS: [(&str, &str); 2] = [
    ("order_events.proto", include_str!("../comanda/events/v1/order_events.proto")),
    ("dispatch_events.proto", include_str!("../comanda/events/v1/dispatch_events.proto")),
];

#[test]
fn the_asyncapi_document_says_what_is_published() {
    let made = document();
    if env::var_os("COMANDA_UPDATE").is_some() {
        fs::write(FILE, &made).expect("the file can be written");
    }
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    assert!(kept == made, "proto/asyncapi.yaml is out of date: COMANDA_UPDATE=1 cargo test -p comanda-proto asyncapi");
}

/// A watch passes the bytes of a record on as the message of the API.
#[test]
fn a_transition_has_the_same_fields_on_kafka_and_in_the_api_except_the_tenant() {
    let (published, shown) = (fields("comanda.events.v1"), fields("comanda.v1"));
    let without_tenant: Vec<_> = published.iter().filter(|field| field.name() != "tenant").cloned().collect();
    assert_eq!(without_tenant, shown);
    assert_eq!(published.len(), shown.len() + 1);
}

/// The fields of the message OrderTransition in a package.
fn fields(package: &str) -> Vec<FieldDescriptorProto> {
    message(package, "OrderTransition").field
}

fn message(package: &str, name: &str) -> DescriptorProto {
    let files = FileDescriptorSet::decode(crate::DESCRIPTORS).expect("descriptors").file;
    let mut messages = files.into_iter().filter(|file| file.package() == package).flat_map(|file| file.message_type);
    messages.find(|message| message.name() == name).expect("there is such a message")
}

fn document() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "# Made from proto/src/topics.rs and the protos by a test; do not edit:
# COMANDA_UPDATE=1 cargo test -p comanda-proto asyncapi
asyncapi: 3.0.0
info:
  title: Comanda's events
  version: {version}
  description: >-
    Everything that happens to orders, as records of Kafka: CloudEvents 1.0 in binary mode, with payloads in protobuf. Delivery is at least
    once and in order for each key; a reader drops what it has seen. Addresses begin with the prefix of the installation, \"{}\" unless a
    setting says otherwise.
channels:
",
        topics::DEFAULT_PREFIX
    );
    channel::<OrderPlaced>(&mut text, "orders", "OrderPlaced", "one record for each order that was accepted");
    channel::<OrderTransition>(
        &mut text,
        "orderTransitions",
        "OrderTransition",
        "one record for each step of each order",
    );
    channel::<AssignmentEvent>(
        &mut text,
        "assignments",
        "AssignmentEvent",
        "one record for each step in an order's search for a courier, or of its job",
    );
    channel::<CourierLocation>(
        &mut text,
        "courierLocations",
        "CourierLocation",
        "where couriers are, at most one record a second for each, kept for an hour",
    );
    text.push_str("operations:\n");
    operation(&mut text, "publishOrders", "orders", "OrderPlaced", OrderPlaced::SOURCE);
    operation(&mut text, "publishOrderTransitions", "orderTransitions", "OrderTransition", OrderTransition::SOURCE);
    operation(&mut text, "publishAssignments", "assignments", "AssignmentEvent", AssignmentEvent::SOURCE);
    operation(&mut text, "publishCourierLocations", "courierLocations", "CourierLocation", CourierLocation::SOURCE);
    text.push_str("components:\n  messages:\n");
    component::<OrderPlaced>(&mut text, "OrderPlaced", "order_id");
    component::<OrderTransition>(&mut text, "OrderTransition", "order_id");
    component::<AssignmentEvent>(&mut text, "AssignmentEvent", "order_id");
    component::<CourierLocation>(&mut text, "CourierLocation", "courier_id");
    text
}

fn channel<E: Event>(text: &mut String, id: &str, message: &str, what: &str) {
    let (prefix, topic, partitions) = (topics::DEFAULT_PREFIX, E::TOPIC, topics::DEFAULT_PARTITIONS);
    write!(
        text,
        "  {id}:
    address: {prefix}{topic}
    description: {what}
    messages:
      {message}:
        $ref: '#/components/messages/{message}'
    bindings:
      kafka:
        topic: {prefix}{topic}
        partitions: {partitions}
        bindingVersion: 0.5.0
"
    )
    .expect("a string takes all");
}

fn operation(text: &mut String, id: &str, channel: &str, message: &str, source: &str) {
    write!(
        text,
        "  {id}:
    action: send
    summary: by {source}
    channel:
      $ref: '#/channels/{channel}'
    messages:
      - $ref: '#/channels/{channel}/messages/{message}'
"
    )
    .expect("a string takes all");
}

fn component<E: Event>(text: &mut String, name: &str, key: &str) {
    let event = E::default();
    let headers = topics::headers(&event);
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    write!(
        text,
        "    {name}:
      name: {}
      contentType: application/protobuf
      headers:
        type: object
        required: [{}]
        properties:
",
        E::TYPE,
        names.join(", ")
    )
    .expect("a string takes all");
    for (header, value) in &headers {
        header_schema(text, header, value, key);
    }
    if topics::may_be_traced(E::TOPIC) {
        let (name, what) = (
            topics::TRACEPARENT,
            "the trace of the call that placed the order, if that was traced (W3C Trace Context)",
        );
        write!(text, "          {name}:\n            type: string\n            description: {what}\n")
            .expect("a string takes all");
    }
    let (file, source) = source_of(name);
    let format = if key == "order_id" { "\n            format: uuid" } else { "" };
    write!(
        text,
        "      bindings:
        kafka:
          key:
            type: string{format}
            description: {key}
          bindingVersion: 0.5.0
      payload:
        schemaFormat: application/vnd.google.protobuf;version=3
        schema: |
          // comanda/events/v1/{file}
{source}"
    )
    .expect("a string takes all");
}

/// A header that is the same on every record has a constant value.
fn header_schema(text: &mut String, header: &str, value: &str, key: &str) {
    let description = match header {
        "ce_id" => "identifies the event, also where its record is repeated",
        "ce_time" if key == "courier_id" => "when the courier was there, by the clock of its device (RFC 3339)",
        "ce_time" => "when it happened, by the database's clock (RFC 3339)",
        "ce_subject" => key,
        "ce_tenant" => "whose it is",
        _ => {
            write!(text, "          {header}:\n            type: string\n            const: '{value}'\n")
                .expect("a string takes all");
            return;
        }
    };
    write!(text, "          {header}:\n            type: string\n            description: {description}\n")
        .expect("a string takes all");
}

/// The file of a message, and its lines there, with those of the messages and enums that only it uses, indented.
fn source_of(message: &str) -> (&'static str, String) {
    let begin = format!("message {message} {{");
    let (file, proto) = PROTOS.into_iter().find(|(_, proto)| proto.contains(&begin)).expect("the message is in a file");
    let parts: &[&str] = match message {
        "AssignmentEvent" => &["enum AssignmentEventType {", &begin, "message Step {"],
        _ => &[&begin],
    };
    (file, parts.iter().map(|part| lines_of(proto, part)).collect())
}

fn lines_of(proto: &str, begin: &str) -> String {
    let start = proto.find(begin).expect("it is in the file");
    let end = start + proto[start..].find("\n}\n").expect("it ends") + 2;
    proto[start..end].lines().map(|line| format!("          {line}\n")).collect()
}
