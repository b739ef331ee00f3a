//! ICE servers over the socket: on request, and again in a call before the credentials that a device has expire.
//!
//! [`IceRenewals`] knows when which socket of this node is next in turn. Nothing is called off when a call ends: whoever is in
//! turn is looked at, and is sent nothing unless its device is in an accepted call then.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use crate::call::{Actor, Text};
use crate::clock::Timestamp;
use crate::ids::{SessionId, UserId};
use crate::protocol::{FreshIceServers, IceServersAck};
use crate::socket::hub::Hub;
use crate::socket::session::Session;
use crate::switchboard::Unsent;
use crate::turn::{ANONYMOUS, Region};

/// How many sockets are looked at at a time.
const BATCH: usize = 64;
/// When a client whose queue is full is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Longest wait without a look at the clock, which may be put right meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Session {
    /// The answer to `get_ice_servers`.
    pub(super) fn give_ice_servers(&self, region: Option<&Text>) -> IceServersAck<impl Serialize + use<>> {
        let servers = &self.hub().ice_servers;
        let region = servers.region(region.map(Text::as_str));
        let given = match self.turn_user() {
            Some(user) => {
                self.hub().ice_renewals.given(self.id(), region, self.hub().clock.now());
                servers.for_user(&user, region)
            }
            None => servers.stun_only(),
        };
        IceServersAck::new(given, servers.ttl())
    }

    /// The device has answered a call, or may have.
    pub(super) fn note_in_call(&self) {
        // A socket without a seat is told nothing about calls; when it takes one it is seen which call it is in.
        if self.seat().is_some() {
            self.hub().ice_renewals.in_call(self.id(), self.hub().clock.now());
        }
    }

    /// Whom TURN credentials are made out to: the user of the token, or, where TURN is public, anybody. `None` if there are none
    /// for this client.
    fn turn_user(&self) -> Option<String> {
        if let Some(user) = self.token_user() {
            return Some(user.as_str().to_owned());
        }
        let claimed =
            || self.claimed_user().map_or_else(|| ANONYMOUS.to_owned(), |user: UserId| user.as_str().to_owned());
        self.hub().ice_servers.is_public().then(claimed)
    }

    /// Sends fresh servers if they are of use.
    async fn renew_ice_servers(self: Arc<Self>, region: Region) {
        let (Some(user), Some(seat)) = (self.turn_user(), self.seat()) else { return };
        let hub = self.hub();
        let actor = Actor { user: seat.user().clone(), device: seat.device().clone(), registered: true };
        // While nobody can say, it counts as in a call: fresh servers do no harm.
        if !hub.switchboard.is_in_accepted_call(&actor).await.unwrap_or(true) {
            return;
        }
        let list = FreshIceServers::new(hub.ice_servers.for_user(&user, region), hub.ice_servers.ttl());
        let now = hub.clock.now();
        match self.wire().emit("ice_servers", &list) {
            Ok(()) => hub.ice_renewals.renewed(self.id(), region, now),
            Err(Unsent::Full) => hub.ice_renewals.retry(self.id(), now.plus(RETRY_AFTER)),
            Err(Unsent::Gone) => {}
        }
    }
}

/// Which socket gets fresh ICE servers when.
pub(super) struct IceRenewals {
    /// How long after credentials were handed out fresh ones are due; `None` where none ever are.
    period: Option<Duration>,
    state: Mutex<State>,
    earlier: Notify,
}

#[derive(Default)]
struct State {
    /// Of every socket that got credentials here, or may be in a call. No more than there are sockets.
    sockets: HashMap<SessionId, Renewal>,
    due: BTreeSet<(Timestamp, SessionId)>,
}

/// What is known of one socket.
#[derive(Clone, Copy, Default)]
struct Renewal {
    /// The region it asked for last.
    region: Region,
    /// When it last got credentials over the socket.
    given_at: Option<Timestamp>,
    /// When it is in turn; `None` while it is in no call.
    due: Option<Timestamp>,
}

impl IceRenewals {
    /// Nobody is in turn yet.
    pub(super) fn new(period: Option<Duration>) -> Self {
        Self { period, state: Mutex::default(), earlier: Notify::new() }
    }

    /// The socket was given credentials because it asked for them.
    fn given(&self, session: &SessionId, region: Region, now: Timestamp) {
        self.update(session, |renewal, period| Renewal {
            region,
            given_at: Some(now),
            due: renewal.due.map(|_| now.plus(period)),
        });
    }

