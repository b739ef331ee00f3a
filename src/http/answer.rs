//! The shape of an answer: JSON in UTF-8; and the refusals that several paths share.

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::endpoint::{BEARER, NO_STORE};
use crate::auth::AuthError;
use crate::ids::schema;

/// When to ask again what nobody can say at present.
pub(super) const RETRY_AFTER_SECONDS: &str = "1";
/// What is said then.
pub(super) const NOT_NOW: &str = "Temporarily unavailable";

/// A refusal.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Refusal<'a> {
    #[schemars(schema_with = "schema::no")]
    success: bool,
    /// For the developer of the client.
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

/// Nobody who shows this token is answered; unless it cannot be judged at present, which is worth another attempt.
pub(super) fn token_refused(error: AuthError) -> Response {
    if matches!(error, AuthError::Unavailable) {
        return not_now();
    }
    let mut response = refusal(StatusCode::UNAUTHORIZED, &error.to_string());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(BEARER));
    response
}

/// The same request may be answered in a second.
pub(super) fn not_now() -> Response {
    let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, NOT_NOW);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    response
}

/// An answer that is for one user at one moment.
pub(super) fn unshared(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    response
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use crate::http::testing::server;

    /// Whoever shows it, nobody knows the key of this token, and nobody fetches keys.
    #[tokio::test(start_paused = true)]
    async fn a_token_is_refused_alike_wherever_it_is_shown() {
        let server = server([("JWT_JWKS_URL", "http://127.0.0.1:1/keys")]);
        let part = |json| URL_SAFE_NO_PAD.encode(json);
        let unknown = [part(r#"{"alg":"RS256","kid":"k"}"#), part(r#"{"sub":"alice"}"#), part("signature")].join(".");
        let headers = ["www-authenticate", "retry-after", "cache-control"];
        for path in ["/ice-servers", "/calls/7/status"] {
            let bad = server.get(&format!("{path}?token=x.y")).await;
            assert_eq!((bad.status, bad.json()["error"].as_str()), (401, Some("Invalid token")));
            assert_eq!(headers.map(|name| bad.header(name)), [Some("Bearer"), None, Some("no-store")], "{path}");
            let not_now = server.get(&format!("{path}?token={unknown}")).await;
            assert_eq!((not_now.status, not_now.json()["error"].as_str()), (503, Some("Temporarily unavailable")));
            assert_eq!(headers.map(|name| not_now.header(name)), [None, Some("1"), Some("no-store")], "{path}");
        }
    }
}
