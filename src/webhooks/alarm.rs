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
    times: u32,
}

impl Alarm {
    /// It has happened. How often it was since it was said last, if it is to be said.
    pub(super) fn raise(&self, now: Timestamp) -> Option<u32> {
        let mut heard = self.0.lock();
        heard.times += 1;
        if heard.said_at.is_some_and(|at| now < at.plus(SAID_EVERY)) {
            return None;
        }
        heard.said_at = Some(now);
        Some(std::mem::take(&mut heard.times))
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
}
