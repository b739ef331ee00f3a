//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(8);

/// The pause after attempt number `attempt`, the first being 0. `chance`, from 0 to 1, spreads those who failed together: over the
/// later half of the pause where it is ours, over a quarter more where the service has named it.
pub(super) fn pause(attempt: u32, asked_for: Option<Duration>, chance: f64) -> Duration {
    if let Some(asked_for) = asked_for {
        return asked_for.mul_f64(1.0 + chance / 4.0);
    }
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST);
    doubled.mul_f64(f64::midpoint(1.0, chance))
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
        assert_eq!(pause(3, Some(Duration::ZERO), 1.0), Duration::ZERO);
    }
}
