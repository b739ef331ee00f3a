//! Wakes devices, connected or not, and tells them when there is nothing to wake up for any more.
//!
//! The [`Dispatcher`] takes what is to be told, looks up the devices, and has a [`Provider`] send it: [`Fcm`], [`Apns`]. A provider
//! knows the form of messages and what the answers of its service mean; everything else is the same for all of them: the queue, when
//! to try again and when to give up, dead tokens, counts and complaints.
//!
//! What it does not do: it does not decide who rings and who stops, and nobody waits for it.

mod alarm;
mod apns;
mod backoff;
mod breaker;
mod connection;
mod counts;
mod disabled;
mod dispatcher;
mod dry_run;
mod fcm;
mod lane;
mod message;
mod provider;
#[cfg(test)]
mod testing;
mod underway;

pub use apns::Apns;
pub use counts::{Count, Fate};
pub use disabled::Disabled;
pub use dispatcher::{Dispatcher, Settings, Snapshot, Worker};
pub use fcm::Fcm;
pub use message::{Fields, Message};
pub use provider::{Kind, Outcome, Provider, Trouble};

use std::sync::Arc;

use async_trait::async_trait;

use crate::call::{Call, Wake};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, PushToken, PushTokenKind, PushTokens, UserId};
use crate::timeline::What;

/// Makes tokens by which a woken app may ask how a call stands that rings until then.
pub type StatusToken = Arc<dyn Fn(CallId, Timestamp) -> String + Send + Sync>;

/// A way to wake devices.
pub trait Push: Send + Sync {
    /// Whether a device with these push tokens could be woken.
    fn can_reach(&self, tokens: &PushTokens) -> bool;

    /// Starts telling the devices of a user. Returns at once; what becomes of it is the push service's affair.
    fn wake(&self, wakeup: Wakeup);
}

/// What the devices of a user are to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// Whose devices.
    pub user: UserId,
    /// The call, as it is when they are to be told.
    pub call: Arc<Call>,
    /// What about it.
    pub wake: Wake,
}

/// A device that may be told something by push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its id.
    pub device: DeviceId,
    /// Whether it is connected to any node.
    pub is_connected: bool,
    /// Where it is reached.
    pub tokens: PushTokens,
    /// When it registered or was seen last.
    pub seen_at: Timestamp,
}

/// What cannot be known at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the devices cannot be looked up")]
pub struct Unknown;

/// Knows the devices of users, and the calls they are woken for.
#[async_trait]
pub trait Recipients: Send + Sync {
    /// The devices of `user`.
    async fn of(&self, user: &UserId) -> Result<Vec<Recipient>, Unknown>;

    /// Whether a call still rings.
    async fn is_ringing(&self, call: CallId) -> Result<bool, Unknown>;

    /// Notes for whoever looks into a call what came of telling its devices.
    fn note(&self, _call: CallId, _what: What) {}

    /// A push service says that a token reaches nobody any more. It is forgotten, if the device has it still.
    async fn forget(&self, user: &UserId, device: &DeviceId, kind: PushTokenKind, token: &PushToken);
}
