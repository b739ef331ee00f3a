//! The turns in the life of a call that others are told of, each with all that can be said of the call by then.

use std::time::Duration;

use crate::call::{Actor, Call, CallType, EndReason, Outcome, Over, Party, State};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, UserId};

/// A call has begun, was answered, or is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// Which of them.
    pub turn: Turn,
    /// When.
    pub at: Timestamp,
    /// The call.
    pub call: CallId,
    /// With or without a picture.
    pub call_type: CallType,
    /// Who calls, and from which device.
    pub caller: Party,
    /// Who is called.
    pub callee: UserId,
    /// The device of the callee that answered, if one has.
    pub callee_device: Option<DeviceId>,
    /// When the call was made.
    pub created_at: Timestamp,
    /// When it was answered, if it was.
    pub answered_at: Option<Timestamp>,
    /// Who brought it about; `None` where nobody did, but time.
    pub by: Option<Party>,
}

/// What a call may come to. It comes to each once at most, and in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// It has begun; it rings, or meets a busy callee.
    Started,
    /// A device of the callee has answered.
    Answered,
    /// It is over, in this way.
    Ended(Ending),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The callee was busy.
    Busy,
    /// The callee did not want it.
    Rejected,
    /// Nobody answered in time.
    NoAnswer,
    /// Somebody hung up before it was answered.
    Cancelled,
    /// Somebody hung up.
    HungUp,
    /// The device of a party turned to another call.
    Replaced,
    /// A party lost the connection and stayed away.
    ConnectionLost,
    /// It had lasted as long as a call may.
    MaxDuration,
}

impl Turn {
    /// Its place among the turns of a call: 0, 1, 2.
    pub fn place(self) -> u8 {
        match self {
            Self::Started => 0,
            Self::Answered => 1,
            Self::Ended(_) => 2,
        }
    }
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Busy,
        Self::Rejected,
        Self::NoAnswer,
        Self::Cancelled,
        Self::HungUp,
        Self::Replaced,
        Self::ConnectionLost,
        Self::MaxDuration,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::NoAnswer => "no_answer",
            Self::Cancelled => "cancelled",
            Self::HungUp => "hung_up",
            Self::Replaced => "replaced",
            Self::ConnectionLost => "connection_lost",
            Self::MaxDuration => "max_duration",
        }
    }

    /// How a call ended; one that was over as soon as it began met a busy callee.
    pub fn of(over: &Over, at_once: bool) -> Self {
        match &over.outcome {
            Outcome::Rejected if at_once => Self::Busy,
            Outcome::Rejected => Self::Rejected,
            Outcome::TimedOut => Self::NoAnswer,
            Outcome::Ended(EndReason::HungUp(_)) if over.accepted_at.is_some() => Self::HungUp,
            Outcome::Ended(EndReason::HungUp(_)) => Self::Cancelled,
            Outcome::Ended(EndReason::Replaced) => Self::Replaced,
            Outcome::Ended(EndReason::ConnectionLost) => Self::ConnectionLost,
            Outcome::Ended(EndReason::MaxDuration) => Self::MaxDuration,
        }
    }
}

impl Milestone {
    /// What a change from `before`, or a beginning, to `after` comes to; `by` whoever asked for it. None, one, or two: a call to a
    /// busy callee is over as soon as it begins.
    pub fn of(before: Option<&Call>, after: &Call, by: Option<&Actor>) -> Vec<Self> {
        let mut turns = Vec::new();
        if before.is_none() {
            turns.push((Turn::Started, after.created_at));
        }
        let was_accepted = before.is_some_and(|before| matches!(before.state, State::Accepted(_)));
        match &after.state {
            State::Ringing(_) => {}
            State::Accepted(accepted) if !was_accepted => turns.push((Turn::Answered, accepted.at)),
            State::Accepted(_) => {}
            State::Over(over) => {
                turns.push((Turn::Ended(Ending::of(over, before.is_none())), over.at));
            }
        }
        turns.into_iter().map(|(turn, at)| Self::new(turn, at, before, after, by)).collect()
    }

    fn new(turn: Turn, at: Timestamp, before: Option<&Call>, after: &Call, by: Option<&Actor>) -> Self {
        let answered_by = |call: &Call| match &call.state {
            State::Accepted(accepted) => Some(accepted.callee_device.clone()),
            State::Ringing(_) | State::Over(_) => None,
        };
        let answered_at = match &after.state {
            State::Ringing(_) => None,
            State::Accepted(accepted) => Some(accepted.at),
            State::Over(over) => over.accepted_at,
        };
        let by = match turn {
            Turn::Started => Some(after.caller.clone()),
            // Nobody asks for what time brings about, and a busy callee does nothing.
            Turn::Ended(Ending::Busy | Ending::NoAnswer | Ending::MaxDuration) => None,
            Turn::Ended(Ending::ConnectionLost) => before.and_then(|before| before.given_up(at)),
            Turn::Answered | Turn::Ended(_) => by.map(|by| Party { user: by.user.clone(), device: by.device.clone() }),
        };
        Self {
            turn,
            at,
            call: after.id,
            call_type: after.call_type,
            caller: after.caller.clone(),
            callee: after.callee.clone(),
            callee_device: answered_by(after).or_else(|| before.and_then(answered_by)),
            created_at: after.created_at,
            answered_at,
            by,
        }
    }

    /// How long it rang, until it was answered or over.
    pub fn rang_for(&self) -> Duration {
        self.created_at.until(self.answered_at.unwrap_or(self.at))
    }

    /// Whether the callee has missed the call: it is over, nobody answered, and nobody declined.
    pub fn is_missed(&self) -> bool {
        let is_declined = self.by.as_ref().is_some_and(|by| by.user == self.callee);
        matches!(self.turn, Turn::Ended(_)) && self.answered_at.is_none() && !is_declined
    }
}

impl Call {
    /// Who had stayed away for too long at `at`; the caller, if both.
    fn given_up(&self, at: Timestamp) -> Option<Party> {
        let passed = |given_up_at: Option<Timestamp>| given_up_at.is_some_and(|given_up_at| given_up_at <= at);
        match &self.state {
            State::Ringing(_) => Some(self.caller.clone()),
            State::Accepted(accepted) if passed(accepted.caller_given_up_at) => Some(self.caller.clone()),
            State::Accepted(accepted) if passed(accepted.callee_given_up_at) => {
                Some(Party { user: self.callee.clone(), device: accepted.callee_device.clone() })
            }
            State::Accepted(_) | State::Over(_) => None,
        }
    }
}
