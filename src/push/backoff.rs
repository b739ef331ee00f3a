//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(8);

/// Who asks for more than a day asks for more than any message waits; and what is far longer cannot be reckoned with.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The pause after attempt number `attempt`, the first being 0. `chance`, from 0 to 1, spreads those who failed together: over the
/// later half of the pause where it is ours, over a quarter more where the service has named it. One that names none, or a moment
/// that has passed by our clock, is left alone all the same.
pub(super) fn pause(attempt: u32, asked_for: Option<Duration>, chance: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST);
    let ours = doubled.mul_f64(f64::midpoint(1.0, chance));
    asked_for.map_or(ours, |asked_for| asked_for.min(LONGEST_ASKED_FOR).mul_f64(1.0 + chance / 4.0).max(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_eight_seconds_and_is_spread_over_its_later_half() {
        let bounds = |attempt| [0.0, 1.0].map(|chance| pause(attempt, None, chance).as_millis());
        assert_eq!(bounds(0), [200, 400]);
        assert_eq!(bounds(1), [400, 800]);
        assert_eq!(bounds(4), [3200, 6400]);
        assert_eq!(bounds(5), [4000, 8000]);
        assert_eq!(bounds(u32::MAX), [4000, 8000]);
    }

    #[test]
    fn a_pause_that_the_service_asks_for_is_never_cut_short() {
        let bounds = [0.0, 1.0].map(|chance| pause(3, Some(Duration::from_secs(60)), chance).as_secs());
        assert_eq!(bounds, [60, 75]);
        assert_eq!(pause(3, Some(LONGEST_ASKED_FOR * 2), 0.0), pause(3, Some(Duration::MAX), 0.0));
    }

    #[test]
    fn a_service_that_asks_for_no_pause_is_not_hurried() {
        for attempt in [0, 3, u32::MAX] {
            assert_eq!(pause(attempt, Some(Duration::ZERO), 0.5), pause(attempt, None, 0.5));
        }
    }
}
