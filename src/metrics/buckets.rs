//! Upper bounds of histogram buckets, in seconds: few, and close together where a difference matters.

/// Answers of Redis: a tenth of a millisecond on the same machine, half of one next door, and `REDIS_TIMEOUT` (0.8) at the end.
pub(super) const BACKPLANE: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.8, 3.0];

/// What a person in a call does not notice ends at about 0.1. Clocks are read in milliseconds, so nothing is finer.
pub(super) const RELAY: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Deadlines are acted upon within some milliseconds by their own node, within 0.1 to 1 by the others.
pub(super) const LATENESS: &[f64] = &[0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0];

/// People take some seconds to answer; 15 and 45 are where callers that are lost and calls that are unanswered end by default.
pub(super) const RING: &[f64] = &[0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0];

/// Calls are over in seconds if they went wrong, else last minutes, and seldom hours.
pub(super) const DURATION: &[f64] =
    &[5.0, 15.0, 30.0, 60.0, 180.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0];

/// From the answer of a call to the answer of its descriptions: two trips and what a phone needs for its camera and microphone.
pub(super) const SETUP: &[f64] = &[0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5, 4.0, 7.0, 15.0];

/// A phone that is woken takes a second or two, in deep sleep ten and more; a call rings for 45 by default.
pub(super) const WAKING: &[f64] = &[0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 30.0, 45.0];

/// An outage lasts from the blink of a restart to the minutes of a fail-over that did not work.
pub(super) const OUTAGE: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Subscribing takes a trip for each 500 users.
pub(super) const SUBSCRIBING: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A receiver answers within some milliseconds; one that is deployed, or down, has events wait for minutes.
pub(super) const TELLING: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0, 3_600.0];
