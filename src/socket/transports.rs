//! Which TCP connection carries which Engine.IO session: to close one, it has to be found.

use std::collections::HashMap;
use std::sync::{OnceLock, Weak};

use axum::body::Body;
use axum::http::Request;
use parking_lot::Mutex;
use tower::ServiceExt;

use crate::lifecycle::Lifecycle;
use crate::listener::Connection;
use crate::socket::engine::EngineService;

/// Sessions that began with polling and were upgraded. The others have their connection among their handshake's extensions.
#[derive(Default)]
pub(super) struct Transports {
    upgraded: Mutex<HashMap<String, Weak<Connection>>>,
    service: OnceLock<EngineService>,
}

impl Transports {
    /// The session `sid` goes on over `connection`.
    pub(super) fn upgrade(&self, sid: &str, connection: Weak<Connection>) {
        let mut upgraded = self.upgraded.lock();
        if upgraded.len() == upgraded.capacity() {
            upgraded.retain(|_, connection| connection.strong_count() > 0);
        }
        upgraded.insert(sid.to_owned(), connection);
    }

    /// The connection that `sid` was upgraded to.
    pub(super) fn upgraded(&self, sid: &str) -> Option<Weak<Connection>> {
        self.upgraded.lock().get(sid).cloned()
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
