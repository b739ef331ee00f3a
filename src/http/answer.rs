//! The shape of an answer: JSON in UTF-8.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Serialize)]
struct Refusal<'a> {
    success: bool,
    error: &'a str,
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
