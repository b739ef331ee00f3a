//! The backplane of many nodes: everything that has to survive is in one Redis, and messages travel over its channels.
//!
//! [`Redis`] is one node's part of it. A change is one script, which keeps the record of the call, its deadline and its messages
//! together; a message is appended to the inbox of its user and published on the channel of that user, to which exactly the
//! nodes subscribe that hold them. Truth is in Redis; a node remembers calls it has seen only to save a question.
//!
//! [`Redis::run`] keeps the connections, and after each loss of them does, in this order: subscribe again, put back the calls
//! that Redis has lost, and have the switchboard read the inboxes.
//!
//! What it does not do: Redis Cluster. The scripts touch keys of several users at once.

mod address;
mod cache;
mod calls;
mod channels;
mod checks;
mod connection;
mod deadlines;
mod directory;
mod examination;
mod feed;
mod keys;
mod lines;
mod link;
mod message;
mod milestone;
mod nodes;
mod record;
mod script;
mod supervise;
#[cfg(test)]
mod tests;
mod timelines;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::backplane::{FeedBounds, Receiver, TimelineBounds};
use crate::clock::{Clock, Correction};
use crate::config::RedisConfig;
use crate::ids::NodeId;
use crate::metrics::Metrics;

pub use examination::examine;

use cache::Cache;
use channels::Wanted;
use deadlines::Deadlines;
use feed::Unreadable;
use keys::Keys;
use link::Link;
use nodes::Nodes;
use script::Scripts;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Messages per user.
    pub inbox_messages: usize,
    /// Bytes per user.
    pub inbox_bytes: usize,
    /// How long a message, a device that is gone and a request id are remembered.
    pub inbox_ttl: Duration,
    /// How long a call that is over can still be asked about.
    pub over_ttl: Duration,
    /// How long a call may ring.
    pub ring_timeout: Duration,
    /// How much of what is to be told is kept; nothing if `None`.
    pub feed: Option<FeedBounds>,
    /// How much is kept of timelines; nothing if `None`.
    pub timelines: Option<TimelineBounds>,
}

/// One node's part of the backplane.
pub struct Redis {
    /// Who the node is to Redis may change; the rest stays.
    config: RwLock<RedisConfig>,
    retention: Retention,
    keys: Keys,
    node: NodeId,
    clock: Clock,
    correction: Option<Correction>,
    receiver: Arc<dyn Receiver>,
    metrics: Arc<Metrics>,
    link: Link,
    wanted: Arc<Wanted>,
    scripts: Scripts,
    cache: Cache,
    deadlines: Deadlines,
    /// Something may be to be told.
    fed: Notify,
    unreadable: Unreadable,
    nodes: Nodes,
    changes: AtomicU64,
}

impl Redis {
    /// A node whose messages come out at `receiver`. Nothing happens before [`Redis::run`].
    ///
    /// With `correction` the clock is kept in step with that of Redis.
    pub fn new(
        config: RedisConfig,
        retention: Retention,
        clock: Clock,
        correction: Option<Correction>,
        receiver: Arc<dyn Receiver>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let node = NodeId::random();
        let keys = Keys::new(&config.key_prefix, config.db);
        Arc::new(Self {
            scripts: Scripts::new(&keys, &retention),
            keys,
            link: Link::new(config.timeout),
            config: RwLock::new(config),
            retention,
            nodes: Nodes::new(&node),
            node,
            clock,
            correction,
            receiver,
            metrics,
            wanted: Arc::default(),
            cache: Cache::default(),
            deadlines: Deadlines::default(),
            fed: Notify::new(),
            unreadable: Unreadable::default(),
            changes: AtomicU64::new(0),
        })
    }

    /// What this node is called in Redis.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Shows the user and the password of `config`, which is otherwise the same, with every connection that is made from here on.
    pub fn set_credentials(&self, config: &RedisConfig) {
        *self.config.write() = config.clone();
        if let Some(connection) = self.link.current() {
            connection.set_credentials(address::credentials(config));
        }
    }

    /// Whether Redis can be reached.
    pub fn is_connected(&self) -> bool {
        self.link.is_up()
    }

    /// A name for a change, by which a repeat of it is known.
    fn token(&self) -> String {
        format!("{}-{}", self.node, self.changes.fetch_add(1, Ordering::Relaxed))
    }

    /// When something that is asked for now will have been given up, by the clock of Redis.
    fn not_after(&self) -> u64 {
        self.clock.now().plus(self.link.timeout()).0
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
