//! The routes of the first description of this system.

use serde_json::{Value, json};

use super::{operation, parameters};

/// `POST /new_order`.
pub fn new_order() -> Value {
    let message = json!({
        "type": "object",
        "required": ["message", "order_id", "number"],
        "properties": {
            "message": {"const": "Orden enviada"}, "order_id": {"type": "string"}, "number": {"type": "integer"},
        },
    });
    json!({
        "operationId": "new_order",
        "tags": ["First routes"],
        "summary": "Sends an order for one product.",
        "description": "Other fields are overlooked. The currency and the customer are settings of the server.",
        "parameters": [parameters::idempotency_key()],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            "type": "object",
            "required": ["name", "price"],
            "properties": {
                "name": {"type": ["string", "number"], "minLength": 1},
                "price": {
                    "type": ["number", "string"], "exclusiveMinimum": 0, "minLength": 1,
                    "description": "With as many decimals as the currency has.",
                },
            },
        }}}},
        "responses": {
            "200": {"description": "The order is stored.", "content": {"application/json": {"schema": message}}},
            "400": {"description": "There is no name or no price, or one of them is wrong.", "content": {
                "application/json": {"schema": {"type": "object", "properties": {"message": {"const": ".body vacio"}}}},
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            }},
            "4XX": operation::failure(),
            "5XX": operation::failure(),
        },
    })
}

/// `GET /orders`.
pub fn orders() -> Value {
    let text = json!({"type": "string"});
    let row = json!({
        "type": "object",
        "properties": {"id": {"type": "integer"}, "product_name": text, "price": text, "status": text},
    });
    let parameter = |name: &str, schema: Value, description: &str| json!({"name": name, "in": "query", "schema": schema, "description": description});
    json!({
        "operationId": "orders",
        "tags": ["First routes"],
        "summary": "Lists orders, newest first.",
        "description": "All of them, sent page by page; or with page_size one page, and a Link to the next.",
        "parameters": [
            parameter("page_size", json!({"type": "integer", "format": "int32", "minimum": 1}), "How many rows; more than 500 means 500."),
            parameter("page_token", text.clone(), "From the Link of the page before."),
        ],
        "responses": {
            "200": {
                "description": "The rows.",
                "headers": {"Link": operation::header(text.clone(), "With page_size: the next page, if there is one.")},
                "content": {"application/json": {"schema": {"type": "array", "items": row}}},
            },
            "4XX": operation::failure(),
            "5XX": operation::failure(),
        },
    })
}
