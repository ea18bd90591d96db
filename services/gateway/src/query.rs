//! Parameters of a query as fields of a request: `page_size=5`, `statuses=received&statuses=preparing`, `filter.workflow=delivery`.
//!
//! A name is a field's name, in the way of the protos or of JSON. Where the request has a `filter`, its fields need no prefix.
//! `status` and `phase` also stand for `statuses` and `phases`.

use comanda_client::Violation;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, map::Entry};
use url::form_urlencoded;

use crate::fields;

/// Names that are nicer in an address.
const ALIASES: [(&str, &str); 2] = [("status", "statuses"), ("phase", "phases")];

/// A field and the messages on the way to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The names of the messages around it, outermost first.
    pub around: Vec<String>,
    /// The field.
    pub field: FieldDescriptor,
}

/// The parameters of a query, decoded.
pub fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// The JSON of a request that has the fields of these parameters.
pub fn to_json(request: &MessageDescriptor, parameters: &[(String, String)]) -> Result<Value, Vec<Violation>> {
    let (mut object, mut violations) = (Map::new(), Vec::new());
    for (name, text) in parameters {
        let put = match parameter(request, name) {
            Some(parameter) => put(&mut object, &parameter, text),
            None => Err("there is no such parameter"),
        };
        if let Err(description) = put {
            let field = name.chars().take(80).collect();
            violations.push(Violation { field, description: description.to_owned() });
        }
    }
    if violations.is_empty() { Ok(Value::Object(object)) } else { Err(violations) }
}

/// What a name stands for.
pub fn parameter(request: &MessageDescriptor, name: &str) -> Option<Parameter> {
    let filter = || fields::inner(&request.get_field_by_name("filter")?);
    let in_filter = || Some(at(&filter()?, name)?.below("filter"));
    let alias = || ALIASES.iter().find(|(short, _)| *short == name).and_then(|(_, long)| parameter(request, long));
    at(request, name).or_else(in_filter).or_else(alias)
}

fn at(message: &MessageDescriptor, name: &str) -> Option<Parameter> {
    if let Some((first, rest)) = name.split_once('.') {
        let first = fields::named(message, first)?;
        return Some(at(&fields::inner(&first)?, rest)?.below(first.name()));
    }
    let field = fields::named(message, name)?;
    is_value(&field).then(|| Parameter { around: Vec::new(), field })
}

impl Parameter {
    fn below(mut self, name: &str) -> Self {
        self.around.insert(0, name.to_owned());
        self
    }
}

/// Whether a text can be its value.
pub fn is_value(field: &FieldDescriptor) -> bool {
    match field.kind() {
        _ if field.is_map() => false,
        Kind::Message(message) => {
            matches!(message.full_name(), "google.protobuf.Timestamp" | "google.protobuf.Duration")
        }
        _ => true,
    }
}

fn put(object: &mut Map<String, Value>, parameter: &Parameter, text: &str) -> Result<(), &'static str> {
    let mut object = object;
    for name in &parameter.around {
        let inner = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        object = inner.as_object_mut().ok_or("is there twice")?;
    }
    let value = value(&parameter.field, text)?;
    match object.entry(parameter.field.name().to_owned()) {
        Entry::Vacant(entry) if parameter.field.is_list() => _ = entry.insert(Value::Array(vec![value])),
        Entry::Vacant(entry) => _ = entry.insert(value),
        Entry::Occupied(mut entry) => entry.get_mut().as_array_mut().ok_or("is there twice")?.push(value),
    }
    Ok(())
}

/// JSON takes every kind as a text but this one.
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, &'static str> {
    match (field.kind(), text) {
        (Kind::Bool, "true") => Ok(Value::Bool(true)),
        (Kind::Bool, "false") => Ok(Value::Bool(false)),
        (Kind::Bool, _) => Err("must be true or false"),
        _ => Ok(Value::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    fn of(name: &str, query: &str) -> Result<Value, Vec<Violation>> {
        to_json(&Schema::new().message(&format!("comanda.v1.{name}")).expect(name), &pairs(query))
    }

    #[test]
    fn parameters_become_fields() {
        assert_eq!(
            of("ListOrdersRequest", "pageSize=5&status=received&statuses=on+the%20way&phase=PHASE_ACTIVE"),
            Ok(json!({"page_size": "5", "statuses": ["received", "on the way"], "phases": ["PHASE_ACTIVE"]}))
        );
        assert_eq!(of("ListAssignmentsRequest", "open_only=true"), Ok(json!({"open_only": true})));
    }

    #[test]
    fn fields_of_a_filter_need_no_prefix() {
        let expected = json!({"filter": {"workflow": "ride", "statuses": ["confirmed"]}});
        assert_eq!(of("WatchOrdersRequest", "workflow=ride&status=confirmed"), Ok(expected.clone()));
        assert_eq!(of("WatchOrdersRequest", "filter.workflow=ride&filter.statuses=confirmed"), Ok(expected));
        assert_eq!(
            of("ReportCouriersRequest", "courier_id=maria&bucket=BUCKET_DAY"),
            Ok(json!({"courier_id": "maria", "filter": {"bucket": "BUCKET_DAY"}}))
        );
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        let violations =
            of("ListOrdersRequest", "colour=red&page_size=1&page_size=2&customer_id=x").expect_err("wrong");
        let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["colour", "page_size"]);
        assert!(of("ListAssignmentsRequest", "openOnly=yes").is_err());
        assert!(of("CreateOrderRequest", "customer=x").is_err() && of("CreateOrderRequest", "labels=x").is_err());
    }
}
