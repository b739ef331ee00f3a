//! Whether a push service is worth asking: one that fails again and again is left alone for a while, then asked once.
//!
//! ```text
//! Closed ──FAILURES in a row──► Open ──pause over──► Probing ──success──► Closed
//!                                 ▲────────failure──────┘
//! ```

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Timestamp;

/// So many failures in a row mean that the service is down. They come one by one where few people call, and all at once where many do.
const FAILURES: u32 = 10;
/// The first pause. The next is twice as long, up to the longest, after which a call still rings for a while.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A probe that is not heard of for so long has been given up.
const PROBE_LASTS: Duration = Duration::from_secs(15);

/// Guards one service.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp, pause: Duration },
    Probing { until: Timestamp, pause: Duration },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// Whether to ask the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Go,
    /// Not for so long.
    Wait(Duration),
}

/// What an answer, or its absence, has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The service is left alone from here on.
    Opened,
    /// It was asked, and is left alone for longer.
    Reopened,
    /// It is asked again.
    Closed,
}

impl Breaker {
    /// What [`Breaker::admit`] would say at `now`, for those who have something else to find out before they ask.
    pub(super) fn foresee(&self, now: Timestamp) -> Admission {
        match *self.0.lock() {
            State::Open { until, .. } | State::Probing { until, .. } if now < until => {
                Admission::Wait(now.until(until))
            }
            State::Closed { .. } | State::Open { .. } | State::Probing { .. } => Admission::Go,
        }
    }

    /// Whether the service may be asked at `now`. Who is let go has to say what came of it.
    pub(super) fn admit(&self, now: Timestamp) -> Admission {
        let mut state = self.0.lock();
        match *state {
            State::Closed { .. } => Admission::Go,
            State::Open { until, .. } | State::Probing { until, .. } if now < until => {
                Admission::Wait(now.until(until))
            }
            State::Open { pause, .. } | State::Probing { pause, .. } => {
                *state = State::Probing { until: now.plus(PROBE_LASTS), pause };
                Admission::Go
            }
        }
    }

    /// The service has answered.
    pub(super) fn succeeded(&self) -> Change {
        let before = std::mem::take(&mut *self.0.lock());
        match before {
            State::Closed { .. } => Change::None,
            State::Open { .. } | State::Probing { .. } => Change::Closed,
        }
    }

    /// The service is in trouble at `now`, and may have said for how long.
    pub(super) fn failed(&self, now: Timestamp, asked_for: Option<Duration>) -> Change {
        let mut state = self.0.lock();
        let open = |pause: Duration| {
            let until = now.plus(asked_for.unwrap_or(pause).clamp(pause, LONGEST_PAUSE));
            State::Open { until, pause }
        };
        match *state {
            State::Closed { failures } if failures + 1 < FAILURES => {
                *state = State::Closed { failures: failures + 1 };
                Change::None
            }
            State::Closed { .. } => {
                *state = open(FIRST_PAUSE);
                Change::Opened
            }
            // One that was asked before it was left alone.
            State::Open { .. } => Change::None,
            State::Probing { pause, .. } => {
                *state = open(pause.saturating_mul(2).min(LONGEST_PAUSE));
                Change::Reopened
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp(1_700_000_000_000 + millis)
    }

    fn wait(millis: u64) -> Admission {
        Admission::Wait(Duration::from_millis(millis))
    }

    fn opened(breaker: &Breaker) {
        for _ in 1..FAILURES {
            assert_eq!(breaker.failed(at(0), None), Change::None);
        }
        assert_eq!(breaker.failed(at(0), None), Change::Opened);
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            for _ in 1..FAILURES {
                breaker.failed(at(0), None);
            }
            assert_eq!(breaker.succeeded(), Change::None);
        }
        assert_eq!(breaker.admit(at(0)), Admission::Go);
        opened(&breaker);
        assert_eq!(breaker.failed(at(0), None), Change::None, "those who were under way");
        assert_eq!(breaker.admit(at(400)), wait(600));
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let breaker = Breaker::default();
        opened(&breaker);
        assert_eq!(breaker.admit(at(1000)), Admission::Go);
        assert_eq!(breaker.admit(at(1000)), wait(15_000));
        assert_eq!(breaker.succeeded(), Change::Closed);
        assert_eq!(breaker.admit(at(1000)), Admission::Go);
        assert_eq!(breaker.failed(at(1000), None), Change::None, "it counts anew");
    }

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_a_bound() {
        let breaker = Breaker::default();
        opened(&breaker);
        let mut now = 0;
        for pause in [1000, 2000, 4000, 8000, 8000] {
            assert_eq!(breaker.admit(at(now)), wait(pause));
            now += pause;
            assert_eq!(breaker.admit(at(now)), Admission::Go);
            assert_eq!(breaker.failed(at(now), None), Change::Reopened);
        }
    }

    #[test]
    fn what_the_service_asks_for_counts_within_bounds() {
        let breaker = Breaker::default();
        opened(&breaker);
        assert_eq!(breaker.admit(at(1000)), Admission::Go);
        breaker.failed(at(1000), Some(Duration::from_secs(5)));
        assert_eq!(breaker.admit(at(1000)), wait(5000));
        assert_eq!(breaker.admit(at(6000)), Admission::Go);
        breaker.failed(at(6000), Some(Duration::from_secs(3600)));
        assert_eq!(breaker.admit(at(6000)), wait(8000));
    }

    #[test]
    fn a_probe_that_is_never_heard_of_is_followed_by_another() {
        let breaker = Breaker::default();
        opened(&breaker);
        assert_eq!(breaker.admit(at(1000)), Admission::Go);
        assert_eq!(breaker.admit(at(15_999)), wait(1));
        assert_eq!(breaker.admit(at(16_000)), Admission::Go);
    }
}
