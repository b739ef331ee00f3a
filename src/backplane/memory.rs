//! The embedded backplane: everything in this process, under one lock, gone with it.
//!
//! One lock makes a commit atomic and keeps every user's messages in order: they are handed to the receivers before it is let
//! go. Nothing is awaited under it.

mod calls;
mod feed;
mod inbox;
#[cfg(test)]
mod tests;
mod timelines;
mod users;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backplane::{
    Abandoned, Attached, Backed, Backlog, Calls, Commit, Committed, Device, Directory, Due, Expected, Feed, FeedBounds,
    Lines, LiveCalls, Outgoing, Position, Prospect, Receiver, Registration, Renewed, Sent, Stored, TimelineBounds,
    Timelines, Unavailable, Untold, Version,
};
use crate::call::Turn;
use crate::clock::{Clock, Timestamp};
use crate::ids::{CallId, DeviceId, EventId, PushToken, PushTokenKind, RequestId, SessionId, UserId};
use crate::metrics::FoundBy;
use crate::timeline::{Entry, Note};

use calls::Records;
use users::Users;

/// How often what nobody needs any more is swept out.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// How long a call that was due and not dealt with is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct MemoryConfig {
    /// Messages per user; beyond it the oldest signals go first, then what only a live call needs, then the oldest ends.
    pub inbox_messages: usize,
    /// Bytes per user, likewise.
    pub inbox_bytes: usize,
    /// How long a message, a device that is gone and a request id are remembered.
    pub inbox_ttl: Duration,
    /// How long a call that is over can still be asked about.
    pub over_ttl: Duration,
    /// How much of what is to be told is kept; nothing if `None`.
    pub feed: Option<FeedBounds>,
    /// How much is kept of timelines; nothing if `None`.
    pub timelines: Option<TimelineBounds>,
}

/// The state that the nodes of one process share.
pub struct Memory {
    state: Mutex<State>,
    deadline_moved: Notify,
    fed: Notify,
    clock: Clock,
    config: MemoryConfig,
}

struct State {
    records: Records,
    users: Users,
    requests: HashMap<(UserId, RequestId), (CallId, Timestamp)>,
    deadlines: BTreeSet<(Timestamp, CallId)>,
    feed: feed::Feed,
    timelines: timelines::Timelines,
    swept_at: Timestamp,
}

/// One node's connection to [`Memory`].
pub struct Node {
    memory: Arc<Memory>,
    receiver: Arc<dyn Receiver>,
}

impl Memory {
    /// An empty one.
    pub fn new(clock: Clock, config: MemoryConfig) -> Arc<Self> {
        let state = State {
            records: Records::default(),
            users: Users::default(),
            requests: HashMap::new(),
            deadlines: BTreeSet::new(),
            feed: feed::Feed::new(config.feed),
            timelines: timelines::Timelines::new(config.timelines),
            swept_at: clock.now(),
        };
        Arc::new(Self { state: Mutex::new(state), deadline_moved: Notify::new(), fed: Notify::new(), clock, config })
    }

    /// A node whose messages come out at `receiver`.
    pub fn node(self: &Arc<Self>, receiver: Arc<dyn Receiver>) -> Node {
        Node { memory: self.clone(), receiver }
    }

    /// The calls that are due, or else the moment to look again.
    fn take_due(&self, limit: usize) -> Result<Vec<CallId>, Timestamp> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.sweep(now, &self.config);
        let due: Vec<_> = state.deadlines.iter().take_while(|(at, _)| *at <= now).take(limit).copied().collect();
        if due.is_empty() {
            let next = state.deadlines.first().map_or(Timestamp(u64::MAX), |(at, _)| *at);
            return Err(next.min(now.plus(SWEEP_INTERVAL)));
        }
        for &(at, id) in &due {
            state.deadlines.remove(&(at, id));
            state.deadlines.insert((now.plus(RETRY_AFTER), id));
            state.records.set_deadline(id, Some(now.plus(RETRY_AFTER)));
        }
        Ok(due.into_iter().map(|(_, id)| id).collect())
    }

    /// What is to be told, or else the moment to look again.
    fn take_untold(&self, limit: usize, lease: Duration) -> Result<Vec<Untold>, Timestamp> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.sweep(now, &self.config);
        let taken = state.feed.take(limit, now, now.plus(lease));
        taken.map_err(|next| next.unwrap_or(Timestamp(u64::MAX)).min(now.plus(SWEEP_INTERVAL)))
    }
}

