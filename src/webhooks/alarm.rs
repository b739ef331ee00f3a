//! What an operator has to look at: said once a minute, with how often it was.

use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Timestamp;

const SAID_EVERY: Duration = Duration::from_secs(60);

/// One thing that may be said.
#[derive(Default)]
pub(super) struct Alarm(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    said_at: Option<Timestamp>,
    times: u64,
}

impl Alarm {
    /// It has happened. How often it was since it was said last, if it is to be said.
    pub(super) fn raise(&self, now: Timestamp) -> Option<u64> {
        self.raise_by(1, now)
    }

    /// It has happened so many times more: perhaps none.
    pub(super) fn raise_by(&self, times: u64, now: Timestamp) -> Option<u64> {
        let mut heard = self.0.lock();
        heard.times = heard.times.saturating_add(times);
        if heard.times == 0 {
            return None;
        }
        if heard.said_at.is_some_and(|at| now < at.plus(SAID_EVERY)) {
            return None;
        }
        heard.said_at = Some(now);
        Some(std::mem::take(&mut heard.times))
    }
}

/// A count that others keep, looked at from time to time; it begins anew now and then.
#[derive(Default)]
pub(super) struct Count(Mutex<Option<u64>>);

impl Count {
    /// By how much it has risen since the last look; by nothing at the first one.
    pub(super) fn rise(&self, seen: u64) -> u64 {
        match self.0.lock().replace(seen) {
            Some(before) if before <= seen => seen - before,
            Some(_) => seen,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_with_how_often_it_was() {
        let alarm = Alarm::default();
        let raise = |seconds: u64| alarm.raise(Timestamp(seconds * 1000));
        assert_eq!([raise(0), raise(1), raise(59), raise(60), raise(500)], [Some(1), None, None, Some(3), Some(1)]);
    }

    #[test]
    fn a_count_that_rises_is_said_once_a_minute_and_in_the_end_whole() {
        let (count, alarm) = (Count::default(), Alarm::default());
        let looks = [(0, 7), (5, 9), (10, 9), (15, 12), (70, 12), (75, 12), (140, 0), (145, 4)];
        let said = looks.map(|(seconds, seen)| alarm.raise_by(count.rise(seen), Timestamp(seconds * 1000)));
        // What was there at the first look was said by another.
        assert_eq!(said, [None, Some(2), None, None, Some(3), None, None, Some(4)]);
    }
}
