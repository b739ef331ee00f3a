//! The HTTP side: health and readiness, ICE servers, how a call stands, information, in development the demo page, and what is for
//! the inside: metrics, and what happened to calls.
//!
//! [`router`] answers every path, unknown ones with a JSON 404, so Socket.IO belongs in front of it, and the client
//! bundle ([`client_bundle`]), whose path lies below Socket.IO's, beside that.

mod answer;
mod assets;
mod body;
mod calls;
mod cors;
mod demo;
mod endpoint;
mod ice;
mod inside;
mod path;
mod request;
mod status;
mod timeline;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::Response;

use self::endpoint::Endpoint;
use crate::auth::{Authenticator, CallTokens};
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, CorsOrigin, Mode};
use crate::lifecycle::Readiness;
use crate::turn::IceServers;

pub use assets::client_bundle;
pub use calls::{Calls, NotNow};
pub use cors::{HTTP_METHODS, SOCKET_IO_METHODS, cors};
pub use demo::Demo;
pub use endpoint::{Access, Answer, Content, Operation, Parameter};
pub use inside::{inside, inside_operations, metrics};
pub use timeline::Timelines;

/// What the HTTP side knows.
#[derive(Clone)]
pub struct HttpState {
    /// Shown by `/info`.
    pub mode: Mode,
    /// Which web pages may read the answers.
    pub cors_origin: CorsOrigin,
    /// Reads tokens.
    pub authenticator: Arc<Authenticator>,
    /// Reads tokens of calls.
    pub call_tokens: CallTokens,
    /// Knows the calls.
    pub calls: Arc<dyn Calls>,
    /// Makes TURN credentials.
    pub ice_servers: Arc<IceServers>,
    /// When the server started.
    pub started_at: Timestamp,
    /// Tells the time.
    pub clock: Clock,
    /// The demo page, if it is shown.
    pub demo: Option<Demo>,
    /// Whether clients may come.
    pub readiness: Readiness,
    /// Whether there are pushes by Firebase Cloud Messaging.
    pub has_fcm: bool,
}

impl HttpState {
    /// The state of a server that starts at this moment; the demo is shown in development.
    pub fn new(
        config: &Config,
        authenticator: Arc<Authenticator>,
        ice_servers: Arc<IceServers>,
        call_tokens: CallTokens,
        calls: Arc<dyn Calls>,
        clock: Clock,
        readiness: Readiness,
    ) -> Self {
        let demo = Demo { token_lifetime: config.auth.token_lifetime };
        Self {
            mode: config.mode,
            cors_origin: config.server.cors_origin.clone(),
            authenticator,
            ice_servers,
            call_tokens,
            calls,
            started_at: clock.now(),
            clock,
            demo: (config.mode == Mode::Development).then_some(demo),
            readiness,
            has_fcm: config.push.fcm.is_some(),
        }
    }
}

/// Everything but Socket.IO. Paths are matched whatever their case, with or without a slash at the end.
pub fn router(state: HttpState) -> Router {
    let mut routes = Endpoint::routes(endpoints());
    if let Some(demo) = &state.demo {
        routes = routes.merge(demo.routes());
    }
    let cors_origin = state.cors_origin.clone();
    let routes = routes
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(from_fn(body::check))
        .with_state(Arc::new(state));
    cors(Router::new().fallback_service(path::normalised(routes)), &cors_origin, &HTTP_METHODS)
}

fn endpoints() -> Vec<Endpoint<Arc<HttpState>>> {
    vec![
        Endpoint::get("/health", status::health, status::health_described()),
        Endpoint::get("/livez", status::livez, status::livez_described()),
        Endpoint::get("/readyz", status::readyz, status::readyz_described()),
        Endpoint::get("/calls/{id}/status", calls::status, calls::status_described()),
        Endpoint::get("/ice-servers", ice::ice_servers, ice::ice_servers_described()),
        Endpoint::get("/info", status::info, status::info_described()),
    ]
}

/// What is published of the public port. The page is not: it is for people.
pub fn public_operations() -> Vec<Operation> {
    let demo = Demo { token_lifetime: Duration::ZERO };
    let endpoints = endpoints().into_iter().chain([demo.token_endpoint()]).map(|endpoint| endpoint.operation);
    endpoints.chain(assets::client_endpoints().map(|endpoint| endpoint.operation)).collect()
}

async fn not_found() -> Response {
    answer::refusal(StatusCode::NOT_FOUND, "Endpoint not found")
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
