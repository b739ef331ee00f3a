//! `/calls/{callId}/timeline`, for the inside: what happened to a call and around it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::Response;

use super::NotNow;
use super::answer::{NOT_NOW, RETRY_AFTER_SECONDS, json, not_now, refusal, unshared};
use super::endpoint::{Answer, Endpoint, Operation, Parameter};
use crate::ids::{CallId, schema};
use crate::timeline::Account;

/// Knows what happened to calls.
#[async_trait]
pub trait Timelines: Send + Sync {
    /// Whether timelines are kept at all.
    fn are_kept(&self) -> bool;

    /// The timeline of a call.
    async fn of(&self, call: CallId) -> Result<Option<Account>, NotNow>;
}

/// `/calls/{callId}/timeline`, with what is published of it.
pub(super) fn endpoint(timelines: Arc<dyn Timelines>) -> Endpoint<()> {
    let example = serde_json::json!({
        "callId": "cdcbef34-f06f-4fb0-b55c-b66ff1088e50",
        "verdict": "Nobody's phone rang: no device of the callee was connected, and none has a push token.",
        "entries": [{ "at": 1_769_860_800_000_u64, "node": "n1", "event": "ended", "how": "no_answer" }],
    });
    let id = Parameter { name: "id", in_path: true, about: "The `callId`.", schema: schema::call_id() };
    let operation = Operation::new(
        "callTimeline",
        "What happened to a call and around it, as `switchboard call` prints it: why a phone did not ring.",
        [
            Answer::json::<Account>(StatusCode::OK, "What happened, in order, and what it comes to.", example)
                .not_stored(),
            Answer::refusal(StatusCode::BAD_REQUEST, "It is no call id.", [NO_ID]).not_stored(),
            Answer::refusal(StatusCode::NOT_FOUND, "There is no timeline of it.", [NOT_KEPT, NOT_THERE]).not_stored(),
            Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "Redis is away.", [NOT_NOW])
                .not_stored()
                .again_after(RETRY_AFTER_SECONDS),
        ],
    );
    let handler = move |id: Result<Path<String>, PathRejection>| async move {
        unshared(answer(&*timelines, id.ok().and_then(|Path(id)| CallId::parse(&id))).await)
    };
    Endpoint::get("/calls/{id}/timeline", handler, Operation { parameters: vec![id], ..operation })
}

const NO_ID: &str = "That is no call id";
const NOT_KEPT: &str = "No timelines are kept: TIMELINE_TTL is 0";
const NOT_THERE: &str =
    "No such call, or its timeline was let go: it is older than TIMELINE_TTL, or there were TIMELINE_CALLS later ones";

async fn answer(timelines: &dyn Timelines, id: Option<CallId>) -> Response {
    let Some(id) = id else {
        return refusal(StatusCode::BAD_REQUEST, NO_ID);
    };
    if !timelines.are_kept() {
        return refusal(StatusCode::NOT_FOUND, NOT_KEPT);
    }
    match timelines.of(id).await {
        Ok(Some(account)) => json(StatusCode::OK, account),
        Ok(None) => refusal(StatusCode::NOT_FOUND, NOT_THERE),
        Err(NotNow) => not_now(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use axum::http::header::CACHE_CONTROL;
    use tower::ServiceExt;

    use super::*;
    use crate::clock::Timestamp;
    use crate::timeline::{Entry, What};

    /// One call, `7`; `8` cannot be looked up.
    struct One {
        are_kept: bool,
    }

    #[async_trait]
    impl Timelines for One {
        fn are_kept(&self) -> bool {
            self.are_kept
        }

        async fn of(&self, call: CallId) -> Result<Option<Account>, NotNow> {
            let ended = What::Ended { how: "no_answer".into(), by: None };
            let account = || Account::new(call, vec![Entry::new(Timestamp(5), "n1", ended)]);
            if call == CallId::from_u128(8) {
                return Err(NotNow);
            }
            Ok((call == CallId::from_u128(7)).then(account))
        }
    }

    async fn ask(are_kept: bool, id: &str) -> (u16, serde_json::Value) {
        let request = Request::get(format!("/calls/{id}/timeline")).body(Body::empty()).unwrap();
        let response = Endpoint::routes([endpoint(Arc::new(One { are_kept }))]).oneshot(request).await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn id(number: u128) -> String {
        CallId::from_u128(number).to_string()
    }

    #[tokio::test]
    async fn a_call_has_its_timeline_and_the_others_a_reason() {
        let (status, body) = ask(true, &id(7)).await;
        let expected = serde_json::json!({
            "callId": id(7),
            "verdict": "How this call began is not known.",
            "entries": [{ "at": 5, "node": "n1", "event": "ended", "how": "no_answer" }],
        });
        assert_eq!((status, body), (200, expected));
        for (are_kept, id, status, why) in [
            (true, id(9), 404, "let go"),
            (true, id(8), 503, "unavailable"),
            (true, "7".into(), 400, "no call id"),
            (true, "%ff".into(), 400, "no call id"),
            (false, id(7), 404, "TIMELINE_TTL"),
        ] {
            let (answered, body) = ask(are_kept, &id).await;
            assert!(answered == status && body["error"].as_str().unwrap().contains(why), "{answered} {body}");
        }
    }
}
