//! Ends connections whose token has expired: at once, or when the call they are in is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::ids::SessionId;
use crate::protocol::Problem;
use crate::socket::hub::Hub;
use crate::socket::session::Session;

/// How soon a client whose token has expired is looked at again, if it was in a call, or is still there.
const RECHECK: Duration = Duration::from_secs(1);
/// How often limits that are no longer needed are swept out.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Which session's token expires when.
#[derive(Default)]
pub(super) struct TokenExpiry {
    due: Mutex<BTreeSet<(Timestamp, SessionId)>>,
    earlier: Notify,
}

impl TokenExpiry {
    pub(super) fn add(&self, at: Timestamp, session: &SessionId) {
        let mut due = self.due.lock();
        due.insert((at, session.clone()));
        if due.first().is_some_and(|first| first.1 == *session) {
            self.earlier.notify_one();
        }
    }

    pub(super) fn remove(&self, at: Timestamp, session: &SessionId) {
        self.due.lock().remove(&(at, session.clone()));
    }

    /// Ends connections until the node stops.
    pub(super) async fn watch(&self, hub: &Arc<Hub>) {
        let mut swept_at = hub.clock.now();
        loop {
            let now = hub.clock.now();
            while let Some(session) = self.take_due(now) {
                if let Some(session) = hub.session(&session) {
                    self.expire(&session, now).await;
                }
            }
            if swept_at.plus(SWEEP_INTERVAL) <= now {
                swept_at = now;
                hub.limits.sweep();
            }
            let next = self.due.lock().first().map_or(Duration::MAX, |(at, _)| now.until(*at));
            // Waits for the next token to expire, for one that expires sooner, or for the node to stop.
            tokio::select! {
                _ = tokio::time::timeout(next.min(SWEEP_INTERVAL), self.earlier.notified()) => {}
                () = hub.lifecycle.stopping().cancelled() => return,
            }
        }
    }

    fn take_due(&self, now: Timestamp) -> Option<SessionId> {
        let mut due = self.due.lock();
        if due.first()?.0 > now {
            return None;
        }
        due.pop_first().map(|(_, session)| session)
    }

    async fn expire(&self, session: &Session, now: Timestamp) {
        let is_in_call = match session.actor() {
            Some(actor) => session.hub().switchboard.is_in_call(&actor).await.unwrap_or(true),
            None => false,
        };
        if is_in_call {
            self.add(now.plus(RECHECK), session.id());
            return;
        }
        // A fresh token may have come in meanwhile.
        if session.expires_at().is_some_and(|at| at <= now) {
            let _ = session.wire().emit("error", &Problem::token_expired());
            session.wire().close_after_flush();
            self.add(now.plus(RECHECK), session.id());
        }
    }
}
