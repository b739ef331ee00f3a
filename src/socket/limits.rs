//! How much a client may send: token buckets for each socket and each user, and patience with those who ignore them. The limits may
//! change while sockets are open: each takes them over with the next event it counts.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::{Mutex, RwLock};

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

/// The limits of the node as they are at present.
pub(super) struct Limits {
    current: RwLock<LimitsConfig>,
    /// Which rates of sockets these are: another number after each change of those.
    rates: AtomicU32,
    users: UserLimits,
}

impl Limits {
    pub(super) fn new(limits: &LimitsConfig) -> Self {
        Self { current: RwLock::new(limits.clone()), rates: AtomicU32::new(0), users: UserLimits::new(limits) }
    }

    /// What `read` finds in them.
    pub(super) fn get<T>(&self, read: impl FnOnce(&LimitsConfig) -> T) -> T {
        read(&self.current.read())
    }

    /// These count from here on. Buckets whose rate stays the same stay as full as they are.
    pub(super) fn set(&self, limits: &LimitsConfig) {
        let before = std::mem::replace(&mut *self.current.write(), limits.clone());
        if SocketRates::of(&before) != SocketRates::of(limits) {
            self.rates.fetch_add(1, Ordering::Release);
        }
        self.users.set(&before, limits);
    }

    /// Counts a call that `user` makes. Whether it is allowed.
    pub(super) fn count_call(&self, user: &UserId) -> bool {
        self.users.calls.read().check_key(user).is_ok()
    }

    /// Forgets the users whose buckets are full.
    pub(super) fn sweep(&self) {
        for buckets in [&self.users.events, &self.users.calls] {
            let buckets = buckets.read();
            buckets.retain_recent();
            buckets.shrink_to_fit();
        }
    }
}

/// How much one socket may send.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SocketRates {
    events: (u32, u32),
    bytes: (u32, u32),
}

impl SocketRates {
    fn of(limits: &LimitsConfig) -> Self {
        Self {
            events: (limits.event_rate, limits.event_burst),
            bytes: (limits.event_bytes_rate, limits.event_bytes_burst),
        }
    }
}

/// The buckets of one socket.
pub(super) struct SocketLimits {
    buckets: Mutex<Buckets>,
    strikes: AtomicU32,
    /// Seconds since the epoch, which is exact enough, and small.
    last_strike: AtomicU32,
    last_told: AtomicU32,
}

struct Buckets {
    /// The rates for which they were made.
    rates: u32,
    events: Bucket,
    bytes: Bucket,
}

impl Buckets {
    fn new(limits: &Limits) -> Self {
        // Looked at first: of limits that change meanwhile the next event hears.
        let rates = limits.rates.load(Ordering::Acquire);
        let bucket = |(rate, burst)| Bucket::direct_with_clock(per_second(rate, burst), MonotonicClock);
        let SocketRates { events, bytes } = limits.get(SocketRates::of);
        Self { rates, events: bucket(events), bytes: bucket(bytes) }
    }
}

impl SocketLimits {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            buckets: Mutex::new(Buckets::new(limits)),
            strikes: AtomicU32::new(0),
            last_strike: AtomicU32::new(0),
            last_told: AtomicU32::new(0),
        }
    }

    /// Counts an event of `bytes` at `now`, for the socket and for its user.
    pub(super) fn count(&self, bytes: usize, user: Option<&UserId>, limits: &Limits, now: Timestamp) -> Verdict {
        let bytes = u32::try_from(bytes.max(1)).ok().and_then(NonZeroU32::new);
        let mut buckets = self.buckets.lock();
        if buckets.rates != limits.rates.load(Ordering::Acquire) {
            *buckets = Buckets::new(limits);
        }
        let is_allowed = buckets.events.check().is_ok()
            && bytes.is_some_and(|bytes| matches!(buckets.bytes.check_n(bytes), Ok(Ok(()))))
            && user.is_none_or(|user| limits.users.events.read().check_key(user).is_ok());
        if is_allowed { Verdict::Allowed } else { self.strike(now, limits.get(|limits| limits.strikes)) }
    }

    fn strike(&self, now: Timestamp, most: u32) -> Verdict {
        let now = seconds(now);
        let last = self.last_strike.swap(now, Ordering::Relaxed);
        if now.saturating_sub(last) > STRIKES_FORGOTTEN_AFTER {
            self.strikes.store(0, Ordering::Relaxed);
        }
        let strikes = self.strikes.fetch_add(1, Ordering::Relaxed) + 1;
        if strikes > most { Verdict::Expelled } else { Verdict::Refused }
    }

    /// Whether it is time to tell a client that does not wait for answers that it is being refused: once in each second.
    pub(super) fn may_tell(&self, now: Timestamp) -> bool {
        let now = seconds(now);
        self.last_told.swap(now, Ordering::Relaxed) != now
    }
}

