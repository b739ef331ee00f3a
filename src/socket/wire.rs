//! The sending side of one socket: events out, the last signs of life, and three ways to end it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError, TransportType};

use crate::call::{Event, Notice};
use crate::clock::Timestamp;
use crate::ids::{EventId, SessionId};
use crate::lifecycle::Lifecycle;
use crate::listener::{Connection, Signs};
use crate::metrics::{EventOut, Expelled, Metrics, Sending, Slow};
use crate::protocol::{Code, Problem, ServerEvent};
use crate::socket::attachments::WithAttachments;
use crate::socket::engine::opened_number;
use crate::socket::hub::Hub;
use crate::socket::ice::IceRenewals;
use crate::socket::transports::Transports;
use crate::switchboard::{CloseReason, Heard, Outlet, Payload, Unsent};

/// How long a client that was told to leave may take to hang up.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// How long what was sent last may take to leave.
const FLUSH_WITHIN: Duration = Duration::from_millis(100);
/// How often, and after what pauses, a client whose queue is full is asked to leave before it is cut off.
const EXPEL_ATTEMPTS: usize = 50;
const EXPEL_RETRY_AFTER: Duration = Duration::from_millis(20);
/// After how many attempts a client that never falls silent is asked all the same.
const EXPEL_UNQUIET_AFTER: usize = 10;

/// Speaks to one client.
pub(super) struct Wire {
    id: SessionId,
    socket: Weak<Socket>,
    /// The websocket of the handshake. There is none where it began with polling: those connections may be a proxy's, and
    /// carry other clients too.
    websocket: Option<(Weak<Connection>, Arc<Signs>)>,
    transports: Arc<Transports>,
    ice_renewals: Arc<IceRenewals>,
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    events: AtomicU64,
    last_event_at: AtomicU64,
    is_expelled: AtomicBool,
}

impl Wire {
    pub(super) fn new(id: SessionId, socket: &Arc<Socket>, hub: &Hub) -> Self {
        let transports = hub.transports.clone();
        let began_as_websocket =
            socket.transport_type() == TransportType::Websocket && transports.claimed(id.as_str()).is_empty();
        let websocket = Some(&socket.req_parts().uri)
            .filter(|_| began_as_websocket)
            .and_then(|uri| transports.take_opened(opened_number(uri)?))
            .map(|connection| (Arc::downgrade(&connection), connection.signs().clone()));
        Self {
            id,
            socket: Arc::downgrade(socket),
            websocket,
            transports,
            ice_renewals: hub.ice_renewals.clone(),
            lifecycle: hub.lifecycle.clone(),
            metrics: hub.metrics.clone(),
            events: AtomicU64::new(0),
            last_event_at: AtomicU64::new(0),
            is_expelled: AtomicBool::new(false),
        }
    }

    /// The client has left, and may come back over the same connection.
    pub(super) fn leave(&self, socket: &Socket) {
        if let (Some((connection, _)), Some(number)) = (&self.websocket, opened_number(&socket.req_parts().uri)) {
            self.transports.reopen(number, connection);
        }
    }

    /// What is counted.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Sends an event.
    pub(super) fn emit(&self, name: &str, body: &impl Serialize) -> Result<(), Unsent> {
        let sent = self.try_emit(name, body);
        let result = match sent {
            Ok(()) => Sending::Sent,
            Err(Unsent::Full) => Sending::Full,
            Err(Unsent::Gone) => Sending::Gone,
        };
        self.metrics.events_out.inc((EventOut::of(name).unwrap_or(EventOut::Other), result));
        sent
    }

    fn try_emit(&self, name: &str, body: &impl Serialize) -> Result<(), Unsent> {
        match self.socket.upgrade().ok_or(Unsent::Gone)?.emit(name, body) {
            Ok(()) => Ok(()),
            Err(SendError::Socket(SocketError::InternalChannelFull)) => Err(Unsent::Full),
            Err(SendError::Socket(SocketError::Closed)) => Err(Unsent::Gone),
            Err(SendError::Serialize(_)) => {
                // What was decoded can be encoded; should it not be so, nobody else is to suffer for it.
                tracing::error!(session = %self.id, event = name, "an event could not be encoded and was left out");
                Ok(())
            }
        }
    }

