//! Which requests are told of: those that concern a call.

use futures_util::future::Either;

use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::protocol::{ClientEvent, EndTarget, SignalRequest};
use crate::socket::reply::Reply;
use crate::socket::session::Session;
use crate::traces::Scope;

impl Session {
    /// Deals with a request that came at `came_at` and answers it; told of, if its call is traced.
    pub(super) fn serve_traced(
        &self,
        event: ClientEvent,
        reply: Reply,
        came_at: Timestamp,
    ) -> impl Future<Output = ()> + Send {
        let scope = self.scope(&event, came_at);
        let serving = self.serve(event, reply, self.time_left(came_at));
        match scope {
            // Boxed: others are not to carry its room.
            Some(scope) => Either::Left(Box::pin(scope.run(serving))),
            None => Either::Right(serving),
        }
    }

    fn scope(&self, event: &ClientEvent, came_at: Timestamp) -> Option<Scope> {
        let traces = self.hub().switchboard.traces();
        if !traces.is_on() {
            return None;
        }
        traces.request(event.name(), call_of(event)?, came_at)
    }
}

/// Which call a request concerns, one that it is to begin perhaps; `None` if none.
#[expect(clippy::option_option, reason = "no call, and one that has no id yet")]
fn call_of(event: &ClientEvent) -> Option<Option<CallId>> {
    match event {
        ClientEvent::Initiate(_) => Some(None),
        ClientEvent::Accept(call) | ClientEvent::Reject(call, _) => Some(Some(*call)),
        ClientEvent::End(EndTarget { call, .. }, _) => Some(Some((*call)?)),
        ClientEvent::Signal(SignalRequest { call_id, .. }) => Some(Some(*call_id)),
        ClientEvent::Ping
        | ClientEvent::Pong
        | ClientEvent::Register(_)
        | ClientEvent::Unregister
        | ClientEvent::TokenRefresh(_)
        | ClientEvent::GetIceServers(_) => None,
    }
}
