//! The only reader of time. Everything that decides by time is handed a [`Timestamp`].

#[cfg(test)]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use tokio::time::Instant;

/// Milliseconds since the Unix epoch, as the wire has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment plus `duration`, in whole milliseconds.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// How long it is from this moment to `later`; zero if it has passed.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// The moment as ISO 8601 has it, in UTC: `2024-01-01T00:00:00.000Z`. The epoch itself for moments past the year 9999.
    pub fn to_iso8601(self) -> String {
        let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute(),
            date.second(),
            date.millisecond()
        )
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells the time. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    /// The operating system's, corrected by so many milliseconds.
    Corrected(&'static AtomicI64),
    /// Stands still until it is set; corrected by so many milliseconds.
    #[cfg(test)]
    ByHand(&'static AtomicU64, &'static AtomicI64),
    /// Follows tokio's clock, which tests pause and advance.
    Tokio {
        origin: Instant,
        epoch: Timestamp,
    },
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The operating system's clock, corrected as the answer is told. Takes some bytes for ever: for one clock of a process.
    pub fn corrected() -> (Self, Correction) {
        let millis: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(0)));
        (Self(Source::Corrected(millis)), Correction(millis))
    }

    /// A clock that starts at `epoch` and advances with tokio's, so that a test can move it.
    #[expect(clippy::disallowed_methods, reason = "this is the reader of time")]
    pub fn following_tokio(epoch: Timestamp) -> Self {
        Self(Source::Tokio { origin: Instant::now(), epoch })
    }

    /// A clock that stands still until its hand is moved: milliseconds since the epoch.
    #[cfg(test)]
    pub(crate) fn set_by_hand(start: Timestamp) -> (Self, &'static AtomicU64) {
        let (clock, hand, _) = Self::set_by_hand_and_corrected(start);
        (clock, hand)
    }

    /// Such a clock that is corrected as the answer is told, too.
    #[cfg(test)]
    pub(crate) fn set_by_hand_and_corrected(start: Timestamp) -> (Self, &'static AtomicU64, Correction) {
        let hand: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(start.0)));
        let millis: &'static AtomicI64 = Box::leak(Box::new(AtomicI64::new(0)));
        (Self(Source::ByHand(hand, millis)), hand, Correction(millis))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => system_time(),
            Source::Corrected(millis) => {
                Timestamp(system_time().0.saturating_add_signed(millis.load(Ordering::Relaxed)))
            }
            #[cfg(test)]
            Source::ByHand(hand, millis) => {
                Timestamp(hand.load(Ordering::SeqCst).saturating_add_signed(millis.load(Ordering::Relaxed)))
            }
            Source::Tokio { origin, epoch } => epoch.plus(origin.elapsed()),
        }
    }

    /// The same, finer: in nanoseconds since the Unix epoch, where the clock is as fine as that.
    pub fn nanos(&self) -> u64 {
        const MILLION: u64 = 1_000_000;
        let correction = match self.0 {
            Source::System => 0,
            Source::Corrected(millis) => millis.load(Ordering::Relaxed),
            #[cfg(test)]
            Source::ByHand(..) => return self.now().0 * MILLION,
            Source::Tokio { .. } => return self.now().0 * MILLION,
        };
        let nanos = u64::try_from(since_epoch().as_nanos()).unwrap_or(u64::MAX);
        nanos.saturating_add_signed(correction * 1_000_000)
    }
}

fn system_time() -> Timestamp {
    Timestamp(millis(since_epoch()))
}

#[expect(clippy::disallowed_methods, reason = "this is the reader of time")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Measures how long something takes, finer than a [`Timestamp`] could, whatever becomes of the time of day meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at this moment.
    #[expect(clippy::disallowed_methods, reason = "this is the reader of time")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// How long it has run.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Sets a clock right: nodes that share a backplane go by its clock.
#[derive(Clone, Copy, Debug)]
pub struct Correction(&'static AtomicI64);

impl Correction {
    /// How many milliseconds the clock is ahead of the operating system's.
    pub fn millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Puts the clock so many milliseconds ahead of the operating system's.
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_look_like_javascripts() {
        assert_eq!(Timestamp(0).to_iso8601(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_709_251_199_987).to_iso8601(), "2024-02-29T23:59:59.987Z");
        assert_eq!(Timestamp(u64::MAX).to_iso8601(), "1970-01-01T00:00:00.000Z");
    }
}
