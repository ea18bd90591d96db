//! Messages as schemas of their canonical JSON.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments;

/// The messages and enums that something refers to.
pub struct Schemas {
    found: BTreeMap<String, Value>,
}

/// A reference by name.
pub fn reference_to(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

impl Schemas {
    /// None yet.
    pub fn new() -> Self {
        Self { found: BTreeMap::new() }
    }

    /// All that were referred to, and the one of errors.
    pub fn finish(mut self, problem: Value) -> Value {
        self.found.insert("Problem".into(), problem);
        json!(self.found)
    }

    /// A reference to a message.
    pub fn reference(&mut self, message: &MessageDescriptor) -> Value {
        let name = short(message.full_name());
        if !self.found.contains_key(&name) {
            // Noted first: a message may hold itself.
            self.found.insert(name.clone(), Value::Null);
            let schema = self.message(message);
            self.found.insert(name.clone(), schema);
        }
        reference_to(&name)
    }

    fn message(&mut self, message: &MessageDescriptor) -> Value {
        let mut properties = Map::new();
        for field in message.fields() {
            let mut schema = self.of(&field);
            schema["description"] = comments::of_field(&field).into();
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema =
            json!({"type": "object", "description": comments::of_message(message), "properties": properties});
        if message.name().ends_with("Request") {
            schema["additionalProperties"] = false.into();
        }
        schema
    }

    /// Of a field.
    pub fn of(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                json!({"type": "object", "additionalProperties": self.of_one(&entry.map_entry_value_field())})
            }
            _ if field.is_list() => json!({"type": "array", "items": self.of_one(field)}),
            _ => self.of_one(field),
        }
    }

    /// Of one value of a field.
    pub fn of_one(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Message(message) => well_known(&message).unwrap_or_else(|| self.reference(&message)),
            Kind::Enum(values) => self.values(&values),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
                json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"})
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
        }
    }

    fn values(&mut self, values: &EnumDescriptor) -> Value {
        let name = short(values.full_name());
        let lines = values.values().map(|value| format!("* `{}`: {}", value.name(), comments::of_value(&value)));
        let description = format!("{}\n\n{}", comments::of_enum(values), lines.collect::<Vec<_>>().join("\n"));
        let names: Vec<_> = values.values().map(|value| value.name().to_owned()).collect();
        self.found.insert(name.clone(), json!({"type": "string", "enum": names, "description": description}));
        reference_to(&name)
    }
}

/// Our own names without their package.
fn short(name: &str) -> String {
    name.strip_prefix("comanda.v1.").unwrap_or(name).to_owned()
}

/// Messages that JSON writes in ways of their own.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    match message.full_name() {
        "google.protobuf.Timestamp" => Some(json!({"type": "string", "format": "date-time"})),
        "google.protobuf.Duration" => Some(json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?s$"})),
        "google.protobuf.Any" => Some(json!({
            "type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}},
        })),
        _ => None,
    }
}
