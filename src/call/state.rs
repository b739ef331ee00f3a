//! What a call is: its two parties, its state, and when it wants to be looked at again.

use std::time::Duration;

use crate::call::{EndReason, Text};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, RequestId, UserId};

/// How long things may take. Read when a decision is made; what it led to is kept in the call.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long a call rings before it counts as unanswered.
    pub ring_timeout: Duration,
    /// How long a ringing call waits for a caller who lost the connection.
    pub caller_away_timeout: Duration,
    /// How long an accepted call waits for a party who lost the connection.
    pub away_timeout: Duration,
    /// How long an accepted call may last at all.
    pub max_duration: Duration,
    /// How long after its answer a call makes its parties busy. Later their devices are asked: a client that failed without
    /// saying so must not stay unreachable for as long as its forgotten call exists.
    pub busy_window: Duration,
}

/// One call between two users, of which at most one device each takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its id, unguessable.
    pub id: CallId,
    /// Who calls, and from which device.
    pub caller: Party,
    /// Who is called.
    pub callee: UserId,
    /// Audio or video.
    pub call_type: CallType,
    /// What the callee is shown of the caller.
    pub display: CallerDisplay,
    /// What the caller's app called its request, to find this call again after a lost answer.
    pub request_id: Option<RequestId>,
    /// When the call was made.
    pub created_at: Timestamp,
    /// How far it has come.
    pub state: State,
}

/// A user, by one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The person.
    pub user: UserId,
    /// The device that takes part.
    pub device: DeviceId,
}

impl Party {
    /// Whether this is that device of that user.
    pub fn is(&self, user: &UserId, device: &DeviceId) -> bool {
        self.user == *user && self.device == *device
    }
}

/// With or without a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallType {
    /// Sound only.
    Audio,
    /// Sound and picture.
    Video,
}

/// What the callee is shown of the caller, as the caller's app said it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CallerDisplay {
    /// A name; clients show "Unknown" where there is none.
    pub name: Option<Text>,
    /// Usually the address of a picture.
    pub avatar: Option<Text>,
}

impl CallerDisplay {
    /// Its size in bytes.
    pub fn size(&self) -> usize {
        [&self.name, &self.avatar].into_iter().flatten().map(|text| text.as_str().len()).sum()
    }
}

/// How far a call has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The callee's devices ring.
    Ringing(Ringing),
    /// A device of the callee has answered.
    Accepted(Accepted),
    /// It is over; nothing changes any more.
    Over(Over),
}

/// A call that rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ringing {
    /// When the call counts as unanswered.
    pub until: Timestamp,
    /// When it is given up because the caller is away; `None` while the caller is here.
    pub caller_given_up_at: Option<Timestamp>,
}

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// When.
    pub at: Timestamp,
    /// When the call is ended whatever happens.
    pub until: Timestamp,
    /// The device of the callee that answered.
    pub callee_device: DeviceId,
    /// When the call is given up because the caller is away; `None` while the caller is here.
    pub caller_given_up_at: Option<Timestamp>,
    /// The same for the callee.
    pub callee_given_up_at: Option<Timestamp>,
}

/// A call that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// When it ended.
    pub at: Timestamp,
    /// When it had been answered, if it was.
    pub accepted_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Outcome,
}

/// The one way in which a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The callee did not want it, or was busy.
    Rejected,
    /// Nobody answered in time.
    TimedOut,
    /// Somebody hung up, or it was ended for them.
    Ended(EndReason),
}

impl Call {
    /// Whether anything can still happen to this call.
    pub fn is_live(&self) -> bool {
        !matches!(self.state, State::Over(_))
    }

    /// Whether `user` is one of the two.
    pub fn has_party(&self, user: &UserId) -> bool {
        self.caller.user == *user || self.callee == *user
    }

    /// The moment at which this call wants to be looked at again; `None` once it is over.
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            State::Ringing(ringing) => {
                Some(ringing.caller_given_up_at.map_or(ringing.until, |at| at.min(ringing.until)))
            }
            State::Accepted(accepted) => {
                let given_up_at = [accepted.caller_given_up_at, accepted.callee_given_up_at];
                Some(given_up_at.into_iter().flatten().fold(accepted.until, Timestamp::min))
            }
            State::Over(_) => None,
        }
    }

    /// Until when it rings; `None` if it does not, or has done so for as long as it may.
    pub fn rings_until(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.state {
            State::Ringing(ringing) if now < ringing.until => Some(ringing.until),
            State::Ringing(_) | State::Accepted(_) | State::Over(_) => None,
        }
    }

    /// When it stopped ringing; `None` if it still does.
    pub fn stopped_ringing_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Ringing(_) => None,
            State::Accepted(accepted) => Some(accepted.at),
            State::Over(over) => Some(over.accepted_at.unwrap_or(over.at)),
        }
    }

    /// Whether it has rung, or lasted, as long as it may, whoever is away.
    pub fn has_run_out(&self, now: Timestamp) -> bool {
        match &self.state {
            State::Ringing(ringing) => now >= ringing.until,
            State::Accepted(accepted) => now >= accepted.until,
            State::Over(_) => false,
        }
    }

    /// The devices whose connection this call depends on.
    pub fn needed_parties(&self) -> Vec<Party> {
        match &self.state {
            State::Ringing(_) => vec![self.caller.clone()],
            State::Accepted(accepted) => {
                let callee = Party { user: self.callee.clone(), device: accepted.callee_device.clone() };
                vec![self.caller.clone(), callee]
            }
            State::Over(_) => Vec::new(),
        }
    }

    /// The devices that are waited for, and would end this call by staying away.
    pub fn away_parties(&self) -> Vec<Party> {
        let caller = |away: Option<Timestamp>| away.map(|_| self.caller.clone());
        match &self.state {
            State::Ringing(ringing) => caller(ringing.caller_given_up_at).into_iter().collect(),
            State::Accepted(accepted) => {
                let callee = accepted
                    .callee_given_up_at
                    .map(|_| Party { user: self.callee.clone(), device: accepted.callee_device.clone() });
                caller(accepted.caller_given_up_at).into_iter().chain(callee).collect()
            }
            State::Over(_) => Vec::new(),
        }
    }
}