impl State {
    fn sweep(&mut self, now: Timestamp, config: &MemoryConfig) {
        if now < self.swept_at.plus(SWEEP_INTERVAL) {
            return;
        }
        self.swept_at = now;
        self.records.sweep(now);
        self.users.sweep(now, config.inbox_ttl);
        self.feed.sweep(now);
        self.timelines.sweep(now);
        self.requests.retain(|_, (_, until)| now < *until);
    }

    fn move_deadline(&mut self, id: CallId, before: Option<Timestamp>, after: Option<Timestamp>) {
        if let Some(before) = before {
            self.deadlines.remove(&(before, id));
        }
        if let Some(after) = after {
            self.deadlines.insert((after, id));
        }
    }
}

#[async_trait]
impl Calls for Node {
    fn recall(&self, id: CallId) -> Option<Stored> {
        self.memory.state.lock().records.get(id)
    }

    async fn load(&self, id: CallId) -> Result<Option<Stored>, Unavailable> {
        Ok(self.memory.state.lock().records.get(id))
    }

    async fn live_calls(&self, user: &UserId) -> Result<LiveCalls, Unavailable> {
        let state = self.memory.state.lock();
        Ok(state.users.live_calls(user, &state.records))
    }

    async fn prospect(
        &self,
        caller: &UserId,
        callee: &UserId,
        request: Option<&RequestId>,
    ) -> Result<Prospect, Unavailable> {
        let state = self.memory.state.lock();
        let State { records, users, requests, .. } = &*state;
        let made = |request: &RequestId| requests.get(&(caller.clone(), request.clone())).map(|(id, _)| *id);
        Ok(Prospect {
            repeated: request.and_then(made),
            caller_calls: users.live_calls(caller, records),
            callee_calls: users.live_calls(callee, records),
            callee_devices: users.devices(callee),
        })
    }

    async fn commit(&self, mut commit: Commit) -> Result<Committed, Unavailable> {
        let now = self.memory.clock.now();
        let (call, begins) = (commit.call.id, matches!(commit.expected, Expected::New { .. }));
        let until = commit.call.deadline().map_or(now, |deadline| deadline.max(now));
        let milestones = std::mem::take(&mut commit.milestones);
        let entries = std::mem::take(&mut commit.entries);
        let mut state = self.memory.state.lock();
        let next = state.deadlines.first().copied();
        let outcome = state.commit(commit, now, &self.memory.config);
        let is_earlier = state.deadlines.first().is_some_and(|first| next.is_none_or(|next| *first < next));
        let mut is_fed = false;
        if outcome == Committed::Done {
            state.timelines.commit(call, &entries, begins, until);
            is_fed = state.feed.keep(call, milestones, now);
        }
        drop(state);
        if is_fed {
            self.memory.fed.notify_one();
        }
        if is_earlier {
            self.memory.deadline_moved.notify_one();
        }
        Ok(outcome)
    }

    async fn due(&self, limit: usize) -> Result<Vec<Due>, Unavailable> {
        loop {
            let look_again = match self.memory.take_due(limit) {
                Ok(due) => {
                    let named = |call| Due { call, found_by: FoundBy::Timer };
                    return Ok(due.into_iter().map(named).collect());
                }
                Err(look_again) => look_again,
            };
            // Waits for the next deadline, or for an earlier one to be set.
            let wait = self.memory.clock.now().until(look_again);
            let _ = tokio::time::timeout(wait, self.memory.deadline_moved.notified()).await;
        }
    }
}

#[async_trait]
impl Directory for Node {
    async fn attach(&self, registration: Registration) -> Result<Attached, Unavailable> {
        let mut state = self.memory.state.lock();
        let State { users, records, .. } = &mut *state;
        Ok(users.attach(registration, &self.receiver, records))
    }

