//! What an operator has to look at: said once, and again if it goes on.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Timestamp;

/// How often the same thing is said.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// So many in that time are many.
const MANY: u32 = 10;

/// Keeps what was said. There are as many things to say as texts in this room.
#[derive(Default)]
pub(super) struct Alarm(Mutex<HashMap<(&'static str, &'static str), Heard>>);

#[derive(Clone, Copy)]
struct Heard {
    since: Timestamp,
    times: u32,
    is_said: bool,
}

impl Alarm {
    /// Something is wrong with a provider. How often it was, if it is to be said.
    pub(super) fn raise(&self, provider: &'static str, why: &'static str, now: Timestamp) -> Option<u32> {
        self.hear(provider, why, now, 1)
    }

    /// Something happens that is wrong only if it happens often. How often it was, if it is to be said.
    pub(super) fn suspect(&self, provider: &'static str, why: &'static str, now: Timestamp) -> Option<u32> {
        self.hear(provider, why, now, MANY)
    }

    fn hear(&self, provider: &'static str, why: &'static str, now: Timestamp, enough: u32) -> Option<u32> {
        let mut all = self.0.lock();
        let new = Heard { since: now, times: 0, is_said: false };
        let heard = all.entry((provider, why)).or_insert(new);
        let mut times_before = 0;
        if now >= heard.since.plus(SAID_EVERY) {
            // What came after the last word is said with the next.
            times_before = if heard.is_said { heard.times } else { 0 };
            *heard = new;
        }
        heard.times += 1;
        if heard.is_said || heard.times < enough {
            return None;
        }
        let times = heard.times + times_before;
        *heard = Heard { times: 0, is_said: true, ..*heard };
        Some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_with_how_often_it_was() {
        let alarm = Alarm::default();
        let raise = |why, seconds: u64| alarm.raise("fcm", why, Timestamp(seconds * 1000));
        assert_eq!(raise("a", 0), Some(1));
        assert_eq!((raise("a", 1), raise("a", 59)), (None, None));
        assert_eq!(raise("b", 59), Some(1));
        assert_eq!(raise("a", 60), Some(3));
        assert_eq!(raise("a", 600), Some(1));
    }

    #[test]
    fn what_is_wrong_if_often_is_said_when_it_is() {
        let alarm = Alarm::default();
        for n in 1..u64::from(MANY) {
            assert_eq!(alarm.suspect("fcm", "a", Timestamp(n * 1000)), None);
        }
        assert_eq!(alarm.suspect("fcm", "a", Timestamp(59_000)), Some(MANY));
        for n in 0..100 {
            assert_eq!(alarm.suspect("apns", "a", Timestamp(n * 60_000)), None, "one a minute is not many");
        }
    }
}
