//! Remembers calls, devices and what was sent; carries messages from the node that sends to the nodes that hold the recipient.
//!
//! Small traits: [`Calls`] keeps the records and changes them by compare-and-set, [`Directory`] knows which devices a user has and
//! where they are connected, [`Lines`] brings messages to users; [`Feed`] keeps what is to be told to others of calls, and
//! [`Timelines`] what happened to them. [`Memory`] is all of them inside one process. Whatever stands behind them has to pass the one
//! conformance suite.
//!
//! What it does not do: it does not know what ringing means. It is told what to keep, when to speak up, and whom to tell.

#[cfg(test)]
mod conformance;
mod feed;
mod memory;
mod message;
mod metered;
mod redis;
mod timelines;

use async_trait::async_trait;

pub use self::redis::{Redis, Retention, examine as examine_redis};
pub use feed::{Backed, Feed, FeedBounds, Untold};
pub use memory::{Memory, MemoryConfig, Node};
pub use message::{Delivery, Outgoing, Payload};
pub use metered::{Metered, MeteredReceiver};
pub use timelines::{TimelineBounds, Timelines};

use std::sync::Arc;
use std::time::Duration;

use crate::call::{Call, Milestone, Text};
use crate::clock::Timestamp;
use crate::ids::{
    CallId, DeviceId, EventId, NodeId, PushToken, PushTokenKind, PushTokens, RequestId, SessionId, UserId,
};
use crate::metrics::FoundBy;
use crate::timeline::Entry;

/// How long a device that stays away is remembered when a push can wake it: as long as the reference server kept tokens.
const PUSH_TOKEN_TTL: Duration = Duration::from_secs(30 * 86_400);

/// Why nothing can be done at present. The same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backplane cannot be reached")]
pub struct Unavailable;

/// Which change of a record this is; compared, never interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u64);

/// A call as it is kept.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The call.
    pub call: Arc<Call>,
    /// Which change of it this is.
    pub version: Version,
}

/// The live calls of one user.
#[derive(Clone, Debug)]
pub struct LiveCalls {
    /// The calls, oldest first.
    pub calls: Vec<Stored>,
    /// Which change of the list this is.
    pub version: Version,
}

/// What a new call is decided upon.
#[derive(Clone, Debug)]
pub struct Prospect {
    /// The call that the caller made under the same request id before.
    pub repeated: Option<CallId>,
    /// The live calls of the caller.
    pub caller_calls: LiveCalls,
    /// The live calls of the callee.
    pub callee_calls: LiveCalls,
    /// The devices of the callee.
    pub callee_devices: Vec<Device>,
}

/// What a change is made upon. If it is not so any more, nothing is changed.
#[derive(Clone, Debug)]
pub enum Expected {
    /// The call is at this version.
    Version(Version),
    /// There is no such call, the lists of live calls of both parties are at these versions, and the caller has made no call
    /// under this request id.
    New {
        /// Of [`LiveCalls`] of the callee.
        callee_calls: Version,
        /// Of [`LiveCalls`] of the caller.
        caller_calls: Version,
    },
}

/// A change of a call, with everything that has to happen together with it.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What it is made upon.
    pub expected: Expected,
    /// The call afterwards. Its deadline and its parties' lists of live calls follow from it.
    pub call: Arc<Call>,
    /// What is sent because of it.
    pub outbox: Vec<Outgoing>,
    /// What the call comes to by it, for the [feed](Feed).
    pub milestones: Vec<Milestone>,
    /// What its timeline says of that.
    pub entries: Vec<Entry>,
}

/// What came of a [`Commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// All of it was done.
    Done,
    /// Somebody was faster; nothing was done.
    Lost,
    /// The caller had made this call under the same request id before; nothing was done.
    Repeated(CallId),
}

/// A call whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The call.
    pub call: CallId,
    /// How this node knows.
    pub found_by: FoundBy,
}

/// Keeps the calls.
#[async_trait]
pub trait Calls: Send + Sync {
    /// The call as this node saw it last. Costs nothing, and may be out of date: good enough to decide what is then committed, or
    /// sent, upon its version.
    fn recall(&self, id: CallId) -> Option<Stored>;

    /// The call, if it is live or ended not long ago.
    async fn load(&self, id: CallId) -> Result<Option<Stored>, Unavailable>;

    /// The live calls of `user`.
    async fn live_calls(&self, user: &UserId) -> Result<LiveCalls, Unavailable>;

    /// What a new call from `caller` to `callee` is decided upon. The call made under `request` is found if it was not long ago.
    async fn prospect(
        &self,
        caller: &UserId,
        callee: &UserId,
        request: Option<&RequestId>,
    ) -> Result<Prospect, Unavailable>;

    /// Changes a call: record, deadline, lists and messages at once, or nothing.
    async fn commit(&self, commit: Commit) -> Result<Committed, Unavailable>;

    /// Waits until the deadline of at least one call has passed and names at most `limit` such calls. A call that is not changed
    /// afterwards is named again, not sooner than a second later. Safe to cancel.
    async fn due(&self, limit: usize) -> Result<Vec<Due>, Unavailable>;
}

/// A socket that registers.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Whose it is.
    pub user: UserId,
    /// The device, if the app has named one.
    pub device: Option<DeviceId>,
    /// The socket.
    pub session: SessionId,
    /// "android", "ios", "web", …
    pub platform: Option<Text>,
    /// Where a push reaches the device; what is missing leaves what is known.
    pub tokens: PushTokens,
    /// When.
    pub at: Timestamp,
}

