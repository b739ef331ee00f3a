//! `/ice-servers`: STUN for everybody, TURN credentials for whom a token names.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::HttpState;
use super::answer::{RETRY_AFTER_SECONDS, json, refusal, token_refused, unshared};
use super::endpoint::{Access, Answer, Operation, Parameter};
use super::request::{bearer, parameter};
use crate::auth::{AuthError, KEY_PATIENCE};
use crate::ids::{is_valid_id, schema};
use crate::turn::{ANONYMOUS, IceServer};

/// What `RTCPeerConnection` takes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "IceServers", deny_unknown_fields)]
struct ServerList {
    #[schemars(schema_with = "schema::yes")]
    success: bool,
    /// STUN for everybody, TURN for whom a token names.
    ice_servers: Vec<IceServer>,
    /// Seconds for which the credentials are good.
    ttl: u64,
}

const INVALID_USER: &str = "Invalid user ID";

/// What is published of [`ice_servers`].
pub(super) fn ice_servers_described() -> Operation {
    let stun = serde_json::json!({ "urls": "stun:stun.l.google.com:19302" });
    let turn =
        serde_json::json!({ "urls": "turn:turn.example.org:3478", "username": "1769947200:alice", "credential": "…" });
    let example = serde_json::json!({ "success": true, "iceServers": [stun, turn], "ttl": 86_400 });
    // The first is that of no token, which is none here.
    let [_, token_errors @ ..] = AuthError::REFUSALS;
    let operation = Operation::new(
        "iceServers",
        "STUN for everybody, TURN with time-limited credentials for whom a token names.",
        [
            Answer::json::<ServerList>(StatusCode::OK, "What the sender may use.", example).not_stored(),
            Answer::refusal(
                StatusCode::BAD_REQUEST,
                "Only with `ICE_SERVERS_PUBLIC=true`: `userId` is no id.",
                [INVALID_USER],
            )
            .not_stored(),
            Answer::refusal(
                StatusCode::UNAUTHORIZED,
                "The token is wrong or too old.",
                token_errors.map(|error| error.to_string()),
            )
            .not_stored()
            .wants_token(),
            Answer::refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "The key that the token is signed with cannot be fetched at present.",
                [AuthError::Unavailable.to_string()],
            )
            .not_stored()
            .again_after(RETRY_AFTER_SECONDS),
        ],
    );
    let query = |name, about, schema| Parameter { name, in_path: false, about, schema };
    let parameters = vec![
        query(
            "region",
            "One of `TURN_REGIONS`, in any case; another one is none.",
            schemars::json_schema!({ "type": "string" }),
        ),
        query(
            "userId",
            "Only with `ICE_SERVERS_PUBLIC=true`: for whom the credentials are, where no token says it.",
            schema::id(),
        ),
    ];
    Operation { access: Access::MayHaveToken, parameters, ..operation }
}

/// The servers the sender may use. Who sends no token gets STUN only, unless the operator made TURN public; then the
/// parameter `userId` names the user where no token does, as the reference server had it. The parameter `region` says where the TURN servers are
/// to be.
pub(super) async fn ice_servers(
    State(state): State<Arc<HttpState>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.as_deref().unwrap_or_default();
    let region = state.ice_servers.region(parameter(query, "region").as_deref());
    let ice_servers = match requester(&state, &headers, query).await {
        Ok(Some(user)) => state.ice_servers.for_user(&user, region),
        Ok(None) => state.ice_servers.stun_only(),
        Err(refused) => return unshared(refused.into_response()),
    };
    let ttl = state.ice_servers.ttl().as_secs();
    unshared(json(StatusCode::OK, ServerList { success: true, ice_servers, ttl }))
}

/// Why a request got no servers at all.
enum Refused {
    Token(AuthError),
    UserId,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Token(error) => token_refused(error),
            Self::UserId => refusal(StatusCode::BAD_REQUEST, INVALID_USER),
        }
    }
}

