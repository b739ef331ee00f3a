//! The composition root: builds every part of a node, binds its port, runs it, and ends it in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::auth::Authenticator;
use crate::backplane::{Backplane, Memory, MemoryConfig};
use crate::call::Rules;
use crate::clock::Clock;
use crate::config::{CallConfig, Config, InboxConfig};
use crate::http::{self, HttpState};
use crate::lifecycle::Lifecycle;
use crate::listener::{Answer, Listener};
use crate::push::Disabled;
use crate::socket::{Engine, Hub, SocketSettings};
use crate::switchboard::{Line, Switchboard};

/// How long a call that is over can still be asked about, as documented.
const OVER_TTL: Duration = Duration::from_secs(60);
/// Over how long the clients of a node that ends are sent elsewhere, so that they do not all arrive there at once.
const DRAIN_PERIOD: Duration = Duration::from_secs(1);

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// A node that has bound its port.
pub struct App {
    address: SocketAddr,
    listener: Listener,
    site: Arc<Site>,
    switchboard: Arc<Switchboard>,
    hub: Arc<Hub>,
    lifecycle: Lifecycle,
    shutdown_timeout: Duration,
}

impl App {
    /// Builds a node and binds its port.
    ///
    /// # Errors
    /// Where the port cannot be bound.
    pub fn bind(config: &Config) -> io::Result<Self> {
        let clock = Clock::system();
        let lifecycle = Lifecycle::default();
        let address = SocketAddr::new(config.server.host, config.server.port);
        let listener = Listener::bind(address, config.limits.max_connections, clock)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        let address = listener.address()?;
        let authenticator = Arc::new(Authenticator::new(&config.auth, clock));
        let line = Arc::new(Line::default());
        let backplane: Arc<dyn Backplane> =
            Arc::new(Memory::new(clock, memory_config(&config.inbox)).node(line.clone()));
        let switchboard = Switchboard::new(backplane, line, Arc::new(Disabled), clock, rules(&config.call));
        let settings = SocketSettings::new(config);
        let hub = Hub::new(settings, switchboard.clone(), authenticator.clone(), clock, lifecycle.clone());
        let engine = Arc::new(Engine::new(hub.clone(), listener.open_connections()));
        let site = Arc::new(Site::new(config, engine, HttpState::new(config, authenticator, clock)));
        let shutdown_timeout = config.server.shutdown_timeout;
        Ok(Self { address, listener, site, switchboard, hub, lifecycle, shutdown_timeout })
    }

    /// Where the node listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `end`; then sends the clients away, waits for what is under way, and returns.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let Self { listener, site, switchboard, hub, lifecycle, shutdown_timeout, .. } = self;
        let stopping = lifecycle.stopping().clone();
        let watch = (switchboard.clone(), stopping.clone());
        lifecycle.spawn(async move { watch.0.watch_deadlines(watch.1).await });
        let watch = (switchboard.clone(), stopping.clone());
        lifecycle.spawn(async move { watch.0.watch_absences(watch.1).await });
        let watch = (switchboard.clone(), stopping.clone());
        lifecycle.spawn(async move { watch.0.watch_interruptions(watch.1).await });
        lifecycle.spawn(async move { switchboard.keep_presence(stopping).await });
        lifecycle.spawn(hub.clone().keep_house());
        let serving = listener.serve(site, lifecycle.clone());
        // Waits for the end; serving does not end before.
        tokio::select! {
            () = serving => {}
            () = end => {}
        }
        tracing::info!(clients = hub.connected(), "shutting down");
        // The port is closed: clients that come back find another node, or this one's successor.
        hub.drain(DRAIN_PERIOD).await;
        lifecycle.stop();
        // Those who came over a connection that was open already while the others were sent away.
        hub.drain(Duration::ZERO).await;
        if tokio::time::timeout(shutdown_timeout, lifecycle.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }
}

fn rules(config: &CallConfig) -> Rules {
    Rules {
        ring_timeout: config.ring_timeout,
        caller_away_timeout: config.caller_away_timeout,
        away_timeout: config.away_timeout,
        max_duration: config.max_duration,
        busy_window: config.busy_window,
    }
}

fn memory_config(config: &InboxConfig) -> MemoryConfig {
    MemoryConfig {
        inbox_messages: config.messages,
        inbox_bytes: config.bytes,
        inbox_ttl: config.ttl,
        over_ttl: OVER_TTL,
    }
}

/// Everything the port answers.
struct Site {
    engine: Arc<Engine>,
    polling: Router,
    pages: Router,
}

impl Site {
    fn new(config: &Config, engine: Arc<Engine>, state: HttpState) -> Self {
        let polling = http::cors(engine.polling(), &config.server.cors_origin, &http::SOCKET_IO_METHODS);
        let pages = http::client_bundle().fallback_service(http::router(state));
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
