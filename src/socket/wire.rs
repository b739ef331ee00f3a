//! The sending side of one socket: events out, the last signs of life, and three ways to end it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;
use socketioxide::socket::Socket;

use crate::backplane::Payload;
use crate::clock::Timestamp;
use crate::ids::{EventId, SessionId};
use crate::lifecycle::Lifecycle;
use crate::listener::Connection;
use crate::protocol::{Problem, ServerEvent};
use crate::socket::attachments::WithAttachments;
use crate::socket::transports::Transports;
use crate::switchboard::{CloseReason, Full, Heard, Outlet};

/// How long a client that was told to leave may take to hang up.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// How long what was sent last may take to leave.
const FLUSH_WITHIN: Duration = Duration::from_millis(100);

/// Speaks to one client.
pub(super) struct Wire {
    id: SessionId,
    socket: Weak<Socket>,
    handshake: Option<Weak<Connection>>,
    transports: Arc<Transports>,
    lifecycle: Lifecycle,
    events: AtomicU64,
    last_event_at: AtomicU64,
}

impl Wire {
    pub(super) fn new(id: SessionId, socket: &Arc<Socket>, transports: Arc<Transports>, lifecycle: Lifecycle) -> Self {
        let handshake = socket.req_parts().extensions.get::<Weak<Connection>>().cloned();
        Self {
            id,
            socket: Arc::downgrade(socket),
            handshake,
            transports,
            lifecycle,
            events: AtomicU64::new(0),
            last_event_at: AtomicU64::new(0),
        }
    }

    /// Sends an event.
    pub(super) fn emit(&self, name: &str, body: &impl Serialize) -> Result<(), Full> {
        self.socket.upgrade().ok_or(Full)?.emit(name, body).map_err(|_| Full)
    }

    /// An event has come from the client.
    pub(super) fn note_event(&self, now: Timestamp) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.last_event_at.store(now.0, Ordering::Relaxed);
    }

    /// Says why, and asks the client to leave for good: it does not come back by itself.
    pub(super) fn expel(&self, problem: &Problem) {
        let _ = self.emit("error", problem);
        let is_told = self.socket.upgrade().is_some_and(|socket| socket.disconnect().is_ok());
        if !is_told {
            self.close_transport();
            return;
        }
        self.close_within(LEAVE_WITHIN);
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

    /// Closes the connection of a client that does not hang up itself.
    fn close_within(&self, time: Duration) {
        let connection = self.connection();
        let stopping = self.lifecycle.stopping().clone();
        self.lifecycle.spawn(async move {
            // Waits for the client, or for the node to stop.
            let _ = tokio::time::timeout(time, stopping.cancelled()).await;
            if let Some(connection) = connection.and_then(|connection| connection.upgrade()) {
                connection.close();
            }
        });
    }

    /// Cuts the client off so that it comes back by itself.
    pub(super) fn close_transport(&self) {
        if let Some(connection) = self.websocket() {
            connection.close();
        } else {
            self.transports.close_polling(self.id.as_str(), &self.lifecycle);
        }
    }

    fn connection(&self) -> Option<Weak<Connection>> {
        self.transports.upgraded(self.id.as_str()).or_else(|| self.handshake.clone())
    }

    /// The connection of a client that is on a websocket.
    fn websocket(&self) -> Option<Arc<Connection>> {
        let is_websocket = self
            .socket
            .upgrade()
            .is_some_and(|socket| socket.transport_type() == socketioxide::TransportType::Websocket);
        if is_websocket { self.connection()?.upgrade() } else { None }
    }
}

impl Outlet for Wire {
    fn send(&self, id: EventId, payload: &Payload) -> Result<(), Full> {
        let event = match payload {
            Payload::Notice(notice) => ServerEvent::notice(id, notice),
            Payload::Signal(signal) => ServerEvent::signal(id, signal),
        };
        match event.media.map(crate::protocol::Media::attachments) {
            Some(attachments) if !attachments.is_empty() => {
                let body = WithAttachments::new(&event.body, attachments).map_err(|_| Full)?;
                self.emit(event.name, &body)
            }
            _ => self.emit(event.name, &event.body),
        }
    }

    fn heard(&self) -> Heard {
        let event = Heard {
            times: self.events.load(Ordering::Relaxed),
            at: Timestamp(self.last_event_at.load(Ordering::Relaxed)),
        };
        match self.handshake.as_ref().and_then(Weak::upgrade) {
            Some(connection) => {
                Heard { times: event.times + connection.reads(), at: event.at.max(connection.last_read_at()) }
            }
            None => event,
        }
    }

    fn close(&self, reason: CloseReason) {
        match reason {
            CloseReason::Displaced => self.expel(&Problem::replaced()),
            CloseReason::TooSlow => self.close_transport(),
        }
    }
}
