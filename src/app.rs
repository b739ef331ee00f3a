//! The composition root: builds every part of a node, binds its port, runs it, and ends it in order.

mod inside;
mod keeping;
mod reload;
mod site;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::app::inside::{Inside, Watched};
use crate::app::reload::{Parts, Reloading};
use crate::app::site::Site;
use crate::auth::{Authenticator, CallTokens};
use crate::backplane::{Backplane, Redis};
use crate::call::{Call, Rules};
use crate::clock::Clock;
use crate::config::{CallConfig, Config};
use crate::http::{self, HttpState};
use crate::ids::{CallId, NodeId, UserId};
use crate::lifecycle::{Hangups, LAST_WORDS_TIMEOUT, Lifecycle, Readiness};
use crate::listener::{ConnectionLimit, Listener, Tls};
use crate::metrics::Metrics;
use crate::push::{self, Apns, Disabled, Dispatcher, Fcm, Provider, Push, StatusToken};
use crate::socket::{Engine, Hub, SocketSettings};
use crate::switchboard::{Known, Line, Observers, Switchboard};
use crate::telemetry::LogLevel;
use crate::timeline::Recorder;
use crate::traces::{self, Traces};
use crate::turn::IceServers;
use crate::webhooks;

/// A node that has bound its port.
pub struct App {
    address: SocketAddr,
    listener: Listener,
    inside: Option<Inside>,
    site: Arc<Site>,
    switchboard: Arc<Switchboard>,
    push: Option<push::Worker>,
    webhooks: Option<webhooks::Worker>,
    traces: Option<traces::Exporter>,
    hub: Arc<Hub>,
    reloading: Reloading,
    authenticator: Arc<Authenticator>,
    lifecycle: Lifecycle,
    readiness: Readiness,
    redis: Option<Arc<Redis>>,
    drain_timeout: Duration,
    shutdown_timeout: Duration,
}

impl App {
    /// Builds a node and binds its port.
    ///
    /// # Errors
    /// Where the port cannot be bound.
    pub fn bind(config: &Config) -> io::Result<Self> {
        let (clock, correction) = Clock::corrected();
        let lifecycle = Lifecycle::default();
        let metrics = Metrics::new();
        let address = SocketAddr::new(config.server.host, config.server.port);
        let connection_limit = ConnectionLimit::new(config.limits.max_connections);
        let tls = config.server.tls.as_ref().map(Tls::new).transpose()?;
        let listener = Listener::bind(address, connection_limit.clone(), tls.clone(), clock)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        let address = listener.address()?;
        let authenticator = Arc::new(Authenticator::new(&config.auth, clock));
        let line = Arc::new(Line::default());
        let (backplane, redis) = keeping::backplane(config, clock, correction, &line, &metrics);
        let mut readiness = Readiness::new(redis.clone().map(|redis| Arc::new(move || redis.is_connected()) as _));
        if config.auth.required {
            let keys = authenticator.clone();
            readiness = readiness.needing_keys(Arc::new(move || keys.has_keys()));
        }
        let call_tokens = CallTokens::new(&call_token_secret(config), clock);
        let node = redis.as_ref().map_or_else(NodeId::random, |redis| redis.node().clone());
        tracing::info!(%node, "what this node is called in timelines and traces");
        let (traces, exporter) = Traces::new(config.traces.as_ref(), &node, clock, &metrics)?;
        let recorder = Arc::new(Recorder::new(config.timelines.is_some(), node, clock));
        let (dispatcher, push_worker) = push(config, &backplane, &call_tokens, clock, &recorder, &traces).unzip();
        let push: Arc<dyn Push> = match &dispatcher {
            Some(dispatcher) => dispatcher.clone(),
            None => Arc::new(Disabled),
        };
        let webhooks = config
            .webhooks
            .as_ref()
            .map(|config| webhooks::Worker::new(config, backplane.clone(), metrics.clone(), clock));
        let observers = Observers { metrics: metrics.clone(), recorder, traces };
        let switchboard = Switchboard::new(backplane, line.clone(), push, clock, rules(&config.call), observers);
        let settings = SocketSettings::new(config);
        let ice_servers = Arc::new(IceServers::new(&config.ice, clock));
        let hub = Hub::new(
            settings,
            switchboard.clone(),
            authenticator.clone(),
            ice_servers.clone(),
            clock,
            lifecycle.clone(),
            metrics.clone(),
        );
        let watched = Watched {
            hub: hub.clone(),
            open_connections: listener.open_connections(),
            tls: tls.clone(),
            line,
            switchboard: switchboard.clone(),
            dispatcher,
            readiness: readiness.clone(),
        };
        let exposition = Arc::new(watched.exposition(metrics.clone()));
        let inside = Inside::bind(config, &exposition, &readiness, &switchboard, clock)?;
        let engine = Arc::new(Engine::new(hub.clone(), listener.open_connections()));
        let calls = Arc::new(KnownCalls(switchboard.clone()));
        let state = HttpState::new(
            config,
            authenticator.clone(),
            ice_servers.clone(),
            call_tokens.clone(),
            calls,
            clock,
            readiness.clone(),
        );
        let site = Arc::new(Site::new(config, engine, state, exposition));
        let parts = Parts {
            hub: hub.clone(),
            connection_limit,
            tls,
            authenticator: authenticator.clone(),
            call_tokens,
            redis: redis.clone(),
            ice_servers,
            metrics,
            clock,
        };
        Ok(Self {
            address,
            listener,
            inside,
            site,
            switchboard,
            push: push_worker,
            webhooks,
            traces: exporter,
            hub,
            reloading: Reloading::new(config, parts),
            authenticator,
            lifecycle,
            readiness,
            redis,
            drain_timeout: config.server.drain_timeout,
            shutdown_timeout: config.server.shutdown_timeout,
        })
    }

