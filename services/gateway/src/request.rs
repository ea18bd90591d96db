//! The request of an rpc, made from the parts of a request of HTTP.

use axum::http::HeaderMap;
use comanda_client::{Code, Violation};
use comanda_proto::errors::reason;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use uuid::Uuid;

use crate::{
    fields,
    headers::{self, IfMatch},
    json,
    problem::Problem,
    query,
    table::{Body, Route},
};

/// The parts of a request.
pub struct Parts<'a> {
    /// Names and values of the parts of the path.
    pub path: &'a [(String, String)],
    /// The query, as it came.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
}

/// The request of the route's rpc.
pub fn build(route: &Route, message: &MessageDescriptor, parts: &Parts<'_>) -> Result<DynamicMessage, Problem> {
    let mut request = match route.body {
        Body::None => from_query(message, parts.query)?,
        Body::Whole => {
            no_query(parts.query).and_then(|()| json::read(message, parts.body).map_err(Problem::invalid))?
        }
        Body::Field(name) => {
            no_query(parts.query)?;
            of_field(message, name, parts.body)?
        }
    };
    for (name, text) in parts.path {
        fill_in(&mut request, name, text, "the path")?;
    }
    repeatable(&mut request, route, parts.headers)?;
    conditional(&mut request, parts.headers)?;
    Ok(request)
}

fn from_query(message: &MessageDescriptor, text: &str) -> Result<DynamicMessage, Problem> {
    let value = query::to_json(message, &query::pairs(text)).map_err(Problem::invalid)?;
    json::read(message, value.to_string().as_bytes()).map_err(Problem::invalid)
}

/// Where there is a body, a parameter would be overlooked.
fn no_query(text: &str) -> Result<(), Problem> {
    let violation = |(name, _)| Violation { field: name, description: "this route takes no parameters".into() };
    let violations: Vec<_> = query::pairs(text).into_iter().map(violation).collect();
    if violations.is_empty() { Ok(()) } else { Err(Problem::invalid(violations)) }
}

fn of_field(message: &MessageDescriptor, name: &str, body: &[u8]) -> Result<DynamicMessage, Problem> {
    let field = message.get_field_by_name(name);
    let inner = field.as_ref().and_then(fields::inner).expect("a test reads the table");
    let value = json::read(&inner, body).map_err(Problem::invalid)?;
    let mut request = DynamicMessage::new(message.clone());
    request.set_field_by_name(name, Value::Message(value));
    Ok(request)
}

/// Sets a field that something else than the body gives. The body may say the same.
fn fill_in(request: &mut DynamicMessage, name: &str, text: &str, by: &str) -> Result<(), Problem> {
    let given = parsed(&request.descriptor(), name, text)?;
    match fields::value(request, name) {
        Some(found) if !found.is_default(&kind(&request.descriptor(), name)) && *found != given => {
            Err(Problem::invalid_field(name, format!("is not the same in {by} and in the body")))
        }
        _ => {
            fields::set(request, name, given);
            Ok(())
        }
    }
}

fn kind(message: &MessageDescriptor, name: &str) -> prost_reflect::Kind {
    fields::of_path(message, name).expect("a test reads the table").kind()
}

/// A text as the value of a field.
fn parsed(message: &MessageDescriptor, name: &str, text: &str) -> Result<Value, Problem> {
    let alone = query::to_json(message, &[(name.to_owned(), text.to_owned())]).map_err(Problem::invalid)?;
    let alone = json::read(message, alone.to_string().as_bytes()).map_err(Problem::invalid)?;
    Ok(fields::value(&alone, name).expect("it was just set").into_owned())
}

/// Idempotency-Key becomes the request id, or those of the rows of a batch.
fn repeatable(request: &mut DynamicMessage, route: &Route, headers: &HeaderMap) -> Result<(), Problem> {
    let name = headers::IDEMPOTENCY_KEY;
    let scope = format!("{} {}", route.method, route.path);
    let id = headers::request_id(headers, &scope).map_err(|text| Problem::invalid_field(name, text))?;
    let Some(id) = id else { return Ok(()) };
    if request.descriptor().get_field_by_name("request_id").is_some() {
        return fill_in(request, "request_id", &id.to_string(), name);
    }
    if let Some(Value::List(rows)) = request.get_field_by_name_mut("requests") {
        rows.iter_mut().enumerate().filter_map(|(index, row)| Some((index, row.as_message_mut()?))).for_each(
            |(index, row)| {
                if fields::text(row, "request_id").is_none_or(|id| id.is_empty()) {
                    let row_id = Uuid::new_v5(&id, format!("row {index}").as_bytes());
                    row.set_field_by_name("request_id", Value::String(row_id.to_string()));
                }
            },
        );
    }
    // Every other rpc has the same effect when it is repeated.
    Ok(())
}