/// The user whom TURN credentials may be made for, if any.
async fn requester(state: &HttpState, headers: &HeaderMap, query: &str) -> Result<Option<String>, Refused> {
    let token = bearer(headers).or_else(|| parameter(query, "token"));
    let named = match token {
        Some(token) => state.authenticator.authenticate(Some(&token), KEY_PATIENCE).await.map(Some),
        None => Ok(None),
    };
    match named {
        Ok(Some(identity)) => Ok(Some(identity.user.as_str().to_owned())),
        // Where everybody may have them, a bad token is none.
        Ok(None) | Err(_) if state.ice_servers.is_public() => {
            let user = parameter(query, "userId").unwrap_or_else(|| ANONYMOUS.to_owned());
            if is_valid_id(&user) { Ok(Some(user)) } else { Err(Refused::UserId) }
        }
        Ok(None) => Ok(None),
        Err(error) => Err(Refused::Token(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::http::testing::{Server, server};
    use crate::ids::UserId;

    const TURN: [(&str, &str); 2] = [("TURN_SERVER_URL", "turn:t:3478"), ("TURN_STATIC_SECRET", "turn-secret")];

    fn turn_server(public: &'static str) -> Server {
        server(TURN.into_iter().chain([("ICE_SERVERS_PUBLIC", public)]))
    }

    fn token(server: &Server, user: &str) -> String {
        let user = UserId::parse(user).unwrap();
        server.state.authenticator.mint(&user, Duration::from_secs(60)).unwrap()
    }

    fn username(answer: &Value) -> Option<&str> {
        answer["iceServers"][1]["username"].as_str()
    }

    #[tokio::test]
    async fn without_a_token_there_is_stun() {
        for server in [server([]), turn_server("false")] {
            let answer = server.get("/ice-servers?userId=alice").await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let stun = json!([{ "urls": "stun:stun.l.google.com:19302" }]);
            assert_eq!(answer.json(), json!({ "success": true, "iceServers": stun, "ttl": 86400 }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_gives_turn_to_its_user() {
        let server = turn_server("false");
        let token = token(&server, "alice");
        let header = format!("bearer {token}");
        let by_header = server.get_with("/ice-servers?userId=bob", &[("authorization", &header)]).await.json();
        let by_query = server.get(&format!("/ice-servers?token={token}")).await.json();
        for answer in [by_header, by_query] {
            assert_eq!(username(&answer), Some("1700086400:alice"));
            assert_eq!(answer["iceServers"][1]["credential"], "5iY+IeUUagohcNcZFo30lkvz3YM=");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_token_is_refused() {
        let server = turn_server("false");
        let good = token(&server, "alice");
        let query = format!("/ice-servers?token={good}");
        let answer = server.get_with(&query, &[("authorization", "Bearer nonsense")]).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert_eq!(answer.json(), json!({ "success": false, "error": "Invalid token" }));
        tokio::time::advance(Duration::from_secs(60)).await;
        let answer = server.get(&query).await;
        assert_eq!((answer.status, &answer.json()["error"]), (401, &json!("Token expired")));
    }

    #[tokio::test]
    async fn credentials_of_a_proxy_are_no_token() {
        let headers = [("authorization", "Basic YTpi")];
        assert_eq!(turn_server("false").get_with("/ice-servers", &headers).await.status, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn public_turn_is_for_the_user_named() {
        let server = turn_server("true");
        let cases = [
            ("", "1700086400:anonymous"),
            ("?userId=", "1700086400:anonymous"),
            ("?userId=alice", "1700086400:alice"),
            ("?userId=a&userId=b", "1700086400:a"),
            ("?userId%5Bx%5D=a", "1700086400:anonymous"),
            ("?userId=Zo%C3%AB+B", "1700086400:Zoë%20B"),
        ];
        for (query, expected) in cases {
            let answer = server.get(&format!("/ice-servers{query}")).await.json();
            assert_eq!(username(&answer), Some(expected), "{query}");
        }
        for bad in [format!("?userId={}", "x".repeat(129)), "?userId=a%0Ab".into()] {
            let answer = server.get(&format!("/ice-servers{bad}")).await;
            assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("Invalid user ID")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn where_turn_is_public_a_good_token_names_the_user_all_the_same() {
        let server = turn_server("true");
        let good = format!("bearer {}", token(&server, "alice"));
        for (authorization, expected) in [(good.as_str(), "1700086400:alice"), ("bearer nonsense", "1700086400:bob")] {
            let answer = server.get_with("/ice-servers?userId=bob", &[("authorization", authorization)]).await;
            assert_eq!((answer.status, username(&answer.json())), (200, Some(expected)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_region_may_be_named() {
        let regions = ("TURN_REGIONS", "eu=turn:eu:3478; us=turn:us:3478");
        let server = server(TURN.into_iter().chain([regions]));
        let token = token(&server, "alice");
        for (region, expected) in [("&region=eu", "turn:eu:3478"), ("&region=mars", "turn:t:3478"), ("", "turn:t:3478")]
        {
            let answer = server.get(&format!("/ice-servers?token={token}{region}")).await;
            assert_eq!((answer.status, &answer.json()["iceServers"][1]["urls"]), (200, &json!(expected)));
        }
    }
}
