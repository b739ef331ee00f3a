//! When the keys of an identity provider are fetched: decides, and does nothing else.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long keys are good where the provider does not say.
const LIFETIME: Duration = Duration::from_secs(600);
/// Whatever the provider says, keys are fetched no more and no less often than this.
const LIFETIME_MIN: Duration = Duration::from_secs(75);
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// Tokens with unknown keys have the keys fetched at most once in this time.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// The pause after a first failure; doubled with each, up to the last of these: the shorter one while nobody can be let in.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX_WITHOUT_KEYS: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = ASKED_EVERY;

/// When to fetch next.
pub(super) struct Schedule {
    next_at: Timestamp,
    /// Whether a token wants the next fetch, and when the last one began that one wanted.
    is_asked: bool,
    asked_at: Option<Timestamp>,
    failures: u32,
    has_keys: bool,
}

impl Schedule {
    /// Nothing has been fetched yet, and is to be at once.
    pub(super) fn new() -> Self {
        Self { next_at: Timestamp(0), is_asked: false, asked_at: None, failures: 0, has_keys: false }
    }

    /// When to fetch next.
    pub(super) fn next_at(&self) -> Timestamp {
        self.next_at
    }

    /// Before this, no token has the keys fetched.
    pub(super) fn may_ask_at(&self) -> Timestamp {
        self.asked_at.map_or(Timestamp(0), |at| at.plus(ASKED_EVERY))
    }

    /// A fetch begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.is_asked) {
            self.asked_at = Some(now);
        }
    }

    /// It has brought keys, which are good for `lifetime` from `now` on. They are replaced before that has passed.
    pub(super) fn succeeded(&mut self, now: Timestamp, lifetime: Option<Duration>) {
        let lifetime = lifetime.unwrap_or(LIFETIME).clamp(LIFETIME_MIN, LIFETIME_MAX);
        self.failures = 0;
        self.has_keys = true;
        self.next_at = now.plus(lifetime * 4 / 5);
    }

    /// It has brought nothing.
    pub(super) fn failed(&mut self, now: Timestamp) {
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        let longest = if self.has_keys { PAUSE_MAX } else { PAUSE_MAX_WITHOUT_KEYS };
        self.next_at = now.plus(pause.min(longest));
    }

    /// There is a token whose key is not known.
    pub(super) fn asked(&mut self) {
        // After a failure the next attempt is due in a minute at most anyway.
        if self.failures == 0 {
            self.is_asked = true;
            self.next_at = self.next_at.min(self.may_ask_at());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn fetched(lifetime: Option<u64>) -> Schedule {
        let mut schedule = Schedule::new();
        schedule.begin(NOW);
        schedule.succeeded(NOW, lifetime.map(Duration::from_secs));
        schedule
    }

    #[test]
    fn keys_are_replaced_before_they_are_stale_within_bounds() {
        let after = |lifetime| NOW.until(fetched(lifetime).next_at()).as_secs();
        assert_eq!(Schedule::new().next_at(), Timestamp(0));
        assert_eq!(after(Some(20_000)), 16_000);
        assert_eq!(after(None), 480);
        assert_eq!((after(Some(0)), after(Some(u64::MAX))), (60, 69_120));
    }

    #[test]
    fn an_unknown_key_is_asked_for_once_a_minute() {
        let mut schedule = fetched(Some(3600));
        schedule.asked();
        assert!(schedule.next_at() <= NOW);
        let next = |schedule: &Schedule| NOW.until(schedule.next_at()).as_secs();
        let fetch = |schedule: &mut Schedule, at: u64| {
            let at = NOW.plus(Duration::from_secs(at));
            schedule.begin(at);
            schedule.succeeded(at, Some(Duration::from_secs(3600)));
        };
        fetch(&mut schedule, 5);
        assert_eq!(next(&schedule), 5 + 2880);
        schedule.asked();
        schedule.asked();
        assert_eq!(next(&schedule), 5 + 60);
        fetch(&mut schedule, 65);
        // One that was due anyway does not count.
        fetch(&mut schedule, 120);
        schedule.asked();
        assert_eq!(next(&schedule), 65 + 60);
    }

    #[test]
    fn failures_are_repeated_after_growing_pauses() {
        let pauses = |mut schedule: Schedule| {
            let mut pause = || {
                schedule.failed(NOW);
                schedule.asked();
                NOW.until(schedule.next_at()).as_secs()
            };
            std::iter::repeat_with(&mut pause).take(8).collect::<Vec<_>>()
        };
        assert_eq!(pauses(fetched(None)), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses(Schedule::new()), [1, 2, 4, 8, 10, 10, 10, 10]);
        let mut schedule = Schedule::new();
        schedule.failed(NOW);
        schedule.begin(NOW);
        schedule.succeeded(NOW, None);
        schedule.failed(NOW);
        assert_eq!(NOW.until(schedule.next_at()).as_secs(), 1);
    }
}