/// The buckets of the users who are, or were not long ago, connected to this node.
struct UserLimits {
    events: RwLock<UserBuckets>,
    calls: RwLock<UserBuckets>,
}

impl UserLimits {
    fn new(limits: &LimitsConfig) -> Self {
        let buckets = |quota| RwLock::new(user_buckets(quota));
        Self { events: buckets(user_events(limits)), calls: buckets(user_calls(limits)) }
    }

    fn set(&self, before: &LimitsConfig, limits: &LimitsConfig) {
        if user_events(before) != user_events(limits) {
            *self.events.write() = user_buckets(user_events(limits));
        }
        if user_calls(before) != user_calls(limits) {
            *self.calls.write() = user_buckets(user_calls(limits));
        }
    }
}

fn user_buckets(quota: Quota) -> UserBuckets {
    UserBuckets::new(quota, HashMapStateStore::default(), MonotonicClock)
}

fn user_events(limits: &LimitsConfig) -> Quota {
    per_second(limits.user_event_rate, limits.user_event_burst)
}

fn user_calls(limits: &LimitsConfig) -> Quota {
    Quota::per_minute(nonzero(limits.call_rate_per_minute)).allow_burst(nonzero(limits.call_burst))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn limits(vars: &[(&str, &str)]) -> LimitsConfig {
        Config::from_vars(vars.iter().copied()).unwrap().limits
    }

    /// How many of so many events are allowed to a socket of this user.
    fn allowed(socket: &SocketLimits, limits: &Limits, user: &UserId, events: usize) -> usize {
        (0..events).filter(|_| socket.count(1, Some(user), limits, Timestamp(0)) == Verdict::Allowed).count()
    }

    #[test]
    fn sockets_that_are_open_take_over_what_has_changed_and_nothing_is_given_away_where_nothing_has() {
        let slow = limits(&[("EVENT_RATE", "1"), ("EVENT_BURST", "5")]);
        let (limits_now, user) = (Limits::new(&limits(&[])), UserId::parse("alice").unwrap());
        let socket = SocketLimits::new(&limits_now);
        assert_eq!(allowed(&socket, &limits_now, &user, 100), 100);
        limits_now.set(&slow);
        assert_eq!(allowed(&socket, &limits_now, &user, 100), 5);
        limits_now.set(&slow);
        assert_eq!(allowed(&socket, &limits_now, &user, 100), 0, "the same limits again fill no bucket");
        limits_now.set(&limits(&[]));
        assert_eq!(allowed(&socket, &limits_now, &user, 100), 100);
    }

    #[test]
    fn users_take_over_what_has_changed() {
        let (limits_now, user) = (Limits::new(&limits(&[])), UserId::parse("alice").unwrap());
        let socket = SocketLimits::new(&limits_now);
        let slow = limits(&[("USER_EVENT_RATE", "1"), ("USER_EVENT_BURST", "3"), ("CALL_BURST", "2")]);
        limits_now.set(&slow);
        assert_eq!(allowed(&socket, &limits_now, &user, 100), 3);
        let calls = || (0..10).filter(|_| limits_now.count_call(&user)).count();
        assert_eq!(calls(), 2);
        limits_now.set(&limits(&[
            ("USER_EVENT_RATE", "1"),
            ("USER_EVENT_BURST", "3"),
            ("CALL_BURST", "2"),
            ("MAX_CONNECTIONS", "7"),
        ]));
        assert_eq!((calls(), allowed(&socket, &limits_now, &user, 100)), (0, 0), "what stays the same stays as full");
        limits_now.sweep();
        assert_eq!(limits_now.get(|limits| limits.max_connections), 7);
    }

    #[test]
    fn patience_is_that_of_the_present_limits() {
        let (limits_now, user) = (Limits::new(&limits(&[("EVENT_BURST", "1")])), UserId::parse("alice").unwrap());
        let socket = SocketLimits::new(&limits_now);
        assert_eq!(allowed(&socket, &limits_now, &user, 3), 1);
        limits_now.set(&limits(&[("EVENT_BURST", "1"), ("RATE_LIMIT_STRIKES", "2")]));
        assert_eq!(socket.count(1, Some(&user), &limits_now, Timestamp(0)), Verdict::Expelled);
    }
}
