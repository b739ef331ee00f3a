//! How much a client may send: token buckets for each socket and each user, and patience with those who ignore them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::clock::Timestamp;
use crate::config::LimitsConfig;
use crate::ids::UserId;

/// A client that was not refused for so many seconds starts with a clean slate.
const STRIKES_FORGOTTEN_AFTER: u32 = 10;

type Bucket = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;
type UserBuckets = RateLimiter<UserId, HashMapStateStore<UserId>, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// What to do with a client that sends too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing: it does not.
    Allowed,
    /// Refuse this one.
    Refused,
    /// It has been refused too often.
    Expelled,
}

/// The buckets of one socket.
pub(super) struct SocketLimits {
    events: Bucket,
    bytes: Bucket,
    max_strikes: u32,
    strikes: AtomicU32,
    /// Seconds since the epoch, which is exact enough, and small.
    last_strike: AtomicU32,
    last_told: AtomicU32,
}

impl SocketLimits {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        Self {
            events: Bucket::direct_with_clock(per_second(limits.event_rate, limits.event_burst), MonotonicClock),
            bytes: Bucket::direct_with_clock(
                per_second(limits.event_bytes_rate, limits.event_bytes_burst),
                MonotonicClock,
            ),
            max_strikes: limits.strikes,
            strikes: AtomicU32::new(0),
            last_strike: AtomicU32::new(0),
            last_told: AtomicU32::new(0),
        }
    }

    /// Counts an event of `bytes` at `now`, for the socket and for its user.
    pub(super) fn count(
        &self,
        bytes: usize,
        user: Option<&UserId>,
        user_limits: &UserLimits,
        now: Timestamp,
    ) -> Verdict {
        let bytes = u32::try_from(bytes.max(1)).ok().and_then(NonZeroU32::new);
        let is_allowed = self.events.check().is_ok()
            && bytes.is_some_and(|bytes| matches!(self.bytes.check_n(bytes), Ok(Ok(()))))
            && user.is_none_or(|user| user_limits.events.check_key(user).is_ok());
        if is_allowed { Verdict::Allowed } else { self.strike(now) }
    }

    fn strike(&self, now: Timestamp) -> Verdict {
        let now = seconds(now);
        let last = self.last_strike.swap(now, Ordering::Relaxed);
        if now.saturating_sub(last) > STRIKES_FORGOTTEN_AFTER {
            self.strikes.store(0, Ordering::Relaxed);
        }
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed) + 1;
        if strikes > self.max_strikes { Verdict::Expelled } else { Verdict::Refused }
    }

    /// Whether it is time to tell a client that does not wait for answers that it is being refused: once in each second.
    pub(super) fn may_tell(&self, now: Timestamp) -> bool {
        let now = seconds(now);
        self.last_told.swap(now, Ordering::Relaxed) != now
    }
}

/// The buckets of the users who are, or were not long ago, connected to this node.
pub(super) struct UserLimits {
    events: UserBuckets,
    calls: UserBuckets,
}

impl UserLimits {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        let calls = Quota::per_minute(nonzero(limits.call_rate_per_minute)).allow_burst(nonzero(limits.call_burst));
        let events = per_second(limits.user_event_rate, limits.user_event_burst);
        Self {
            events: UserBuckets::new(events, HashMapStateStore::default(), MonotonicClock),
            calls: UserBuckets::new(calls, HashMapStateStore::default(), MonotonicClock),
        }
    }

    /// Counts a call that `user` makes. Whether it is allowed.
    pub(super) fn count_call(&self, user: &UserId) -> bool {
        self.calls.check_key(user).is_ok()
    }

    /// Forgets the users whose buckets are full.
    pub(super) fn sweep(&self) {
        for buckets in [&self.events, &self.calls] {
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }
}

/// Seconds since the epoch.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.0 / 1000).unwrap_or(u32::MAX)
}

fn per_second(rate: u32, burst: u32) -> Quota {
    Quota::per_second(nonzero(rate)).allow_burst(nonzero(burst))
}

/// The configuration lets no zero through.
fn nonzero(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}
