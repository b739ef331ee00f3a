//! A server to ask, without a socket.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use parking_lot::Mutex;
use tower::ServiceExt;

use super::{Calls, HttpState, NotNow, router};
use crate::auth::{Authenticator, CallTokens};
use crate::call::Call;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::ids::CallId;
use crate::lifecycle::Readiness;
use crate::turn::IceServers;

/// A server with its state.
pub(super) struct Server {
    pub(super) state: HttpState,
    pub(super) calls: Arc<Known>,
    router: Router,
}

/// The calls there are; `None` for one that cannot be looked up.
pub(super) type Known = Mutex<HashMap<CallId, Option<Arc<Call>>>>;

#[async_trait]
impl Calls for Known {
    async fn find(&self, id: CallId) -> Result<Option<Arc<Call>>, NotNow> {
        self.lock().get(&id).cloned().map(|known| known.ok_or(NotNow)).transpose()
    }
}

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    headers: HeaderMap,
}

/// The server these variables make, at the start of 14 November 2023, 22:13:20.
pub(super) fn server<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Server {
    server_with(vars, Readiness::new(None))
}

/// The same, as ready as it says.
pub(super) fn server_with<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>, readiness: Readiness) -> Server {
    let config = Config::from_vars(vars).unwrap();
    let clock = Clock::following_tokio(Timestamp(1_700_000_000_000));
    let authenticator = Arc::new(Authenticator::new(&config.auth, clock));
    let ice_servers = Arc::new(IceServers::new(&config.ice, clock));
    let call_tokens = CallTokens::new(&"call-secret".into(), clock);
    let calls: Arc<Known> = Arc::default();
    let state = HttpState::new(&config, authenticator, ice_servers, call_tokens, calls.clone(), clock, readiness);
    Server { router: router(state.clone()), state, calls }
}

impl Server {
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(super) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request(Method::GET, path, headers, String::new()).await
    }

    pub(super) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        answer(self.router.clone(), method, path, headers, body).await
    }
}

/// What `router` answers.
pub(super) async fn answer(
    router: Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status.as_u16(), body, headers: parts.headers }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
