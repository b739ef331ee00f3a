//! Which TCP connection carries which Engine.IO session: to close one, it has to be found.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use axum::body::Body;
use axum::http::Request;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::listener::Connection;
use crate::socket::engine::EngineService;

/// Websockets opened for one session at once, of which the engine takes one. More are refused.
const MAX_CLAIMS: usize = 4;

/// The connections of sessions: of those that began as a websocket, and the websockets opened for those that began with polling.
/// Which of several claims to a session the engine took is not known: to close the session, all are closed.
#[derive(Default)]
pub(super) struct Transports {
    claims: Mutex<HashMap<String, Vec<Weak<Connection>>>>,
    /// Websockets whose client has not said who it is yet, by a number that its request carries.
    opened: Mutex<HashMap<u64, Weak<Connection>>>,
    last_opened: AtomicU64,
    service: OnceLock<EngineService>,
}

impl Transports {
    /// Notes that a session is about to begin over `connection`. The number finds it again, once: kept among the extensions of
    /// the request, it would cost each session 200 bytes for as long as it lives.
    pub(super) fn open(&self, connection: &Weak<Connection>) -> u64 {
        let number = self.last_opened.fetch_add(1, Ordering::Relaxed);
        let mut opened = self.opened.lock();
        if opened.len() == opened.capacity() {
            opened.retain(|_, connection| connection.strong_count() > 0);
        }
        opened.insert(number, connection.clone());
        number
    }

    /// The client that was found over `connection` has left, and may come back over it under the same number.
    pub(super) fn reopen(&self, number: u64, connection: &Weak<Connection>) {
        self.opened.lock().insert(number, connection.clone());
    }

    /// The connection that was opened under `number`.
    pub(super) fn take_opened(&self, number: u64) -> Option<Arc<Connection>> {
        self.opened.lock().remove(&number)?.upgrade()
    }

    /// Notes that `connection` wants to carry the session `sid`. Whether there is room for one more that does.
    pub(super) fn claim(&self, sid: &str, connection: &Weak<Connection>) -> bool {
        let mut claims = self.claims.lock();
        if claims.len() == claims.capacity() {
            claims.retain(|_, connections| connections.iter().any(|connection| connection.strong_count() > 0));
        }
        let connections = claims.entry(sid.to_owned()).or_default();
        connections.retain(|connection| connection.strong_count() > 0);
        if connections.len() >= MAX_CLAIMS {
            return false;
        }
        connections.push(connection.clone());
        true
    }

    /// The connections that may carry the session `sid`, beside that of its handshake.
    pub(super) fn claimed(&self, sid: &str) -> Vec<Arc<Connection>> {
        let claims = self.claims.lock();
        claims.get(sid).map(|claims| claims.iter().filter_map(Weak::upgrade).collect()).unwrap_or_default()
    }

    /// The engine, for [`Transports::close_polling`].
    pub(super) fn set_service(&self, service: EngineService) {
        let _ = self.service.set(service);
    }

    /// Ends the session `sid`, which polls, as if its client had asked for it: the engine offers no other way.
    pub(super) fn close_polling(&self, sid: &str) -> impl Future<Output = ()> + use<> {
        const ENGINE_IO_CLOSE: &str = "1";
        let request = Request::post(format!("/socket.io/?EIO=4&transport=polling&sid={sid}"));
        let ready = self.service.get().cloned().zip(request.body(Body::from(ENGINE_IO_CLOSE)).ok());
        async move {
            if let Some((service, request)) = ready {
                let _ = service.oneshot(request).await;
            }
        }
    }
}