    /// Something has come from the client that its connection does not tell, or not of this client alone.
    pub(super) fn note_life(&self, now: Timestamp) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.last_event_at.store(now.0, Ordering::Relaxed);
    }

    /// Says why, and asks the client to leave for good: it does not come back by itself. What it sends from here on is not
    /// looked at.
    pub(super) fn expel(self: &Arc<Self>, problem: Problem) {
        if self.is_expelled.swap(true, Ordering::Relaxed) {
            return;
        }
        self.metrics.expelled.inc(if problem.code == Code::E004 { Expelled::Displaced } else { Expelled::RateLimited });
        let wire = self.clone();
        self.lifecycle.spawn(async move {
            // While it goes on sending it is read on, unheard: a connection closed over unread bytes is reset, and the client
            // would not learn why. Its queue may be full, too.
            let mut events = wire.events.load(Ordering::Relaxed);
            let mut is_told = false;
            for attempt in 0..EXPEL_ATTEMPTS {
                is_told = is_told || wire.emit("error", &problem) != Err(Unsent::Full);
                tokio::time::sleep(EXPEL_RETRY_AFTER).await;
                let is_quiet = std::mem::replace(&mut events, wire.events.load(Ordering::Relaxed)) == events;
                let is_time = is_told && (is_quiet || attempt >= EXPEL_UNQUIET_AFTER);
                if is_time && wire.socket.upgrade().is_none_or(|socket| socket.disconnect().is_ok()) {
                    return wire.close_within(LEAVE_WITHIN);
                }
            }
            wire.close_transport();
        });
    }

    /// Whether the client was asked to leave.
    pub(super) fn is_expelled(&self) -> bool {
        self.is_expelled.load(Ordering::Relaxed)
    }

    /// Cuts the client off, after what it was sent last has had time to leave, so that it comes back by itself.
    pub(super) fn close_after_flush(self: &Arc<Self>) {
        let wire = self.clone();
        let stopping = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(async move {
            // Waits for the writer of the socket to run, or for the node to stop.
            let _ = tokio::time::timeout(FLUSH_WITHIN, stopping.cancelled()).await;
            wire.close_transport();
        });
    }

    /// Cuts off a client that does not hang up itself.
    fn close_within(self: &Arc<Self>, time: Duration) {
        let wire = self.clone();
        let stopping = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(async move {
            // Waits for the client, or for the node to stop.
            let _ = tokio::time::timeout(time, stopping.cancelled()).await;
            wire.close_transport();
        });
    }

    /// Cuts the client off so that it comes back by itself.
    pub(super) fn close_transport(&self) {
        if let Some(closing) = self.cut_off() {
            self.lifecycle.spawn(closing);
        }
    }

    /// The same, as the last thing that happens to it: when this returns nothing reaches the client any more.
    pub(super) async fn close_transport_at_once(&self) {
        if let Some(closing) = self.cut_off() {
            closing.await;
        }
    }

    /// Closes its connections. Where they may be somebody else's, the end of the session is still to come.
    fn cut_off(&self) -> Option<impl Future<Output = ()> + use<>> {
        let handshake = self.websocket.as_ref().and_then(|(connection, _)| connection.upgrade());
        for connection in self.transports.claimed(self.id.as_str()).into_iter().chain(handshake) {
            connection.close();
        }
        self.websocket.is_none().then(|| self.transports.close_polling(self.id.as_str()))
    }
}

impl Outlet for Wire {
    fn send(&self, id: EventId, payload: &Payload) -> Result<(), Unsent> {
        let event = match payload {
            Payload::Notice(notice) => ServerEvent::notice(id, notice),
            Payload::Signal(signal) => ServerEvent::signal(id, signal),
        };
        match event.media.map(crate::protocol::Media::attachments) {
            Some(attachments) if !attachments.is_empty() => {
                self.emit(event.name, &WithAttachments { body: &event.body, attachments })?;
            }
            _ => self.emit(event.name, &event.body)?,
        }
        if let Payload::Notice(Notice { event: Event::Accepted { .. }, at, .. }) = payload {
            self.ice_renewals.in_call(&self.id, *at);
        }
        Ok(())
    }

    fn heard(&self) -> Heard {
        let event = Heard {
            times: self.events.load(Ordering::Relaxed),
            at: Timestamp(self.last_event_at.load(Ordering::Relaxed)),
        };
        match &self.websocket {
            Some((_, signs)) => Heard { times: event.times + signs.reads(), at: event.at.max(signs.last_read_at()) },
            None => event,
        }
    }

    fn close(self: Arc<Self>, reason: CloseReason) {
        match reason {
            CloseReason::Displaced => self.expel(Problem::replaced()),
            CloseReason::TooSlow => {
                self.metrics.slow_consumers.inc(Slow::Events);
                self.close_transport();
            }
        }
    }
}