    async fn renew(&self, _: &Registration, _: &DeviceId, _: Position) -> Result<Renewed, Unavailable> {
        // Nothing is lost, and a session that is displaced is told at once.
        Ok(Renewed::Held)
    }

    async fn forget_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        kind: PushTokenKind,
        token: &PushToken,
    ) -> Result<(), Unavailable> {
        self.memory.state.lock().users.forget_token(user, device, kind, token);
        Ok(())
    }

    async fn note_unregistered(&self, _: &UserId, _: &SessionId) -> Result<(), Unavailable> {
        // If the node dies nothing is left that could miss it.
        Ok(())
    }

    async fn detach(
        &self,
        user: &UserId,
        session: &SessionId,
        position: Position,
    ) -> Result<Option<DeviceId>, Unavailable> {
        let now = self.memory.clock.now();
        Ok(self.memory.state.lock().users.detach(user, session, position, now))
    }

    async fn forget(&self, user: &UserId, session: &SessionId) -> Result<Option<DeviceId>, Unavailable> {
        Ok(self.memory.state.lock().users.forget(user, session))
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, Unavailable> {
        Ok(self.memory.state.lock().users.devices(user))
    }

    async fn abandoned(&self, _: usize) -> Result<Vec<Abandoned>, Unavailable> {
        // The nodes of one process die together.
        std::future::pending().await
    }

    async fn bury(&self, _: &Abandoned) -> Result<(), Unavailable> {
        Ok(())
    }

    fn may_count_absence(&self) -> bool {
        true
    }
}

#[async_trait]
impl Lines for Node {
    async fn subscribe(&self, user: &UserId) -> Result<(), Unavailable> {
        let now = self.memory.clock.now();
        self.memory.state.lock().users.subscribe(user, &self.receiver, now);
        Ok(())
    }

    async fn unsubscribe(&self, user: &UserId) {
        self.memory.state.lock().users.unsubscribe(user, &self.receiver);
    }

    async fn send(&self, outgoing: Outgoing, upon: Option<(CallId, Version)>) -> Result<Sent, Unavailable> {
        let now = self.memory.clock.now();
        let mut state = self.memory.state.lock();
        if upon.is_some_and(|(call, version)| state.records.get(call).is_none_or(|stored| stored.version != version)) {
            return Ok(Sent::Stale);
        }
        state.users.send(outgoing, now, &self.memory.config);
        Ok(Sent::Done)
    }

    async fn read(&self, user: &UserId, after: EventId) -> Result<Backlog, Unavailable> {
        let state = self.memory.state.lock();
        Ok(state.users.read(user, after, &state.records))
    }
}

#[async_trait]
impl Feed for Node {
    async fn take_untold(&self, limit: usize, lease: Duration) -> Result<Vec<Untold>, Unavailable> {
        if self.memory.config.feed.is_none() {
            return std::future::pending().await;
        }
        loop {
            let look_again = match self.memory.take_untold(limit, lease) {
                Ok(untold) => return Ok(untold),
                Err(look_again) => look_again,
            };
            // Waits for the next one to be due, or for another one to come.
            let wait = self.memory.clock.now().until(look_again);
            let _ = tokio::time::timeout(wait, self.memory.fed.notified()).await;
        }
    }

    async fn told(&self, call: CallId, through: Turn) -> Result<(), Unavailable> {
        let now = self.memory.clock.now();
        self.memory.state.lock().feed.told(call, through, now);
        self.memory.fed.notify_one();
        Ok(())
    }

    async fn put_off(&self, call: CallId, until: Timestamp) -> Result<(), Unavailable> {
        self.memory.state.lock().feed.set_due(call, until);
        self.memory.fed.notify_one();
        Ok(())
    }

    async fn untold(&self) -> Result<Backed, Unavailable> {
        Ok(self.memory.state.lock().feed.backed())
    }
}

#[async_trait]
impl Timelines for Node {
    async fn note(&self, notes: Vec<Note>) -> Result<usize, Unavailable> {
        Ok(self.memory.state.lock().timelines.append(notes))
    }

    async fn timeline(&self, call: CallId) -> Result<Vec<Entry>, Unavailable> {
        let now = self.memory.clock.now();
        Ok(self.memory.state.lock().timelines.get(call, now))
    }
}