    /// Where the node listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers the inside, if anywhere.
    pub fn inside_address(&self) -> Option<SocketAddr> {
        self.inside.as_ref().map(Inside::address)
    }

    /// Serves until `end`; then sends the clients away, waits for what is under way, and returns. Meanwhile the configuration is read
    /// again at each of `hangups`.
    pub async fn run(self, end: impl Future<Output = ()>, hangups: Hangups, level: LogLevel) {
        let Self {
            listener,
            inside,
            site,
            switchboard,
            push,
            webhooks,
            traces,
            hub,
            reloading,
            authenticator,
            lifecycle,
            readiness,
            redis,
            ..
        } = self;
        let (redis_stop, traces_stop) = (CancellationToken::new(), CancellationToken::new());
        let traces = traces.map(|traces| AbortOnDropHandle::new(tokio::spawn(traces.run(traces_stop.clone()))));
        let redis = redis.map(|redis| AbortOnDropHandle::new(tokio::spawn(redis.run(redis_stop.clone()))));
        watch(&switchboard, &lifecycle);
        let stopping = lifecycle.stopping().clone();
        lifecycle.spawn(async move { authenticator.keep_keys(stopping).await });
        if let Some(push) = push {
            lifecycle.spawn(push.run(lifecycle.stopping().clone()));
        }
        if let Some(webhooks) = webhooks {
            lifecycle.spawn(webhooks.run(lifecycle.stopping().clone()));
        }
        lifecycle.spawn(hub.clone().keep_house());
        let stopping = lifecycle.stopping().clone();
        lifecycle.spawn(reloading.watch(hangups, level, stopping));
        if let Some(inside) = inside {
            lifecycle.spawn(inside.serve(lifecycle.clone()));
        }
        let mut serving = std::pin::pin!(listener.serve(site, lifecycle.clone()));
        // Waits for the end; serving does not end before.
        tokio::select! {
            () = serving.as_mut() => {}
            () = end => {}
        }
        tracing::info!(clients = hub.connected(), "shutting down");
        readiness.start_draining();
        // Still answering, if only to say that this node takes nobody any more.
        tokio::select! {
            () = serving.as_mut() => {}
            () = hub.drain(self.drain_timeout) => {}
        }
        lifecycle.stop();
        serving.await;
        // Those who came over a connection that was open already while the others were sent away.
        hub.drain(Duration::ZERO).await;
        if tokio::time::timeout(self.shutdown_timeout, lifecycle.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        let to_redis = async {
            // No more than a half: the other is for the farewell.
            let _ = tokio::time::timeout(LAST_WORDS_TIMEOUT / 2, switchboard.write_timelines()).await;
            // Last: until here there were departures to be noted.
            redis_stop.cancel();
            join_all(redis).await;
        };
        let to_collector = async {
            traces_stop.cancel();
            join_all(traces).await;
        };
        if tokio::time::timeout(LAST_WORDS_TIMEOUT, join(to_redis, to_collector)).await.is_err() {
            tracing::warn!("Redis or the collector of traces did not take the last words of this node in time");
        }
    }
}

/// Has the switchboard look at what happens by itself, until the node stops.
fn watch(switchboard: &Arc<Switchboard>, lifecycle: &Lifecycle) {
    let watched = || (switchboard.clone(), lifecycle.stopping().clone());
    let (calls, stopping) = watched();
    lifecycle.spawn(async move { calls.watch_deadlines(stopping).await });
    let (calls, stopping) = watched();
    lifecycle.spawn(async move { calls.watch_absences(stopping).await });
    let (calls, stopping) = watched();
    lifecycle.spawn(async move { calls.watch_interruptions(stopping).await });
    let (calls, stopping) = watched();
    lifecycle.spawn(async move { calls.watch_departures(stopping).await });
    let (calls, stopping) = watched();
    lifecycle.spawn(async move { calls.keep_presence(stopping).await });
    let (calls, stopping) = watched();
    lifecycle.spawn(async move { calls.watch_timelines(stopping).await });
}

/// The push services that are configured, and what has to run for them.
fn push(
    config: &Config,
    backplane: &Arc<dyn Backplane>,
    call_tokens: &CallTokens,
    clock: Clock,
    recorder: &Arc<Recorder>,
    traces: &Traces,
) -> Option<(Arc<Dispatcher>, push::Worker)> {
    let apns = config.push.apns.iter().map(|apns| Arc::new(Apns::new(apns, clock)) as Arc<dyn Provider>);
    let fcm = config.push.fcm.iter().map(|fcm| Arc::new(Fcm::new(fcm, clock)) as Arc<dyn Provider>);
    // In this order: an iOS device that has both tokens is rung by Apple's own service.
    let providers: Vec<_> = apns.chain(fcm).collect();
    if providers.is_empty() {
        return None;
    }
    let settings = push::Settings { ring_timeout: config.call.ring_timeout, skip_online: config.push.skip_online };
    let recipients = Arc::new(Known::new(backplane.clone(), clock, recorder.clone()));
    let call_tokens = call_tokens.clone();
    let status_token: StatusToken = Arc::new(move |call, until| call_tokens.mint(call, until));
    Some(Dispatcher::new(settings, providers, recipients, status_token, clock, traces.clone()))
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

/// What tokens of calls are made with: something that all nodes have.
fn call_token_secret(config: &Config) -> SecretString {
    let shared = config.auth.secret.as_ref().or(config.push.shared_secret());
    // Without push nobody gets such a token.
    shared.cloned().unwrap_or_else(|| NodeId::random().as_str().into())
}

/// The calls of the switchboard, for the HTTP side.
struct KnownCalls(Arc<Switchboard>);

#[async_trait]
impl http::Calls for KnownCalls {
    async fn find(&self, id: CallId) -> Result<Option<Arc<Call>>, http::NotNow> {
        self.0.find(id).await.map_err(|_| http::NotNow)
    }

    fn asked(&self, id: CallId, by: Option<&UserId>, status: &'static str) {
        self.0.asked(id, by, status);
    }
}