    /// The device of the socket was sent fresh credentials, being in a call.
    fn renewed(&self, session: &SessionId, region: Region, now: Timestamp) {
        self.update(session, |_, period| Renewal { region, given_at: Some(now), due: Some(now.plus(period)) });
    }

    /// The device of the socket is in a call that was accepted at `since`, or may be. Unless the socket got credentials here,
    /// the app is taken to have got them then.
    pub(super) fn in_call(&self, session: &SessionId, since: Timestamp) {
        self.update(session, |renewal, period| {
            let due = renewal.given_at.unwrap_or(since).plus(period);
            // The earlier counts: too early does no harm.
            Renewal { due: Some(renewal.due.map_or(due, |other| other.min(due))), ..renewal }
        });
    }

    fn retry(&self, session: &SessionId, at: Timestamp) {
        self.update(session, |renewal, _| Renewal { due: Some(at), ..renewal });
    }

    /// The socket is gone.
    pub(super) fn forget(&self, session: &SessionId) {
        let mut state = self.state.lock();
        if let Some(Renewal { due: Some(due), .. }) = state.sockets.remove(session) {
            state.due.remove(&(due, session.clone()));
        }
        if state.sockets.len() * 4 < state.sockets.capacity() {
            let in_use = state.sockets.len();
            state.sockets.shrink_to(in_use * 2);
        }
    }

    fn update(&self, session: &SessionId, change: impl FnOnce(Renewal, Duration) -> Renewal) {
        let Some(period) = self.period else { return };
        let mut state = self.state.lock();
        let before = state.sockets.get(session).copied().unwrap_or_default();
        let after = change(before, period);
        state.sockets.insert(session.clone(), after);
        if let Some(due) = before.due {
            state.due.remove(&(due, session.clone()));
        }
        if let Some(due) = after.due {
            state.due.insert((due, session.clone()));
            if state.due.first().is_some_and(|first| first.1 == *session) {
                self.earlier.notify_one();
            }
        }
    }

    /// Takes out sockets that are in turn at `now`, some at a time.
    fn take_due(&self, now: Timestamp) -> Vec<(SessionId, Region)> {
        let mut state = self.state.lock();
        let mut taken = Vec::new();
        while taken.len() < BATCH && state.due.first().is_some_and(|first| first.0 <= now) {
            let Some((_, session)) = state.due.pop_first() else { break };
            let renewal = state.sockets.entry(session.clone()).or_default();
            renewal.due = None;
            taken.push((session, renewal.region));
        }
        taken
    }

    /// All who may be in a call are in turn at once: what they have may not be good for long.
    fn hasten(&self, now: Timestamp) {
        let mut state = self.state.lock();
        let State { sockets, due } = &mut *state;
        for (session, renewal) in sockets.iter_mut().filter(|(_, renewal)| renewal.due.is_some()) {
            renewal.due = renewal.due.map(|at| at.min(now));
            due.insert((now, session.clone()));
        }
        due.retain(|(at, session)| sockets.get(session).is_some_and(|renewal| renewal.due == Some(*at)));
    }

