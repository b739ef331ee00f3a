//! What all sockets of the node share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::config::{Config, LimitsConfig, SocketConfig};
use crate::ids::{SessionId, UserId};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::protocol::Bounds;
use crate::socket::ice::IceRenewals;
use crate::socket::limits::Limits;
use crate::socket::session::Session;
use crate::socket::token_expiry::TokenExpiry;
use crate::socket::transports::Transports;
use crate::switchboard::Switchboard;
use crate::turn::IceServers;

/// At least how far apart clients are sent elsewhere.
const DRAIN_STEP: Duration = Duration::from_millis(20);

/// How sockets behave.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// Pings, time-outs and queues.
    pub socket: SocketConfig,
    /// Rates and sizes, as they are at the start.
    pub limits: LimitsConfig,
    /// Whether a connection needs a token.
    pub auth_required: bool,
}

impl SocketSettings {
    /// The settings among the configuration.
    pub fn new(config: &Config) -> Self {
        Self { socket: config.socket.clone(), limits: config.limits.clone(), auth_required: config.auth.required }
    }
}

/// The sockets of this node.
pub struct Hub {
    pub(super) settings: SocketSettings,
    pub(super) switchboard: Arc<Switchboard>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) clock: Clock,
    pub(super) lifecycle: Lifecycle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    pub(super) token_expiry: TokenExpiry,
    pub(super) ice_servers: Arc<IceServers>,
    pub(super) ice_renewals: Arc<IceRenewals>,
    pub(super) transports: Arc<Transports>,
    is_draining: AtomicBool,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<SessionId, Weak<Session>>,
    per_user: HashMap<UserId, usize>,
}

/// A user has as many connections as they may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too many connections")]
pub struct TooManyConnections;

impl Hub {
    /// A hub without sockets.
    pub fn new(
        settings: SocketSettings,
        switchboard: Arc<Switchboard>,
        authenticator: Arc<Authenticator>,
        ice_servers: Arc<IceServers>,
        clock: Clock,
        lifecycle: Lifecycle,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits: Limits::new(&settings.limits),
            settings,
            switchboard,
            authenticator,
            clock,
            lifecycle,
            metrics,
            token_expiry: TokenExpiry::default(),
            ice_renewals: Arc::new(IceRenewals::new(ice_servers.renew_after())),
            ice_servers,
            transports: Arc::default(),
            is_draining: AtomicBool::new(false),
            sessions: Mutex::default(),
        })
    }

    /// These limits count from here on, for the clients that are connected, too.
    pub fn set_limits(&self, limits: &LimitsConfig) {
        self.limits.set(limits);
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.limits
            .get(|limits| Bounds { sdp_bytes: limits.max_sdp_bytes, candidate_bytes: limits.max_candidate_bytes })
    }

    /// How many clients are connected.
    pub fn connected(&self) -> usize {
        self.sessions.lock().by_id.len()
    }

    /// Ends connections whose token has expired, sends fresh ICE servers to those in a call, and forgets what limits need no
    /// longer know, until the node stops.
    pub async fn keep_house(self: Arc<Self>) {
        tokio::join!(self.token_expiry.watch(&self), self.ice_renewals.watch(&self));
    }

    /// Whether clients are being sent elsewhere, and no more are taken.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Takes no more clients, and closes every connection so that its client comes back by itself, spread over `period`.
    pub async fn drain(&self, period: Duration) {
        self.is_draining.store(true, Ordering::Relaxed);
        let sessions: Vec<_> = self.sessions.lock().by_id.values().filter_map(Weak::upgrade).collect();
        if sessions.is_empty() {
            return;
        }
        let steps = usize::try_from(period.as_millis() / DRAIN_STEP.as_millis()).unwrap_or(usize::MAX);
        let batch = sessions.len().div_ceil(steps.clamp(1, sessions.len()));
        let pause = period / u32::try_from(sessions.len().div_ceil(batch)).unwrap_or(1);
        for batch in sessions.chunks(batch) {
            for session in batch {
                session.send_away();
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The client of socket `id` has been told that it is connected.
    pub(super) fn start(&self, id: &str) {
        if let Some(session) = SessionId::parse(id).and_then(|id| self.session(&id)) {
            session.start_reader(None);
        }
    }

    /// The client of the polling session `sid` is alive.
    pub(super) fn note_poll(&self, sid: &str) {
        if let Some(session) = SessionId::parse(sid).and_then(|id| self.session(&id)) {
            session.wire().note_life(self.clock.now());
        }
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.sessions.lock().by_id.get(id)?.upgrade()
    }

    pub(super) fn add(&self, session: &Arc<Session>, user: Option<&UserId>) -> Result<(), TooManyConnections> {
        let most = self.limits.get(|limits| limits.max_connections_per_user);
        let mut sessions = self.sessions.lock();
        if let Some(user) = user {
            let count = sessions.per_user.entry(user.clone()).or_default();
            if *count >= most {
                return Err(TooManyConnections);
            }
            *count += 1;
        }
        session.set_counted(true);
        sessions.by_id.insert(session.id().clone(), Arc::downgrade(session));
        Ok(())
    }

    /// Takes `session` out. Says whether it was the one of its name: a client may leave and come back over one connection.
    pub(super) fn remove(&self, session: &Session) -> bool {
        self.uncount(session);
        let mut sessions = self.sessions.lock();
        let is_here = sessions.by_id.get(session.id()).is_some_and(|kept| std::ptr::eq(kept.as_ptr(), session));
        if is_here {
            sessions.by_id.remove(session.id());
            if sessions.by_id.len() * 4 < sessions.by_id.capacity() {
                sessions.by_id.shrink_to_fit();
                sessions.per_user.shrink_to_fit();
            }
        }
        is_here
    }

    /// `session` is none of the connections of its user any more.
    pub(super) fn uncount(&self, session: &Session) {
        let mut sessions = self.sessions.lock();
        if session.set_counted(false)
            && let Some(user) = session.token_user()
            && let Some(count) = sessions.per_user.get_mut(user)
        {
            *count -= 1;
            if *count == 0 {
                sessions.per_user.remove(user);
            }
        }
    }
}
