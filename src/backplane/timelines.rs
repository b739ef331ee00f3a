//! What happened to calls, for a while.

use std::time::Duration;

use async_trait::async_trait;

use crate::backplane::Unavailable;
use crate::ids::CallId;
use crate::timeline::{Entry, Note};

/// Keeps the timelines of calls, for as long as is wanted, and no more than fit: the oldest calls are let go. A timeline begins with the
/// commit that begins its call, which brings the first entries; so do the commits of its answer and its end.
#[async_trait]
pub trait Timelines: Send + Sync {
    /// Appends what was noted beside, to those calls that have a timeline, and that have room: the first entries are kept. Answers how
    /// many were not.
    async fn note(&self, notes: Vec<Note>) -> Result<usize, Unavailable>;

    /// What is kept of a call, in the order in which it came; nothing where nothing is.
    async fn timeline(&self, call: CallId) -> Result<Vec<Entry>, Unavailable>;
}

/// How much is kept of timelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineBounds {
    /// Calls.
    pub calls: usize,
    /// How long, since the end of a call. As long as it goes on it is kept in any case.
    pub ttl: Duration,
}
