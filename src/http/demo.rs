//! The demo page of a development server, with tokens for whoever asks. Never part of a production server.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::HttpState;
use super::answer::{Refusal, json, refusal};
use super::assets::{CSS, File, HTML, JAVASCRIPT};
use super::body::TOO_LARGE;
use super::endpoint::{Answer, Endpoint, NO_STORE, Operation};
use crate::ids::schema::Describe;
use crate::ids::{UserId, schema};

const PAGE: File = File { content_type: HTML, bytes: include_bytes!("demo/index.html") };

/// The files of the page, by name.
const FILES: [(&str, File); 14] = [
    ("/demo/style.css", File { content_type: CSS, bytes: include_bytes!("demo/style.css") }),
    ("/demo/api.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/api.js") }),
    ("/demo/app.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/app.js") }),
    ("/demo/call.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/call.js") }),
    ("/demo/log.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/log.js") }),
    ("/demo/media.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/media.js") }),
    ("/demo/names.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/names.js") }),
    ("/demo/peer.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/peer.js") }),
    ("/demo/phone.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/phone.js") }),
    ("/demo/signaling.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/signaling.js") }),
    ("/demo/stage.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/stage.js") }),
    ("/demo/stats.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/stats.js") }),
    ("/demo/tones.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/tones.js") }),
    ("/demo/words.js", File { content_type: JAVASCRIPT, bytes: include_bytes!("demo/words.js") }),
];

/// Scripts and styles from this server only. WebRTC itself is not subject to the policy.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; \
     media-src 'self' blob: mediastream:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The demo page.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// How long the page's tokens are good.
    pub token_lifetime: Duration,
}

/// Who wants a token.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TokenRequest {
    #[schemars(schema_with = "user_id")]
    user_id: String,
}

/// A token.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct TokenAnswer<'a> {
    #[schemars(schema_with = "schema::yes")]
    success: bool,
    #[schemars(schema_with = "user_id")]
    user_id: &'a str,
    /// A JWT.
    token: String,
    /// In so many seconds.
    expires_in: u64,
}

fn user_id(_: &mut SchemaGenerator) -> Schema {
    schema::id()
}

const INVALID_USER: &str = "Invalid user ID";
const NO_SECRET: &str = "This server has no JWT_SECRET: tokens come from the identity provider";

impl Demo {
    /// The page, its files and its tokens.
    pub(super) fn routes(self) -> Router<Arc<HttpState>> {
        let routes = Endpoint::routes([self.token_endpoint()]).route("/", get(async || page(PAGE)));
        FILES.into_iter().fold(routes, |routes, (path, file)| routes.route(path, get(async move || page(file))))
    }

    /// What the page gets its tokens from.
    pub(super) fn token_endpoint(self) -> Endpoint<Arc<HttpState>> {
        let token = move |State(state): State<Arc<HttpState>>, body: Bytes| async move { self.token(&state, &body) };
        let example =
            serde_json::json!({ "success": true, "userId": "alice", "token": "eyJ0eXAi…", "expiresIn": 604_800 });
        let operation = Operation::new(
            "demoToken",
            "A token for any name. On a development server only.",
            [
                Answer::json::<TokenAnswer<'_>>(StatusCode::OK, "A token.", example).not_stored(),
                Answer::json::<Refusal<'_>>(
                    StatusCode::BAD_REQUEST,
                    "The body has no id in it, or calls itself JSON and is not: `Malformed JSON: …`.",
                    serde_json::json!({ "success": false, "error": INVALID_USER }),
                ),
                Answer::refusal(StatusCode::PAYLOAD_TOO_LARGE, "More than 100 kB.", [TOO_LARGE]),
                Answer::refusal(StatusCode::FORBIDDEN, "This server makes no tokens.", [NO_SECRET]),
            ],
        );
        let body: Describe = SchemaGenerator::subschema_for::<TokenRequest>;
        Endpoint::post("/demo/token", token, Operation { body: Some(body), ..operation })
    }

    fn token(self, state: &HttpState, body: &[u8]) -> Response {
        let request: Option<TokenRequest> = serde_json::from_slice(body).ok();
        let Some(user) = request.and_then(|request| UserId::parse(&request.user_id)) else {
            return refusal(StatusCode::BAD_REQUEST, INVALID_USER);
        };
        let Some(token) = state.authenticator.mint(&user, self.token_lifetime) else {
            return refusal(StatusCode::FORBIDDEN, NO_SECRET);
        };
        let answer =
            TokenAnswer { success: true, user_id: user.as_str(), token, expires_in: self.token_lifetime.as_secs() };
        let mut response = json(StatusCode::OK, answer);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
        response
    }
}

fn page(file: File) -> Response {
    let mut response = file.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::json;

    use super::*;
    use crate::http::testing::{Answer, Server, server};

    const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

    async fn ask_token(server: &Server, body: &str) -> Answer {
        server.request(Method::POST, "/demo/token", &JSON, body.to_owned()).await
    }

    #[tokio::test]
    async fn development_has_the_page() {
        let server = server([]);
        for (path, content_type) in [("/", HTML), ("/demo/app.js", JAVASCRIPT), ("/demo/style.css", CSS)] {
            let answer = server.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("content-type"), Some(content_type));
            assert_eq!(answer.header("cache-control"), Some("no-cache"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe"));
        }
    }

    #[tokio::test]
    async fn the_page_gets_a_token_that_is_good() {
        let server = server([("JWT_EXPIRY", "30m")]);
        let answer = ask_token(&server, r#"{"userId":"alice"}"#).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        let answer = answer.json();
        assert_eq!((&answer["userId"], &answer["expiresIn"]), (&json!("alice"), &json!(1800)));
        let token = answer["token"].as_str();
        let identity = server.state.authenticator.authenticate(token, Duration::ZERO).await.unwrap();
        assert_eq!(identity.user.as_str(), "alice");
        for bad in ["", "{}", r#"{"userId":7}"#, r#"{"userId":" "}"#] {
            assert_eq!(ask_token(&server, bad).await.status, 400, "{bad}");
        }
        assert_eq!(server.get("/demo/token").await.status, 404);
    }

    #[tokio::test]
    async fn where_an_identity_provider_makes_the_tokens_the_page_gets_none() {
        let server = server([("JWT_JWKS_URL", "https://id.example.org/keys")]);
        let answer = ask_token(&server, r#"{"userId":"alice"}"#).await;
        let error = "This server has no JWT_SECRET: tokens come from the identity provider";
        assert_eq!((answer.status, answer.json()), (403, json!({ "success": false, "error": error })));
    }

    #[tokio::test]
    async fn production_has_no_demo() {
        let server = server([
            ("NODE_ENV", "production"),
            ("BACKPLANE", "embedded"),
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ]);
        for path in ["/", "/demo/app.js", "/demo/style.css"] {
            assert_eq!(server.get(path).await.status, 404, "{path}");
        }
        assert_eq!(ask_token(&server, r#"{"userId":"alice"}"#).await.status, 404);
    }
}