/// If-Match becomes the expected version.
fn conditional(request: &mut DynamicMessage, headers: &HeaderMap) -> Result<(), Problem> {
    let wanted = headers::if_match(headers).map_err(|text| Problem::invalid_field("if-match", text))?;
    let version = match wanted {
        IfMatch::Any => return Ok(()),
        IfMatch::Version(version) => version,
        IfMatch::Never => return Err(never_matches()),
    };
    if request.descriptor().get_field_by_name("expected_version").is_none() {
        return Err(Problem::invalid_field("if-match", "this route takes no version"));
    }
    fill_in(request, "expected_version", &version.to_string(), "if-match")
}

fn never_matches() -> Problem {
    let (status, code) = (axum::http::StatusCode::PRECONDITION_FAILED, Code::Aborted);
    Problem::new(status, code, reason::VERSION_MISMATCH, "no version has this entity tag")
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::{schema::Schema, table::TABLE};

    fn built(
        path: &str,
        method: &str,
        of_path: &[(&str, &str)],
        query: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<serde_json::Value, Problem> {
        let route = TABLE.iter().find(|route| route.path == path && route.method == method).expect("a route");
        let input = Schema::new().method(route.rpc).expect("an rpc").input();
        let of_path: Vec<_> = of_path.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let headers = headers
            .iter()
            .map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().expect("a value")));
        let headers = HeaderMap::from_iter(headers);
        let parts = Parts { path: &of_path, query, headers: &headers, body: body.as_bytes() };
        build(route, &input, &parts).map(|message| serde_json::to_value(&message).expect("JSON"))
    }

    const ID: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

    #[test]
    fn path_query_and_body_make_one_request() {
        let list = built("/v1/orders/{order_id}/mails", "GET", &[("order_id", "a")], "page_size=5", &[], "");
        assert_eq!(list.expect("valid"), serde_json::json!({"orderId": "a", "pageSize": 5}));
        let by_number = built("/v1/orders/by-number/{number}", "GET", &[("number", "7")], "", &[], "");
        assert_eq!(by_number.expect("valid"), serde_json::json!({"number": "7"}));
        let courier = [("courier.courier_id", "maria")];
        let put = built("/v1/couriers/{courier.courier_id}", "PUT", &courier, "", &[], r#"{"name": "M"}"#);
        assert_eq!(put.expect("valid"), serde_json::json!({"courier": {"courierId": "maria", "name": "M"}}));
    }

    #[test]
    fn the_body_may_repeat_the_path_but_not_contradict_it() {
        let cancel = |body: &str| built("/v1/orders/{order_id}/cancel", "POST", &[("order_id", "a")], "", &[], body);
        assert!(cancel(r#"{"orderId": "a"}"#).is_ok());
        let refused = cancel(r#"{"orderId": "b"}"#).expect_err("a contradiction");
        assert!(refused.detail().contains("order_id: is not the same in the path and in the body"));
    }

    #[test]
    fn parameters_beside_a_body_and_wrong_parts_of_a_path_are_refused() {
        let refused = built("/v1/orders", "POST", &[], "workflow=ride", &[], "{}").expect_err("a parameter");
        assert!(refused.detail().contains("workflow"));
        let refused = built("/v1/orders/by-number/{number}", "GET", &[("number", "x")], "", &[], "");
        assert!(refused.expect_err("no number").detail().contains("number"));
    }

    #[test]
    fn a_key_becomes_the_request_id_of_the_request_or_of_its_rows() {
        let create = |body: &str| built("/v1/orders", "POST", &[], "", &[("idempotency-key", ID)], body);
        assert_eq!(create("{}").expect("valid")["requestId"], ID);
        assert!(create(&format!(r#"{{"requestId": "{ID}"}}"#)).is_ok());
        let other = create(r#"{"requestId": "018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60"}"#).expect_err("another id");
        assert_eq!(other.status, StatusCode::BAD_REQUEST);
        let rows = |body: &str| built("/v1/orders/batch", "POST", &[], "", &[("idempotency-key", "k")], body);
        let one = rows(r#"{"requests": [{}, {}, {"requestId": "mine"}]}"#).expect("valid");
        assert_eq!(one, rows(r#"{"requests": [{}, {}, {"requestId": "mine"}]}"#).expect("valid"));
        assert_ne!(one["requests"][0]["requestId"], one["requests"][1]["requestId"]);
        assert_eq!(one["requests"][2]["requestId"], "mine");
    }

    #[test]
    fn an_if_match_becomes_the_expected_version() {
        let cancel = |tag: &str, body: &str| {
            built("/v1/orders/{order_id}/cancel", "POST", &[("order_id", "a")], "", &[("if-match", tag)], body)
        };
        assert_eq!(cancel("\"7\"", "").expect("valid")["expectedVersion"], "7");
        assert!(cancel("\"7\"", r#"{"expectedVersion": 8}"#).is_err());
        assert_eq!(cancel("\"x\"", "").expect_err("no version").status, StatusCode::PRECONDITION_FAILED);
        let create = built("/v1/orders", "POST", &[], "", &[("if-match", "\"7\"")], "{}");
        assert_eq!(create.expect_err("no versions").status, StatusCode::BAD_REQUEST);
    }
}
