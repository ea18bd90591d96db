//! What is wrong with a JSON text that is no such message: every field by its path, not only the first.

use comanda_client::Violation;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use crate::fields;

/// How many fields are named; the others are counted.
const MOST: usize = 50;
/// A name may be anything that the caller wrote.
const MOST_NAME_CHARS: usize = 80;

/// Every field that is wrong. `error` is what reading the text said.
pub fn violations(message: &MessageDescriptor, text: &[u8], error: &serde_json::Error) -> Vec<Violation> {
    let mut found = Found::default();
    match serde_json::from_slice::<Value>(text) {
        Ok(value) => found.message(message, &value, ""),
        Err(error) => found.note("", format!("is not JSON: {error}")),
    }
    if found.violations.is_empty() {
        // Such as two fields of a oneof.
        found.note("", error.to_string());
    }
    found.finish()
}

#[derive(Default)]
struct Found {
    violations: Vec<Violation>,
    more: usize,
}

impl Found {
    fn note(&mut self, path: &str, description: impl Into<String>) {
        if self.violations.len() == MOST {
            self.more += 1;
            return;
        }
        let field = if path.is_empty() { "body".to_owned() } else { path.to_owned() };
        self.violations.push(Violation { field, description: description.into() });
    }

    fn finish(mut self) -> Vec<Violation> {
        if self.more > 0 {
            let description = format!("{} more fields are wrong", self.more);
            self.violations.push(Violation { field: "body".into(), description });
        }
        self.violations
    }

    fn message(&mut self, message: &MessageDescriptor, value: &Value, path: &str) {
        let Value::Object(object) = value else { return self.note(path, "must be an object") };
        for (name, value) in object {
            let at = joined(path, name);
            match fields::named(message, name) {
                Some(field) => self.field(message, &field, value, &at),
                None => self.note(&at, "there is no such field"),
            }
        }
    }

    fn field(&mut self, message: &MessageDescriptor, field: &FieldDescriptor, value: &Value, at: &str) {
        match value {
            Value::Null => {}
            _ if field.is_map() => self.map(message, field, value, at),
            Value::Array(items) if field.is_list() => {
                for (index, item) in items.iter().enumerate() {
                    self.one(message, field, item, json!([item]), &format!("{at}[{index}]"));
                }
            }
            _ if field.is_list() => self.note(at, "must be an array"),
            _ => self.one(message, field, value, value.clone(), at),
        }
    }

    fn map(&mut self, message: &MessageDescriptor, field: &FieldDescriptor, value: &Value, at: &str) {
        let Value::Object(entries) = value else { return self.note(at, "must be an object") };
        for (key, value) in entries {
            self.one(message, field, value, json!({ key: value }), &joined(at, key));
        }
    }

    /// One value of a field; `whole` is the field's value if it has this one only.
    fn one(&mut self, message: &MessageDescriptor, field: &FieldDescriptor, value: &Value, whole: Value, at: &str) {
        match field.kind() {
            Kind::Message(inner) if !field.is_map() && !is_well_known(&inner) => self.message(&inner, value, at),
            kind => {
                let alone = json!({ field.name(): whole });
                if DynamicMessage::deserialize(message.clone(), &alone).is_err() {
                    self.note(at, expected(field, &kind));
                }
            }
        }
    }
}

fn joined(path: &str, name: &str) -> String {
    let name: String = name.chars().take(MOST_NAME_CHARS).collect();
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Whether JSON writes the message in a way of its own.
fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

/// What a value must be.
fn expected(field: &FieldDescriptor, kind: &Kind) -> String {
    match kind {
        Kind::Message(message) if field.is_map() => {
            let value = message.map_entry_value_field();
            expected(&value, &value.kind())
        }
        Kind::Message(message) => match message.name() {
            "Timestamp" => "must be a time such as 2026-01-31T12:00:00Z".into(),
            "Duration" => "must be a duration in seconds such as 90.5s".into(),
            name => format!("must be a {name}"),
        },
        Kind::Enum(values) => {
            let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
            format!("must be one of {}", names.join(", "))
        }
        Kind::String => "must be a string".into(),
        Kind::Bytes => "must be base64".into(),
        Kind::Bool => "must be true or false".into(),
        Kind::Double | Kind::Float => "must be a number".into(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
            "must be a whole number of 32 bits".into()
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
            "must be a whole number of 64 bits, best as a string".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{json, schema::Schema};

    fn wrong(name: &str, text: &str) -> Vec<(String, String)> {
        let message = Schema::new().message(&format!("comanda.v1.{name}")).expect(name);
        let violations = json::read(&message, text.as_bytes()).expect_err("must be refused");
        violations.into_iter().map(|v| (v.field, v.description)).collect()
    }

    #[test]
    fn every_wrong_field_is_named_by_its_path() {
        let text = r#"{"requestId": 5, "items": [{"name": "a", "quantity": "x"}, {"prize": 1}], "labels": {"k": 7},
            "trip": {"pickupTime": "soon"}, "custmer": {}, "customer": []}"#;
        let mut fields: Vec<_> = wrong("CreateOrderRequest", text).into_iter().map(|(field, _)| field).collect();
        fields.sort();
        let expected =
            ["customer", "custmer", "items[0].quantity", "items[1].prize", "labels.k", "requestId", "trip.pickupTime"];
        let mut expected = expected.map(str::to_owned);
        expected.sort();
        assert_eq!(fields, expected);
    }

    #[test]
    fn it_is_told_what_a_value_must_be() {
        let text = r#"{"phases": ["PHASE_DONE"], "createdFromTime": "yesterday", "pageSize": 1.5, "statuses": "x"}"#;
        let told = wrong("ListOrdersRequest", text);
        let of = |name: &str| told.iter().find(|(field, _)| field == name).expect(name).1.clone();
        assert!(of("phases[0]").contains("PHASE_ACTIVE"));
        assert!(of("createdFromTime").contains("2026-01-31T12:00:00Z"));
        assert!(of("pageSize").contains("whole number"));
        assert_eq!(of("statuses"), "must be an array");
    }

    #[test]
    fn what_concerns_no_single_field_is_told_of_the_body() {
        for text in ["{", "[]", "7", r#"{"orderId": "a", "number": "1"}"#] {
            assert_eq!(wrong("GetOrderRequest", text)[0].0, "body", "{text}");
        }
    }

    #[test]
    fn very_many_are_counted() {
        let items: Vec<_> = (0..400).map(|_| r#"{"x": 1}"#).collect();
        let told = wrong("CreateOrderRequest", &format!(r#"{{"items": [{}]}}"#, items.join(",")));
        assert_eq!(told.len(), 51);
        assert!(told[50].1.contains("350 more"));
    }
}
