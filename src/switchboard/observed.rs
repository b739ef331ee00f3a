//! What is measured of calls, from what was committed.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::backplane::{Expected, Outgoing, Payload, Stored};
use crate::call::{Call, Ending, Event, Over, State};
use crate::clock::Timestamp;
use crate::ids::{CallId, UserId};
use crate::metrics::{Ended, FoundBy, Metrics, Rung};
use crate::traces::Traces;

/// Most calls that were answered here and whose descriptions are waited for. Beyond it the oldest is not measured.
const MAX_SETTING_UP: NonZeroUsize = NonZeroUsize::new(8_192).unwrap();

/// What a commit does to a call, as far as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    begins: bool,
    answers: bool,
    ends: bool,
}

impl Change {
    /// What committing `call` upon `expected`, with these messages, does. Only an answer is told as one, and only a live call is
    /// changed.
    pub(super) fn of(expected: &Expected, outbox: &[Outgoing], call: &Call) -> Self {
        let is_answer = |outgoing: &Outgoing| matches!(&outgoing.payload, Payload::Notice(notice) if matches!(notice.event, Event::Accepted { .. }));
        Self {
            begins: matches!(expected, Expected::New { .. }),
            answers: outbox.iter().any(is_answer),
            ends: !call.is_live(),
        }
    }
}

/// The measurements of calls.
pub(super) struct Observed {
    pub(super) metrics: Arc<Metrics>,
    traces: Traces,
    /// When calls were answered here whose device has not described itself yet.
    setting_up: Mutex<LruCache<CallId, Timestamp>>,
}

impl Observed {
    pub(super) fn new(metrics: Arc<Metrics>, traces: Traces) -> Self {
        Self { metrics, traces, setting_up: Mutex::new(LruCache::unbounded()) }
    }

    /// A change of a call was committed.
    pub(super) fn committed(&self, call: &Call, change: Change) {
        let metrics = &self.metrics;
        if change.begins {
            metrics.calls_begun.inc();
        }
        match &call.state {
            State::Accepted(accepted) if change.answers => {
                metrics.calls_answered.inc();
                metrics.call_ring.observe(Rung::Answered, call.created_at.until(accepted.at));
                self.wait_for_description(call.id, accepted.at);
            }
            State::Over(over) if change.ends => {
                let how = how(over, change);
                metrics.calls_ended.inc(how);
                self.traces.call_ended(call, over, how.word());
                self.setting_up.lock().pop(&call.id);
                match over.accepted_at {
                    Some(answered_at) => metrics.call_duration.observe(answered_at.until(over.at)),
                    None if change.begins => {}
                    None => metrics.call_ring.observe(Rung::Unanswered, call.created_at.until(over.at)),
                }
            }
            State::Ringing(_) | State::Accepted(_) | State::Over(_) => {}
        }
    }

    fn wait_for_description(&self, call: CallId, answered_at: Timestamp) {
        let mut setting_up = self.setting_up.lock();
        setting_up.put(call, answered_at);
        if setting_up.len() > MAX_SETTING_UP.get() {
            setting_up.pop_lru();
        }
    }

    /// A device of this node has answered the description of the other one.
    pub(super) fn described(&self, call: CallId, now: Timestamp) {
        if let Some(answered_at) = self.setting_up.lock().pop(&call) {
            self.metrics.call_setup.observe(answered_at.until(now));
        }
    }

    /// A call that rings was looked at, because its deadline has passed.
    pub(super) fn looked_at(&self, call: &Call, found_by: FoundBy, now: Timestamp) {
        if let State::Ringing(_) = &call.state
            && let Some(deadline) = call.deadline()
            && deadline <= now
        {
            self.metrics.ring_timer_lateness.observe(found_by, deadline.until(now));
        }
    }

    /// A device of `user` that can be woken has come, while these calls are live.
    pub(super) fn came(&self, user: &UserId, calls: &[Stored], now: Timestamp) {
        for Stored { call, .. } in calls {
            if matches!(call.state, State::Ringing(_)) && call.callee == *user {
                self.metrics.push_to_connect.observe(call.created_at.until(now));
            }
        }
    }
}

/// The label for how a call ended.
pub(super) fn how(over: &Over, change: Change) -> Ended {
    match Ending::of(over, change.begins) {
        Ending::Busy => Ended::Busy,
        Ending::Rejected => Ended::Rejected,
        Ending::NoAnswer => Ended::NoAnswer,
        Ending::Cancelled => Ended::Cancelled,
        Ending::HungUp => Ended::HungUp,
        Ending::Replaced => Ended::Replaced,
        Ending::ConnectionLost => Ended::ConnectionLost,
        Ending::MaxDuration => Ended::MaxDuration,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{EndReason, Outcome};

    #[test]
    fn a_label_has_the_word_that_everybody_else_has() {
        let outcomes = [
            Outcome::Rejected,
            Outcome::TimedOut,
            Outcome::Ended(EndReason::HungUp(None)),
            Outcome::Ended(EndReason::Replaced),
            Outcome::Ended(EndReason::ConnectionLost),
            Outcome::Ended(EndReason::MaxDuration),
        ];
        for outcome in outcomes {
            for (accepted_at, begins) in [(None, true), (None, false), (Some(Timestamp(5)), false)] {
                let over = Over { at: Timestamp(9), accepted_at, outcome: outcome.clone() };
                let change = Change { begins, ..Change::default() };
                assert_eq!(how(&over, change).word(), Ending::of(&over, begins).word(), "{over:?}");
            }
        }
    }

    #[test]
    fn of_a_call_the_first_description_is_measured_and_no_more_are_waited_for_than_fit() {
        let observed = Observed::new(Metrics::new(), Traces::off());
        let calls: Vec<CallId> = (0..=MAX_SETTING_UP.get()).map(|_| CallId::random()).collect();
        for call in &calls {
            observed.wait_for_description(*call, Timestamp(5));
        }
        for (call, measured) in [(calls[0], 0), (calls[1], 1), (calls[1], 1), (calls[2], 2)] {
            observed.described(call, Timestamp(7));
            assert_eq!(observed.metrics.call_setup.count(), measured);
        }
    }
}
