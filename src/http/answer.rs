//! The shape of an answer: JSON in UTF-8.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// A refusal.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Refusal<'a> {
    #[schemars(schema_with = "no")]
    success: bool,
    /// For the developer of the client.
    error: &'a str,
}

/// `true`, as JSON Schema.
pub(super) fn yes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "const": true })
}

fn no(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "const": false })
}

/// `body` as JSON.
pub(super) fn json(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    // As the reference server spelt it; some clients compare.
    let content_type = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// `{success: false, error}`.
pub(super) fn refusal(status: StatusCode, error: &str) -> Response {
    json(status, Refusal { success: false, error })
}
