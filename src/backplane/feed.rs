//! What is to be told to others of calls, until it was told.

use std::time::Duration;

use async_trait::async_trait;

use crate::backplane::Unavailable;
use crate::call::{Milestone, Turn};
use crate::clock::Timestamp;
use crate::ids::CallId;

/// Keeps what is still to be told to others of calls: their [milestones](Milestone), in order for each call, until they say that it
/// was told. A milestone is kept with the commit that brings it about, or not at all. Where the feed is off nothing is kept.
#[async_trait]
pub trait Feed: Send + Sync {
    /// Waits until something is to be told of at least one call, and takes at most `limit` such calls for as long as `lease`: until
    /// then nobody else is named them. Whoever takes them and dies leaves them to the next. Safe to cancel; where the feed is off it
    /// waits for ever.
    async fn take_untold(&self, limit: usize, lease: Duration) -> Result<Vec<Untold>, Unavailable>;

    /// Of this call everything up to `through` was told. What is left, or has come meanwhile, is due at once.
    async fn told(&self, call: CallId, through: Turn) -> Result<(), Unavailable>;

    /// Of this call nothing is to be told before `until`: whoever is told does not listen at present.
    async fn put_off(&self, call: CallId, until: Timestamp) -> Result<(), Unavailable>;

    /// How much waits to be told.
    async fn untold(&self) -> Result<Backed, Unavailable>;
}

/// What is to be told of a call: at least one milestone, in order, and at most one of each turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// The call.
    pub call: CallId,
    /// What it came to.
    pub milestones: Vec<Milestone>,
}

/// How much of the feed has not been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backed {
    /// Calls of which something is to be told.
    pub calls: u64,
    /// Since when the first of them is one.
    pub since: Option<Timestamp>,
    /// Milestones that were not kept, because there were too many calls; since the feed was last empty of all.
    pub dropped: u64,
}

/// How much of what is to be told is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedBounds {
    /// Calls. While there are so many, nothing is kept of what others come to; what they come to later may be.
    pub calls: usize,
    /// How long what nobody takes is kept, since the last milestone of its call.
    pub ttl: Duration,
}
