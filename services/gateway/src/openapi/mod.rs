//! `openapi.json` describes the routes for people and for generators of clients (OpenAPI 3.1). It is made here, from the table and the
//! comments of the protos, so that it cannot differ from what is served.

mod comments;
mod operation;
mod parameters;
mod schemas;
mod seed;

use std::{collections::BTreeMap, env, fs};

use serde_json::{Map, Value, json};

use self::{operation::operation, schemas::Schemas};
use crate::{schema::Schema, table::TABLE};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[test]
fn the_openapi_document_says_what_is_served() {
    let made = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    if env::var_os("COMANDA_UPDATE").is_some() {
        fs::write(FILE, &made).expect("the file can be written");
    }
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    let how = "COMANDA_UPDATE=1 cargo test -p comanda-gateway openapi";
    assert!(kept == made, "services/gateway/openapi.json is out of date: {how}");
}

#[test]
fn every_route_and_every_message_is_described() {
    let document = document();
    for route in &TABLE {
        let operation = &document["paths"][operation::path(route)][route.method.as_str().to_lowercase()];
        assert!(operation["description"].as_str().is_some_and(|text| text.len() > 20), "{}", route.path);
    }
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("quoted");
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(schemas["Order"]["properties"]["number"]["description"].as_str().is_some());
}

fn document() -> Value {
    let schema = Schema::new();
    let (mut paths, mut schemas, mut ids) = (Map::new(), Schemas::new(), BTreeMap::new());
    for route in &TABLE {
        let method = schema.method(route.rpc).expect("a test reads the table");
        let item = paths.entry(operation::path(route)).or_insert_with(|| json!({}));
        let uses = ids.entry(route.rpc).and_modify(|uses| *uses += 1).or_insert(0);
        item[route.method.as_str().to_lowercase()] = operation(route, &method, *uses, &mut schemas);
    }
    paths.insert("/new_order".into(), json!({"post": seed::new_order()}));
    paths.insert("/orders".into(), json!({"get": seed::orders()}));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Comanda",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": INTRODUCTION,
        },
        "servers": [{"url": "/"}],
        "security": [],
        "tags": tags(&schema),
        "paths": paths,
        "components": {"schemas": schemas.finish(problem()), "responses": {"Problem": operation::problem()}},
    })
}

const INTRODUCTION: &str = "Takes orders and tells everyone where they are.\n\n\
    Bodies are the canonical JSON of the API's messages. Names are read in both spellings (`pageSize`, `page_size`). Numbers of 64 bits are \
    strings. Unknown fields and parameters are refused by name.\n\n\
    Errors are `application/problem+json` with `code` and `reason` of the API, every offending field in `violations`, and in `outcome` whether \
    the request was applied. Where repeating can help, Retry-After says when.";

fn tags(schema: &Schema) -> Vec<Value> {
    let mut tags = Vec::<Value>::new();
    for method in schema.methods() {
        let service = method.parent_service();
        if tags.last().is_none_or(|tag| tag["name"] != service.name()) {
            tags.push(json!({"name": service.name(), "description": comments::of_service(service)}));
        }
    }
    tags.push(json!({"name": "First routes", "description": "The routes of the first description of this system."}));
    tags
}

/// The schema of an error.
fn problem() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "type": "object",
        "description": "An error (RFC 9457).",
        "required": ["type", "title", "status", "detail", "code", "reason", "metadata", "violations", "outcome", "details"],
        "properties": {
            "type": text("Always about:blank: the reason says what it is."),
            "title": text("The status in words."),
            "status": {"type": "integer", "description": "The status."},
            "detail": text("A sentence for people."),
            "code": text("The code of gRPC, such as INVALID_ARGUMENT."),
            "reason": text("What programs may match on, such as ORDER_NOT_FOUND."),
            "metadata": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "What belongs to the reason.",
            },
            "violations": {
                "type": "array",
                "description": "Every field, parameter or header that is wrong.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {"field": text("Its path."), "description": text("What is wrong with it.")},
                },
            },
            "outcome": {
                "type": "string",
                "enum": ["not_applied", "unknown"],
                "description": "Whether the request was applied. After unknown repeat it with the same Idempotency-Key.",
            },
            "details": {"type": "array", "items": {"type": "object"}, "description": "The details of gRPC, as JSON."},
        },
    })
}
