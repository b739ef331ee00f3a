//! Bodies: small, and JSON if they say so, whatever the path they are sent to.

use std::error::Error;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::LengthLimitError;
use serde::de::IgnoredAny;

use super::answer::refusal;

/// Largest body that is read: the `100kb` of the reference server.
const MAX_BYTES: usize = 100 * 1024;
/// What is said of a larger one.
pub(super) const TOO_LARGE: &str = "request entity too large";

/// Refuses a body that is too large, or that calls itself JSON and is not. Other bodies are left unread.
pub(super) async fn check(request: Request, next: Next) -> Response {
    if !is_json(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let bytes = match to_bytes(body, MAX_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) if is_length_error(&error) => {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, TOO_LARGE);
        }
        Err(_) => return refusal(StatusCode::BAD_REQUEST, "request aborted"),
    };
    if !bytes.is_empty()
        && let Err(error) = serde_json::from_slice::<IgnoredAny>(&bytes)
    {
        return refusal(StatusCode::BAD_REQUEST, &format!("Malformed JSON: {error}"));
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn is_length_error(error: &axum::Error) -> bool {
    error.source().is_some_and(<dyn Error>::is::<LengthLimitError>)
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::json;

    use crate::http::testing::{Server, server};

    async fn post(server: &Server, content_type: &str, body: String) -> (u16, serde_json::Value) {
        let answer = server.request(Method::POST, "/nowhere", &[("content-type", content_type)], body).await;
        (answer.status, answer.json())
    }

    #[tokio::test]
    async fn malformed_json_is_the_clients_fault() {
        let server = server([]);
        for body in ["{", "{} {}", "nonsense", "{'a':1}"] {
            let (status, answer) = post(&server, "application/json; charset=utf-8", body.into()).await;
            assert_eq!(status, 400, "{body}");
            assert_eq!(answer["success"], false);
            assert!(answer["error"].as_str().unwrap().starts_with("Malformed JSON"), "{answer}");
        }
        let deep = "[".repeat(3000) + &"]".repeat(3000);
        assert_eq!(post(&server, "application/json", deep).await.0, 404);
        assert_eq!(post(&server, "application/json", "{}".into()).await.0, 404);
        assert_eq!(post(&server, "application/json", String::new()).await.0, 404);
        assert_eq!(post(&server, "text/plain", "{".into()).await.0, 404);
    }

    #[tokio::test]
    async fn a_body_may_have_100_kb() {
        let server = server([]);
        let body = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert_eq!(post(&server, "application/json", body(102_400)).await.0, 404);
        let (status, answer) = post(&server, "application/json", body(102_401)).await;
        assert_eq!(status, 413);
        assert_eq!(answer, json!({ "success": false, "error": "request entity too large" }));
    }
}
