//! Which TCP connection carries which Engine.IO session: to close one, it has to be found.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use axum::body::Body;
use axum::http::Request;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::lifecycle::Lifecycle;
use crate::listener::Connection;
use crate::socket::engine::EngineService;

/// Websockets opened for one session at once, of which the engine takes one. More are refused.
const MAX_CLAIMS: usize = 4;

/// The websockets opened for sessions that began with polling. A websocket session has its connection among the extensions of
/// its handshake. Which of several claims to a session the engine took is not known: to close the session, all are closed.
#[derive(Default)]
pub(super) struct Transports {
    claims: Mutex<HashMap<String, Vec<Weak<Connection>>>>,
    service: OnceLock<EngineService>,
}

impl Transports {
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
    pub(super) fn close_polling(&self, sid: &str, lifecycle: &Lifecycle) {
        const ENGINE_IO_CLOSE: &str = "1";
        let request = Request::post(format!("/socket.io/?EIO=4&transport=polling&sid={sid}"));
        if let (Some(service), Ok(request)) = (self.service.get().cloned(), request.body(Body::from(ENGINE_IO_CLOSE))) {
            lifecycle.spawn(async move {
                let _ = service.oneshot(request).await;
            });
        }
    }
}
