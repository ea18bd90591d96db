//! Messages as canonical JSON of proto3 (<https://protobuf.dev/programming-guides/json/>): defaults are written, numbers of 64 bits are
//! strings, unknown fields are refused.

use bytes::Bytes;
use comanda_client::Violation;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use crate::{check, schema::Schema};

/// A message from JSON; an empty text is an empty message. Fails with every field that is wrong.
pub fn read(message: &MessageDescriptor, text: &[u8]) -> Result<DynamicMessage, Vec<Violation>> {
    let text = if text.trim_ascii().is_empty() { b"{}" } else { text };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = DynamicMessage::deserialize(message.clone(), &mut reader);
    let whole = read.and_then(|message| reader.end().map(|()| message));
    whole.map_err(|error| check::violations(message, text, &error))
}

/// A message as JSON.
pub fn write(message: &DynamicMessage) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    let options = SerializeOptions::new().skip_default_fields(false);
    let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut text), &options);
    written.expect("messages of the API hold only what JSON can tell");
    text
}

/// The bytes of a message as JSON. `None` where they are no such message.
pub fn of_bytes(message: &MessageDescriptor, bytes: Bytes) -> Option<Vec<u8>> {
    DynamicMessage::decode(message.clone(), bytes).ok().as_ref().map(write)
}

/// The details of an error, each with its "@type". Types that are not known are left out.
pub fn details(bytes: &[u8], schema: &Schema) -> Vec<Value> {
    let Some(kind) = schema.message("google.rpc.Status") else { return Vec::new() };
    let Ok(status) = tonic_types::pb::Status::decode(bytes) else { return Vec::new() };
    let one = |detail: prost_types::Any| {
        let alone = tonic_types::pb::Status { details: vec![detail], ..Default::default() };
        let message = DynamicMessage::decode(kind.clone(), Bytes::from(alone.encode_to_vec())).ok()?;
        // An unknown type cannot be written.
        let value = serde_json::to_value(&message).ok()?;
        value.get("details")?.get(0).cloned()
    };
    status.details.into_iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str) -> MessageDescriptor {
        Schema::new().message(&format!("comanda.v1.{name}")).expect(name)
    }

    #[test]
    fn defaults_are_written_and_large_numbers_are_texts() {
        let transition = read(&message("OrderTransition"), br#"{"version": "9007199254740993"}"#).expect("valid");
        let value: Value = serde_json::from_slice(&write(&transition)).expect("JSON");
        assert_eq!(value["version"], "9007199254740993");
        assert_eq!(value["fromStatus"], "");
        assert_eq!(value["phase"], "PHASE_UNSPECIFIED");
        assert_eq!(value.get("transitionTime"), None);
    }

    #[test]
    fn numbers_of_64_bits_are_read_as_texts_and_as_numbers() {
        let request = message("GetOrderRequest");
        assert_eq!(read(&request, br#"{"number": 5}"#), read(&request, br#"{"number": "5"}"#));
        assert!(read(&request, b"").is_ok() && read(&request, br#"{"number": "5"} x"#).is_err());
    }

    #[test]
    fn a_place_is_read_to_the_last_bit() {
        let place = comanda_proto::LatLng { latitude: 43.358_703_087_257_71, longitude: -8.418_403_220_664_048 };
        let kind = Schema::new().message("comanda.v1.Place").expect("there");
        let text = format!(r#"{{"position": {{"latitude": {}, "longitude": {}}}}}"#, place.latitude, place.longitude);
        let read = read(&kind, text.as_bytes()).expect("valid").transcode_to::<comanda_proto::v1::Place>();
        assert_eq!(read.expect("a place").position, Some(place));
    }

    #[test]
    fn names_of_the_protos_are_read_too() {
        let request = message("ListOrdersRequest");
        assert_eq!(read(&request, br#"{"page_size": 5}"#), read(&request, br#"{"pageSize": 5}"#));
    }

    #[test]
    fn a_detail_of_an_unknown_type_is_left_out() {
        let known = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".into(),
            value: tonic_types::pb::ErrorInfo { reason: "X".into(), ..Default::default() }.encode_to_vec(),
        };
        let unknown = prost_types::Any { type_url: "type.googleapis.com/other.Thing".into(), value: vec![8, 1] };
        let status = tonic_types::pb::Status { details: vec![unknown, known], ..Default::default() };
        let details = details(&status.encode_to_vec(), &Schema::new());
        assert_eq!(details.len(), 1);
        assert_eq!(details[0]["reason"], "X");
    }
}
