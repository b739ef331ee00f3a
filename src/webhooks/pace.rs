//! How long to wait before the next attempt, and how many at once a receiver in trouble is spared.

use std::time::Duration;

use crate::clock::Timestamp;

/// Calls that are told at once, each with one request at a time.
pub(super) const SLOTS: usize = 32;

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// A receiver that asks for more gets no more: what is to be told gets no newer.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(300);

/// So many failures in a row mean that it is not about one event.
const FAILURES: u32 = 10;
/// The first rest. The next is twice as long, up to the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(15);

/// The pause after an attempt to tell what has failed for so long (`waited`): as long again, within bounds, so that pauses double. `chance`, from 0 to 1, spreads them: over the later half of the pause where it is ours, over a quarter more where the receiver
/// has named it.
pub(super) fn pause(waited: Duration, asked_for: Option<Duration>, chance: f64) -> Duration {
    let ours = waited.clamp(SHORTEST, LONGEST).mul_f64(f64::midpoint(1.0, chance));
    asked_for.map_or(ours, |asked_for| asked_for.min(LONGEST_ASKED_FOR).mul_f64(1.0 + chance / 4.0).max(ours))
}

/// Whether a receiver answers at all. While it does not, events are tried one by one, with rests between them; the others wait untouched,
/// and go out as soon as one is taken.
#[derive(Debug, Default)]
pub(super) struct Pace {
    failures: u32,
    rests_until: Timestamp,
}

/// For how many more calls there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// For so many, at least one.
    For(usize),
    /// For none, until one of those under way is at its end.
    None,
    /// For none, for so long.
    Rest(Duration),
}

impl Pace {
    /// For how many calls there is room beside those under way.
    pub(super) fn room(&self, under_way: usize, now: Timestamp) -> Room {
        let slots = if self.failures < FAILURES { SLOTS } else { 1 };
        match slots.saturating_sub(under_way) {
            0 => Room::None,
            _ if slots == 1 && now < self.rests_until => Room::Rest(now.until(self.rests_until)),
            room => Room::For(room),
        }
    }

    /// The receiver has answered. Whether it had not, for long enough to be said.
    pub(super) fn succeeded(&mut self) -> bool {
        std::mem::take(self).failures >= FAILURES
    }

    /// It has not, or is in trouble. Whether this is to be said.
    pub(super) fn failed(&mut self, now: Timestamp, asked_for: Option<Duration>, chance: f64) -> bool {
        self.failures = self.failures.saturating_add(1);
        let Some(doublings) = self.failures.checked_sub(FAILURES) else {
            return false;
        };
        let rest = FIRST_REST.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_REST);
        let rest = rest.mul_f64(f64::midpoint(1.0, chance)).max(asked_for.unwrap_or_default().min(LONGEST_ASKED_FOR));
        self.rests_until = self.rests_until.max(now.plus(rest));
        doublings == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_are_spread_over_their_later_half() {
        let bounds = |waited| [0.0, 1.0].map(|chance| pause(Duration::from_millis(waited), None, chance).as_millis());
        assert_eq!(bounds(0), [250, 500]);
        assert_eq!(bounds(500), [250, 500]);
        assert_eq!(bounds(1_000), [500, 1_000]);
        assert_eq!(bounds(20_000), [10_000, 20_000]);
        assert_eq!(bounds(86_400_000), [30_000, 60_000]);
    }

    #[test]
    fn a_receiver_may_ask_for_more_within_bounds() {
        let after = |asked| pause(Duration::from_secs(4), Some(Duration::from_secs(asked)), 0.0).as_secs();
        assert_eq!((after(0), after(30), after(86_400)), (2, 30, 300));
        assert_eq!(pause(Duration::ZERO, Some(Duration::MAX), 1.0).as_secs(), 375);
    }

    #[test]
    fn a_receiver_that_fails_again_and_again_is_tried_one_by_one_until_it_answers() {
        let mut pace = Pace::default();
        let now = Timestamp(1_000_000);
        let said: Vec<_> = (0..FAILURES).map(|_| pace.failed(now, None, 1.0)).collect();
        assert_eq!(said.iter().filter(|said| **said).count(), 1);
        assert_eq!(pace.room(0, now), Room::Rest(FIRST_REST));
        assert_eq!(pace.room(1, now.plus(FIRST_REST)), Room::None);
        assert_eq!(pace.room(0, now.plus(FIRST_REST)), Room::For(1));
        for _ in 0..40 {
            assert!(!pace.failed(now, None, 1.0), "it is said once");
        }
        assert_eq!(pace.room(0, now), Room::Rest(LONGEST_REST));
        assert!(pace.succeeded());
        assert_eq!(pace.room(2, now), Room::For(SLOTS - 2));
        assert_eq!(pace.room(SLOTS, now), Room::None);
        assert!(!pace.succeeded());
    }

    #[test]
    fn a_receiver_in_trouble_says_how_long_it_rests() {
        let mut pace = Pace::default();
        for _ in 0..FAILURES {
            pace.failed(Timestamp(0), Some(Duration::from_secs(20)), 0.0);
        }
        assert_eq!(pace.room(0, Timestamp(0)), Room::Rest(Duration::from_secs(20)));
        pace.failed(Timestamp(0), Some(Duration::from_secs(86_400)), 0.0);
        assert_eq!(pace.room(0, Timestamp(0)), Room::Rest(LONGEST_ASKED_FOR));
    }
}
