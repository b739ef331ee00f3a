//! What the port for clients answers: sockets, polling and pages.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::config::Config;
use crate::http::{self, HttpState};
use crate::listener::Answer;
use crate::metrics::Exposition;
use crate::socket::Engine;

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Everything the port answers.
pub(super) struct Site {
    engine: Arc<Engine>,
    polling: Router,
    pages: Router,
}

impl Site {
    pub(super) fn new(config: &Config, engine: Arc<Engine>, state: HttpState, exposition: Arc<Exposition>) -> Self {
        let polling = http::cors(engine.polling(), &config.server.cors_origin, &http::SOCKET_IO_METHODS);
        let mut pages = http::client_bundle();
        if config.server.metrics_public {
            pages = pages.merge(http::metrics(exposition));
        }
        let pages = pages.fallback_service(http::router(state));
        Self { engine, polling, pages }
    }
}

impl Answer for Site {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if request.method() == Method::GET {
            return self.respond(request).await;
        }
        // What is sent has to arrive in time; a poll, which sends nothing, waits for as long as it takes.
        tokio::time::timeout(BODY_TIMEOUT, self.respond(request)).await.unwrap_or_else(|_| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            response
        })
    }
}

impl Site {
    async fn respond(&self, request: Request<Incoming>) -> Response<Body> {
        if !Engine::is_at(request.uri().path()) {
            let Ok(response) = self.pages.clone().oneshot(request).await;
            return response;
        }
        if Engine::is_upgrade(&request) {
            return self.engine.upgrade(request).await;
        }
        let Ok(response) = self.polling.clone().oneshot(request).await;
        response
    }
}
