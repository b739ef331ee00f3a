//! What one look at one thing has found: how things stand, in words, and what to change.

use std::time::Duration;

use serde::Serialize;

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As they should.
    Ok,
    /// There was nothing to look at.
    Absent,
    /// It works, and somebody may be sorry for it one day.
    Warning,
    /// Something does not work.
    Problem,
}

impl Mark {
    /// What stands in front of a finding.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Absent => "-",
            Self::Warning => "warning",
            Self::Problem => "PROBLEM",
        }
    }
}

/// What was looked at, what was found, and what to change. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How things stand.
    pub mark: Mark,
    /// What was looked at: a variable, a server, a directive.
    pub subject: String,
    /// What was found.
    pub found: String,
    /// What to change, in one sentence; nothing where there is nothing to.
    #[serde(rename = "change")]
    pub advice: Option<String>,
}

impl Finding {
    /// Things are as they should.
    pub fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { mark: Mark::Ok, subject: subject.into(), found: found.into(), advice: None }
    }

    /// There is nothing to look at; `found` says what follows from that.
    pub fn absent(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self { mark: Mark::Absent, ..Self::ok(subject, found) }
    }

    /// It works, and `advice` says how it would be better.
    pub fn warning(subject: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { mark: Mark::Warning, advice: Some(advice.into()), ..Self::ok(subject, found) }
    }

    /// Something does not work until `advice` is followed.
    pub fn problem(subject: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { mark: Mark::Problem, advice: Some(advice.into()), ..Self::ok(subject, found) }
    }
}

/// A duration as people say it: with a unit that fits.
pub fn spoken(duration: Duration) -> String {
    match duration.as_millis() {
        0..10 => format!("{:.1} ms", duration.as_secs_f64() * 1000.0),
        10..1_000 => format!("{} ms", duration.as_millis()),
        1_000..120_000 => format!("{} s", (duration.as_millis() + 500) / 1000),
        120_000..7_200_000 => format!("{} min", duration.as_secs() / 60),
        7_200_000..172_800_000 => format!("{} h", duration.as_secs() / 3600),
        _ => format!("{} days", duration.as_secs() / 86_400),
    }
}

/// How far the clock of `whose` is from ours, judged: tokens and time-outs go by them. `uncertain` is what the way there may account for.
pub fn clock(subject: &str, whose: &str, here_ms: u64, there_ms: u64, uncertain: Duration) -> Finding {
    /// Nobody notices less.
    const TOLERATED: Duration = Duration::from_secs(1);
    /// Services refuse what is signed by a clock that is further away.
    const HARMFUL: Duration = Duration::from_secs(30);
    let apart = Duration::from_millis(here_ms.abs_diff(there_ms)).saturating_sub(uncertain);
    let way = if there_ms > here_ms { "ahead of" } else { "behind" };
    let found = format!("the clock of {whose} is {} {way} that of this machine", spoken(apart));
    let advice = "Find out which of the two is wrong, and keep both right with NTP (chrony, systemd-timesyncd)";
    if apart <= TOLERATED {
        Finding::ok(subject, format!("within {} of this machine", spoken(TOLERATED)))
    } else if apart <= HARMFUL {
        Finding::warning(subject, found, advice)
    } else {
        Finding::problem(subject, found, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken_with_a_unit_that_fits() {
        let of = |ms| spoken(Duration::from_millis(ms));
        let spoken = [of(3), of(250), of(1_000), of(45_000), of(600_000), of(86_400_000), of(864_000_000)];
        assert_eq!(spoken, ["3.0 ms", "250 ms", "1 s", "45 s", "10 min", "24 h", "10 days"]);
    }

    #[test]
    fn a_clock_may_be_a_second_away_and_not_half_a_minute() {
        let mark = |there| clock("clock", "Redis", 100_000, there, Duration::from_millis(200)).mark;
        assert_eq!(
            [mark(98_800), mark(101_200), mark(101_300), mark(130_300)],
            [Mark::Ok, Mark::Ok, Mark::Warning, Mark::Problem]
        );
        let found = clock("clock", "Redis", 100_000, 40_000, Duration::ZERO).found;
        assert_eq!(found, "the clock of Redis is 60 s behind that of this machine");
    }
}
