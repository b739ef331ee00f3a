//! `/calls/{callId}/timeline`, for the inside: what happened to a call and around it.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;

use super::NotNow;
use super::answer::{json, refusal};
use crate::ids::CallId;
use crate::timeline::Account;

/// Knows what happened to calls.
#[async_trait]
pub trait Timelines: Send + Sync {
    /// Whether timelines are kept at all.
    fn are_kept(&self) -> bool;

    /// The timeline of a call.
    async fn of(&self, call: CallId) -> Result<Option<Account>, NotNow>;
}

/// The timelines of calls.
pub fn timelines(timelines: Arc<dyn Timelines>) -> Router {
    Router::new().route("/calls/{id}/timeline", get(timeline)).with_state(timelines)
}

async fn timeline(State(timelines): State<Arc<dyn Timelines>>, id: Result<Path<String>, PathRejection>) -> Response {
    let mut response = answer(&*timelines, id.ok().and_then(|Path(id)| CallId::parse(&id))).await;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer(timelines: &dyn Timelines, id: Option<CallId>) -> Response {
    let Some(id) = id else {
        return refusal(StatusCode::BAD_REQUEST, "That is no call id");
    };
    if !timelines.are_kept() {
        return refusal(StatusCode::NOT_FOUND, "No timelines are kept: TIMELINE_TTL is 0");
    }
    match timelines.of(id).await {
        Ok(Some(account)) => json(StatusCode::OK, account),
        Ok(None) => refusal(
            StatusCode::NOT_FOUND,
            "No such call, or its timeline was let go: it is older than TIMELINE_TTL, or there were TIMELINE_CALLS later ones",
        ),
        Err(NotNow) => {
            let mut response = refusal(StatusCode::SERVICE_UNAVAILABLE, "Temporarily unavailable");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
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
        let response = timelines(Arc::new(One { are_kept })).oneshot(request).await.unwrap();
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
