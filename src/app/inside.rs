//! The port for the inside, and what is looked at when its metrics are read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt;

use crate::clock::Clock;
use crate::config::Config;
use crate::http;
use crate::ids::CallId;
use crate::lifecycle::{Lifecycle, Readiness};
use crate::listener::{Answer, ConnectionLimit, Listener, OpenConnections, Tls};
use crate::metrics::{Exposition, Handshake, Metrics, NotPushed, Queue};
use crate::push::{Dispatcher, Fate, Snapshot};
use crate::socket::Hub;
use crate::switchboard::{Line, Switchboard};
use crate::timeline::Account;

/// Connections to the port for the inside, beside those above the limit that a listener takes; a scraper and a probe keep one each.
const MAX_CONNECTIONS: usize = 64;

/// The port for the inside, bound.
pub(super) struct Inside {
    address: SocketAddr,
    listener: Listener,
    site: Arc<Site>,
}

impl Inside {
    /// Binds the port, if there is to be one.
    ///
    /// # Errors
    /// Where it cannot be bound.
    pub(super) fn bind(
        config: &Config,
        exposition: &Arc<Exposition>,
        readiness: &Readiness,
        switchboard: &Arc<Switchboard>,
        clock: Clock,
    ) -> io::Result<Option<Self>> {
        let Some(port) = config.server.metrics_port else { return Ok(None) };
        let address = SocketAddr::new(config.server.host, port);
        let listener =
            Listener::bind(address, ConnectionLimit::new(MAX_CONNECTIONS), None, clock).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}, which METRICS_PORT is for: {error}"))
            })?;
        let timelines = Kept { are_kept: config.timelines.is_some(), switchboard: switchboard.clone() };
        let site = http::inside(exposition.clone(), readiness.clone(), Arc::new(timelines));
        let site = Arc::new(Site(site));
        Ok(Some(Self { address: listener.address()?, listener, site }))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the node stops.
    pub(super) async fn serve(self, lifecycle: Lifecycle) {
        self.listener.serve(self.site, lifecycle).await;
    }
}

/// The timelines that the switchboard has, for the HTTP side.
struct Kept {
    are_kept: bool,
    switchboard: Arc<Switchboard>,
}

#[async_trait]
impl http::Timelines for Kept {
    fn are_kept(&self) -> bool {
        self.are_kept
    }

    async fn of(&self, call: CallId) -> Result<Option<Account>, http::NotNow> {
        let switchboard = self.switchboard.clone();
        // In a task of its own: what has been noted is written down first, also if nobody waits for the answer any more.
        let asked = tokio::spawn(async move { switchboard.timeline(call).await });
        asked.await.map_err(|_| http::NotNow)?.map_err(|_| http::NotNow)
    }
}

struct Site(Router);

impl Answer for Site {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let Ok(response) = self.0.clone().oneshot(request).await;
        response
    }
}

/// What is looked at when metrics are read.
pub(super) struct Watched {
    pub(super) hub: Arc<Hub>,
    pub(super) open_connections: OpenConnections,
    pub(super) tls: Option<Tls>,
    pub(super) line: Arc<Line>,
    pub(super) switchboard: Arc<Switchboard>,
    pub(super) dispatcher: Option<Arc<Dispatcher>>,
    pub(super) readiness: Readiness,
}

impl Watched {
    /// `metrics`, with a look at all of it whenever they are read.
    pub(super) fn exposition(self, metrics: Arc<Metrics>) -> Exposition {
        let exposition = Exposition::new(metrics);
        exposition.look_at(move |metrics| self.look(metrics));
        exposition
    }

    fn look(&self, metrics: &Metrics) {
        metrics.ready.set_flag(self.readiness.obstacles().is_empty());
        metrics.draining.set_flag(self.readiness.is_draining());
        metrics.backplane_up.set_flag(self.readiness.redis().unwrap_or(true));
        metrics.connections.set(self.hub.connected());
        metrics.tcp_connections.set(self.open_connections.count());
        let (failed, timed_out) = self.tls.as_ref().map(Tls::failures).unwrap_or_default();
        metrics.tls_failures.raise_to(Handshake::Failed, failed);
        metrics.tls_failures.raise_to(Handshake::TimedOut, timed_out);
        let (users, devices) = self.line.count();
        metrics.registered_users.set(users);
        metrics.registered_devices.set(devices);
        metrics.queue_depth.set(Queue::Departures, self.switchboard.departures_waiting());
        if let Some(dispatcher) = &self.dispatcher {
            metrics.queue_depth.set(Queue::Push, dispatcher.queued());
            metrics.queue_depth.set(Queue::PushServices, dispatcher.on_the_way());
            note_pushes(metrics, &dispatcher.snapshot());
        }
    }
}

fn note_pushes(metrics: &Metrics, snapshot: &Snapshot) {
    let Snapshot { messages, queue_full, not_looked_up } = snapshot;
    for count in messages {
        let (provider, kind) = (count.provider, count.kind);
        if count.outcome == Fate::Retried.word() {
            metrics.push_retries.raise_to(&[provider, kind], count.count);
        } else {
            metrics.pushes.raise_to(&[provider, kind, count.outcome], count.count);
        }
    }
    metrics.not_pushed.raise_to(NotPushed::QueueFull, *queue_full);
    metrics.not_pushed.raise_to(NotPushed::NotLookedUp, *not_looked_up);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::Count;

    #[test]
    fn pushes_are_told_by_their_end_and_retries_apart() {
        let metrics = Metrics::new();
        let exposition = Exposition::new(metrics.clone());
        let count = |outcome, count| Count { provider: "fcm", kind: "ring", outcome, count };
        let messages = vec![count("sent", 3), count("retried", 2), count("dropped", 0)];
        for _ in 0..2 {
            note_pushes(&metrics, &Snapshot { messages: messages.clone(), queue_full: 5, not_looked_up: 1 });
        }
        let text = exposition.text();
        for line in [
            "switchboard_pushes_total{kind=\"ring\",outcome=\"sent\",provider=\"fcm\"} 3",
            "switchboard_pushes_total{kind=\"ring\",outcome=\"dropped\",provider=\"fcm\"} 0",
            "switchboard_push_retries_total{kind=\"ring\",provider=\"fcm\"} 2",
            "switchboard_pushes_not_tried_total{reason=\"queue_full\"} 5",
            "switchboard_pushes_not_tried_total{reason=\"not_looked_up\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("outcome=\"retried\""));
    }
}