    /// Sends fresh servers to those in turn until the node stops.
    pub(super) async fn watch(&self, hub: &Arc<Hub>) {
        loop {
            let now = hub.clock.now();
            loop {
                let batch = self.take_due(now);
                if batch.is_empty() {
                    break;
                }
                let mut renewals = Vec::with_capacity(batch.len());
                for (id, region) in batch {
                    if let Some(session) = hub.session(&id) {
                        renewals.push(session.renew_ice_servers(region));
                    } else {
                        self.forget(&id);
                    }
                }
                join_all(renewals).await;
            }
            let next = self.state.lock().due.first().map_or(LOOK_EVERY, |(at, _)| now.until(*at));
            // Waits for the next in turn, for one that is so sooner, for a new secret, or for the node to stop.
            tokio::select! {
                _ = tokio::time::timeout(next.min(LOOK_EVERY), self.earlier.notified()) => {}
                () = hub.ice_servers.rotation() => self.hasten(hub.clock.now()),
                () = hub.lifecycle.stopping().cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::turn::IceServers;

    const PERIOD: Duration = Duration::from_secs(60);
    const START: Timestamp = Timestamp(1_700_000_000_000);

    fn id(name: &str) -> SessionId {
        SessionId::parse(name).unwrap()
    }

    fn after(seconds: u64) -> Timestamp {
        START.plus(Duration::from_secs(seconds))
    }

    fn eu() -> Region {
        let vars = [("TURN_SERVER_URL", "turn:a"), ("TURN_STATIC_SECRET", "s"), ("TURN_REGIONS", "eu=turn:b")];
        IceServers::new(&Config::from_vars(vars).unwrap().ice, Clock::system()).region(Some("eu"))
    }

    /// Who is in turn so many seconds after the start.
    fn due(renewals: &IceRenewals, seconds: u64) -> Vec<String> {
        renewals.take_due(after(seconds)).into_iter().map(|(id, _)| id.as_str().to_owned()).collect()
    }

    #[test]
    fn a_device_in_a_call_is_in_turn_until_it_is_found_in_none() {
        let renewals = IceRenewals::new(Some(PERIOD));
        renewals.in_call(&id("a"), START);
        assert_eq!(due(&renewals, 59), [""; 0]);
        assert_eq!(due(&renewals, 60), ["a"]);
        renewals.renewed(&id("a"), Region::default(), after(60));
        assert_eq!(due(&renewals, 119), [""; 0]);
        assert_eq!(due(&renewals, 120), ["a"]);
        // It was in no call.
        assert_eq!(due(&renewals, 10_000), [""; 0]);
    }

    #[test]
    fn what_a_socket_got_here_counts_from_then() {
        let renewals = IceRenewals::new(Some(PERIOD));
        renewals.given(&id("a"), eu(), START);
        assert_eq!(due(&renewals, 1000), [""; 0], "it is in no call");
        renewals.in_call(&id("a"), after(50));
        assert_eq!(renewals.take_due(after(60)), [(id("a"), eu())]);
        renewals.in_call(&id("a"), after(500));
        assert_eq!(due(&renewals, 500), ["a"], "what it got is too old");
        renewals.renewed(&id("a"), eu(), after(500));
        renewals.given(&id("a"), Region::default(), after(530));
        assert_eq!(due(&renewals, 589), [""; 0]);
        assert_eq!(renewals.take_due(after(590)), [(id("a"), Region::default())]);
    }

    #[test]
    fn of_two_reasons_the_earlier_counts() {
        let renewals = IceRenewals::new(Some(PERIOD));
        renewals.in_call(&id("a"), after(10));
        renewals.in_call(&id("a"), START);
        renewals.in_call(&id("a"), after(50));
        assert_eq!(due(&renewals, 60), ["a"]);
        assert_eq!(due(&renewals, 1000), [""; 0]);
    }

    #[test]
    fn a_new_secret_hastens_those_in_calls_and_no_others() {
        let renewals = IceRenewals::new(Some(PERIOD));
        renewals.in_call(&id("a"), START);
        renewals.in_call(&id("b"), after(30));
        renewals.given(&id("c"), Region::default(), START);
        renewals.hasten(after(70));
        assert_eq!(due(&renewals, 70), ["a", "b"]);
        assert_eq!(due(&renewals, 1000), [""; 0]);
    }

    #[test]
    fn who_is_gone_leaves_nothing() {
        let renewals = IceRenewals::new(Some(PERIOD));
        renewals.in_call(&id("a"), START);
        renewals.given(&id("b"), Region::default(), START);
        renewals.forget(&id("a"));
        renewals.forget(&id("b"));
        renewals.forget(&id("never there"));
        let state = renewals.state.lock();
        assert!(state.sockets.is_empty() && state.due.is_empty());
    }

    #[test]
    fn as_many_as_there_are_come_some_at_a_time() {
        let renewals = IceRenewals::new(Some(PERIOD));
        for number in 0..=BATCH {
            renewals.in_call(&id(&format!("s{number}")), START);
        }
        assert_eq!([due(&renewals, 60).len(), due(&renewals, 60).len(), due(&renewals, 60).len()], [BATCH, 1, 0]);
    }

    #[test]
    fn where_nothing_expires_nobody_is_in_turn() {
        let renewals = IceRenewals::new(None);
        renewals.in_call(&id("a"), START);
        renewals.given(&id("a"), eu(), START);
        assert!(due(&renewals, 1_000_000).is_empty() && renewals.state.lock().sockets.is_empty());
    }
}