/// What a registration came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The device of the socket: the named one, or one of the user's unnamed devices that a call waits for, or one of its own.
    pub device: DeviceId,
    /// How far that device had come when it was last connected; `None` if it never was.
    pub position: Option<Position>,
    /// When the position is an old one, because the node that held the device could not say how far it had come: when that node
    /// was last alive.
    pub lost_at: Option<Timestamp>,
}

/// What became of a session whose node had been out of touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It holds its device.
    Held,
    /// A newer session has taken the device over.
    Displaced,
}

/// A device whose node has died without disconnecting it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// Whose it is.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// The session that held it.
    pub session: SessionId,
    /// Whether its user has live calls, which are to be told.
    pub has_calls: bool,
    /// The node that has died; `None` where it is this one that lets the session go.
    pub node: Option<NodeId>,
}

/// How far a device has come in what was sent to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// It has everything up to here.
    pub received: EventId,
    /// Descriptions up to here are not to be sent again, whether or not they have arrived.
    pub described: EventId,
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whether it is connected to any node.
    pub is_connected: bool,
    /// The node, where there may be several.
    pub node: Option<NodeId>,
    /// Where a push reaches it.
    pub tokens: PushTokens,
    /// When it registered or left last.
    pub seen_at: Timestamp,
}

/// Knows the devices.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Connects a device. The session that held it so far is displaced on whichever node it is; a push token that another device had
    /// so far, of whomever, is taken from it.
    async fn attach(&self, registration: Registration) -> Result<Attached, Unavailable>;

    /// Writes down again that `session` of `device` is connected, and how far it has come: what is known of it may have been lost,
    /// or run out. A session that has registered later keeps the device.
    async fn renew(
        &self,
        registration: &Registration,
        device: &DeviceId,
        position: Position,
    ) -> Result<Renewed, Unavailable>;

    /// Notes that a session acts which has not registered. Should its node die, it is named among the
    /// [abandoned](Directory::abandoned), as its unnamed device; when it goes it is to be [detached](Directory::detach).
    async fn note_unregistered(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable>;

    /// Disconnects a session at `position`. Names its device, unless another session has taken that over.
    async fn detach(
        &self,
        user: &UserId,
        session: &SessionId,
        position: Position,
    ) -> Result<Option<DeviceId>, Unavailable>;

    /// Forgets the device of a session: it is not rung and not woken any more.
    async fn forget(&self, user: &UserId, session: &SessionId) -> Result<Option<DeviceId>, Unavailable>;

    /// Forgets a push token that reaches nobody any more, unless the device has got another one since.
    async fn forget_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        kind: PushTokenKind,
        token: &PushToken,
    ) -> Result<(), Unavailable>;

    /// The devices of `user`.
    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, Unavailable>;

    /// Waits for devices whose node has died, and names at most `limit` of them. Each is named again, by any node, until it is
    /// [buried](Directory::bury). Safe to cancel.
    async fn abandoned(&self, limit: usize) -> Result<Vec<Abandoned>, Unavailable>;

    /// Disconnects an abandoned device, once its calls have been told.
    async fn bury(&self, abandoned: &Abandoned) -> Result<(), Unavailable>;

    /// Whether a device that is away is to be held responsible: not while what connects it was away itself.
    fn may_count_absence(&self) -> bool;
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the inbox, and on its way.
    Done,
    /// The call it was sent upon has changed; it was not sent.
    Stale,
}

/// A message in an inbox, and what is known of its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The message.
    pub delivery: Delivery,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Whether no node held the user when it was sent: then nobody has had it.
    pub reached_nobody: bool,
}

/// What is kept for a user.
#[derive(Clone, Debug)]
pub struct Backlog {
    /// The messages, in order.
    pub messages: Vec<Kept>,
    /// No message that was ever sent to the user has a later place, and the next one has.
    pub last: EventId,
    /// The live calls of the user, and those of the messages that need theirs live.
    pub calls: Vec<Stored>,
}

/// Brings messages to users.
#[async_trait]
pub trait Lines: Send + Sync {
    /// From here on, what is sent to `user` comes to this node too, in order.
    async fn subscribe(&self, user: &UserId) -> Result<(), Unavailable>;

    /// Ends [`Lines::subscribe`].
    async fn unsubscribe(&self, user: &UserId);

    /// Sends a message outside of any change: appended to the recipient's inbox and brought to the nodes that hold them. With
    /// `upon`, only if that call is still at that version.
    async fn send(&self, outgoing: Outgoing, upon: Option<(CallId, Version)>) -> Result<Sent, Unavailable>;

    /// What was sent to `user` after `after` and is still kept, and every notice that needs its call live, however old.
    async fn read(&self, user: &UserId, after: EventId) -> Result<Backlog, Unavailable>;
}

/// Everything a node needs remembered and carried.
pub trait Backplane: Calls + Directory + Lines + Feed + Timelines {}

impl<T: Calls + Directory + Lines + Feed + Timelines> Backplane for T {}

/// Where messages come out: the part of a node that holds sockets. Called in order for each user; must not block or call back.
pub trait Receiver: Send + Sync {
    /// A message for `user` has come.
    fn deliver(&self, user: &UserId, delivery: &Delivery);

    /// A newer session has taken over the device of `session`. Names the position at which it stops, if it is here.
    fn displace(&self, user: &UserId, session: &SessionId) -> Option<Position>;

    /// From here on messages may be missed, until [`Receiver::resumed`].
    fn interrupted(&self);

    /// Messages come again. What was missed is in the inboxes.
    fn resumed(&self);
}
