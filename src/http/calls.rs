//! `/calls/{callId}/status`: how a call stands, for its parties, and for an app that a push has woken and that wants to know whether
//! the call still rings before it does.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::HttpState;
use super::answer::{NOT_NOW, RETRY_AFTER_SECONDS, json, not_now, refusal, token_refused, unshared};
use super::endpoint::{Access, Answer, Operation, Parameter};
use super::request::{bearer, parameter};
use crate::auth::{AuthError, KEY_PATIENCE};
use crate::call::{Call, CallType, EndReason, Outcome, State as CallState};
use crate::ids::{CallId, UserId, schema};

/// Why a call cannot be looked up at present.
#[derive(Clone, Copy, Debug)]
pub struct NotNow;

/// Knows the calls that are going on, or were over not long ago.
#[async_trait]
pub trait Calls: Send + Sync {
    /// A call.
    async fn find(&self, id: CallId) -> Result<Option<Arc<Call>>, NotNow>;

    /// Somebody was told how it stands: a party, or whoever has the token of the push.
    fn asked(&self, _id: CallId, _by: Option<&UserId>, _status: &'static str) {}
}

/// How a call stands.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallStatus", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
struct Status<'a> {
    #[schemars(schema_with = "schema::yes")]
    success: bool,
    #[schemars(schema_with = "call_id")]
    call_id: String,
    /// `expiresAt` is there while it rings.
    #[schemars(extend("enum" = statuses()))]
    status: &'static str,
    #[schemars(extend("enum" = CallType::ALL.map(CallType::word)))]
    call_type: &'static str,
    #[schemars(schema_with = "user_id")]
    caller_id: &'a str,
    #[schemars(schema_with = "user_id")]
    callee_id: &'a str,
    /// When it stops ringing, in milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    expires_at: Option<u64>,
}

const RINGING: &str = "ringing";
const ACCEPTED: &str = "accepted";
const NOT_FOUND: &str = "Call not found";

/// Every state a call may be in.
fn statuses() -> [&'static str; 5] {
    let ended = Outcome::Ended(EndReason::Replaced);
    [RINGING, ACCEPTED, Outcome::Rejected.word(), Outcome::TimedOut.word(), ended.word()]
}

fn call_id(_: &mut SchemaGenerator) -> Schema {
    schema::call_id()
}

fn user_id(_: &mut SchemaGenerator) -> Schema {
    schema::id()
}

/// What is published of [`status`].
pub(super) fn status_described() -> Operation {
    let example = serde_json::json!({
        "success": true,
        "callId": "cdcbef34-f06f-4fb0-b55c-b66ff1088e50",
        "status": RINGING,
        "callType": CallType::Audio.word(),
        "callerId": "alice",
        "calleeId": "bob",
        "expiresAt": 1_769_860_845_000_u64,
    });
    let id = Parameter { name: "id", in_path: true, about: "The `callId`.", schema: schema::call_id() };
    let operation = Operation::new(
        "callStatus",
        "How a call stands, for its parties, and for an app that a push has woken: does it still ring?",
        [
            Answer::json::<Status<'_>>(StatusCode::OK, "It is going on, or was over less than a minute ago.", example)
                .not_stored(),
            Answer::refusal(
                StatusCode::UNAUTHORIZED,
                "The token is missing, wrong or too old: do not ring.",
                AuthError::REFUSALS.map(|error| error.to_string()),
            )
            .not_stored()
            .wants_token(),
            Answer::refusal(StatusCode::NOT_FOUND, "No such call, or not one of the user's: do not ring.", [NOT_FOUND])
                .not_stored(),
            Answer::refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot know at present: ring until the `expiresAt` of the push.",
                [NOT_NOW],
            )
            .not_stored()
            .again_after(RETRY_AFTER_SECONDS),
        ],
    );
    Operation { access: Access::NeedsToken, parameters: vec![id], ..operation }
}

/// The state of a call, for whoever has the token of a party, or the one that came with the push. A call that is none of the sender's
/// affair is answered like one that is not there.
pub(super) async fn status(
    State(state): State<Arc<HttpState>>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    // What cannot even be decoded names no call either.
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    unshared(match answer(&state, &id, &headers, query.as_deref().unwrap_or_default()).await {
        Ok(response) => response,
        Err(Refused::Token(error)) => token_refused(error),
        Err(Refused::NotFound) => refusal(StatusCode::NOT_FOUND, NOT_FOUND),
        Err(Refused::NotNow) => not_now(),
    })
}

enum Refused {
    Token(AuthError),
    NotFound,
    NotNow,
}

async fn answer(state: &HttpState, id: &str, headers: &HeaderMap, query: &str) -> Result<Response, Refused> {
    let token = bearer(headers).or_else(|| parameter(query, "token")).ok_or(Refused::Token(AuthError::Missing))?;
    let id = CallId::parse(id);
    let user = match id.map(|id| state.call_tokens.check(id, &token)) {
        Some(Ok(())) => None,
        Some(Err(AuthError::Expired)) => return Err(Refused::Token(AuthError::Expired)),
        // Then it has to be that of a user.
        Some(Err(_)) | None => match state.authenticator.authenticate(Some(&token), KEY_PATIENCE).await {
            Ok(identity) => Some(identity.user),
            Err(error) => return Err(Refused::Token(error)),
        },
    };
    let id = id.ok_or(Refused::NotFound)?;
    let call = state.calls.find(id).await.map_err(|NotNow| Refused::NotNow)?;
    let is_theirs = |call: &Arc<Call>| user.as_ref().is_none_or(|user| call.has_party(user));
    let call = call.filter(is_theirs).ok_or(Refused::NotFound)?;
    let rings_until = call.rings_until(state.clock.now());
    let status = match &call.state {
        CallState::Ringing(_) if rings_until.is_some() => RINGING,
        // Nobody has acted on the deadline yet.
        CallState::Ringing(_) => Outcome::TimedOut.word(),
        CallState::Accepted(_) => ACCEPTED,
        CallState::Over(over) => over.word(),
    };
    state.calls.asked(id, user.as_ref(), status);
    Ok(json(
        StatusCode::OK,
        Status {
            success: true,
            call_id: id.to_string(),
            status,
            call_type: call.call_type.word(),
            caller_id: call.caller.user.as_str(),
            callee_id: call.callee.as_str(),
            expires_at: rings_until.map(|at| at.0),
        },
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::call::{Accepted, Call, CallType, CallerDisplay, Outcome, Over, Party, Ringing, State};
    use crate::clock::Timestamp;
    use crate::http::testing::{Server, server};
    use crate::ids::{CallId, DeviceId, UserId};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn call(state: State) -> Call {
        Call {
            id: CallId::from_u128(7),
            caller: Party { user: user("alice"), device: DeviceId::parse("a1").unwrap() },
            callee: user("bob"),
            call_type: CallType::Video,
            display: CallerDisplay::default(),
            request_id: None,
            created_at: NOW,
            state,
        }
    }

    fn rings() -> State {
        State::Ringing(Ringing { until: NOW.plus(Duration::from_secs(45)), caller_given_up_at: None })
    }

    fn server_with(state: State) -> (Server, String) {
        let server = server([]);
        let call = call(state);
        let path = format!("/calls/{}/status", call.id);
        server.calls.lock().insert(call.id, Some(call.into()));
        (server, path)
    }

    fn token(server: &Server, name: &str) -> String {
        server.state.authenticator.mint(&user(name), Duration::from_secs(600)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_party_hears_how_the_call_stands() {
        let accepted = State::Accepted(Accepted {
            at: NOW,
            until: NOW,
            callee_device: DeviceId::parse("b1").unwrap(),
            caller_given_up_at: None,
            callee_given_up_at: None,
        });
        let over = |outcome| State::Over(Over { at: NOW, accepted_at: None, outcome });
        for (state, status) in [
            (rings(), "ringing"),
            (accepted, "accepted"),
            (over(Outcome::Rejected), "rejected"),
            (over(Outcome::TimedOut), "timeout"),
        ] {
            let (server, path) = server_with(state);
            for name in ["alice", "bob"] {
                let answer =
                    server.get_with(&path, &[("authorization", &format!("Bearer {}", token(&server, name)))]).await;
                assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
                let mut expected = json!({ "success": true, "callId": CallId::from_u128(7).to_string(), "status": status,
                    "callType": "video", "callerId": "alice", "calleeId": "bob" });
                if status == "ringing" {
                    expected["expiresAt"] = json!(NOW.0 + 45_000);
                }
                assert_eq!(answer.json(), expected);
            }
        }
        let (server, path) = server_with(rings());
        tokio::time::advance(Duration::from_secs(45)).await;
        let late = server.get(&format!("{path}?token={}", token(&server, "bob"))).await.json();
        assert_eq!(late["status"], "timeout", "before anybody has acted on the deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn the_token_of_a_push_is_good_for_its_call_alone() {
        let (server, path) = server_with(rings());
        let pushed = server.state.call_tokens.mint(CallId::from_u128(7), NOW);
        assert_eq!(server.get(&format!("{path}?token={pushed}")).await.json()["status"], "ringing");
        let other = format!("/calls/{}/status?token={pushed}", CallId::from_u128(8));
        assert_eq!(server.get(&other).await.status, 401);
        tokio::time::advance(Duration::from_secs(61)).await;
        let answer = server.get(&format!("{path}?token={pushed}")).await;
        assert_eq!((answer.status, answer.json()), (401, json!({ "success": false, "error": "Token expired" })));
    }

    #[tokio::test]
    async fn strangers_learn_nothing() {
        let (server, path) = server_with(rings());
        assert_eq!(server.get(&path).await.json()["error"], "Authentication required");
        assert_eq!(server.get(&format!("{path}?token=x.y")).await.json()["error"], "Invalid token");
        let mallory = token(&server, "mallory");
        assert_eq!(server.get("/calls/%ff/status").await.json()["error"], "Authentication required");
        let others =
            [format!("/calls/{}/status", CallId::from_u128(9)), "/calls/7/status".into(), "/calls/%ff/status".into()];
        for path in [path].into_iter().chain(others) {
            let answer = server.get(&format!("{path}?token={mallory}")).await;
            assert_eq!((answer.status, answer.json()), (404, json!({ "success": false, "error": "Call not found" })));
        }
    }

    #[tokio::test]
    async fn without_redis_it_is_to_be_asked_again() {
        let (server, path) = server_with(rings());
        server.calls.lock().insert(CallId::from_u128(7), None);
        let answer = server.get(&format!("{path}?token={}", token(&server, "bob"))).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    }
}
