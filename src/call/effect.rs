//! What a decision asks others to do: who is told what, and who is woken.

use crate::call::{CallType, CallerDisplay, EndReason, Text};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, UserId};

/// Something to be done because a call changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send an event.
    Tell {
        /// To whom.
        user: UserId,
        /// To which of their devices.
        audience: Audience,
        /// What.
        notice: Notice,
    },
    /// Reach devices that are not connected.
    Wake {
        /// Whose.
        user: UserId,
        /// For what.
        wake: Wake,
    },
}

/// Which devices of a user an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every one.
    All,
    /// This one alone.
    Only(DeviceId),
    /// Every one but this.
    Except(DeviceId),
}

/// An event about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The call.
    pub call_id: CallId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened to a call, as one of its parties is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To the callee: it rings.
    Incoming {
        /// Who calls.
        caller: UserId,
        /// What to show of them.
        display: CallerDisplay,
        /// Audio or video.
        call_type: CallType,
    },
    /// To the caller: answered.
    Accepted {
        /// By whom.
        callee: UserId,
    },
    /// To the caller: declined.
    Rejected {
        /// By whom.
        callee: UserId,
        /// In their words; clients take none for "declined".
        reason: Option<Text>,
    },
    /// To the other party: over.
    Ended {
        /// Who ended it; `None` if nobody did.
        ended_by: Option<UserId>,
        /// Why.
        reason: EndReason,
    },
    /// To the caller: nobody answered.
    NoAnswer,
    /// To the callee: it has stopped ringing unanswered.
    Missed,
    /// To the callee's other devices: it has stopped ringing because of this one.
    Cancelled(Elsewhere),
}

/// What another device of the same user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It answered.
    Answered,
    /// It declined.
    Declined,
}

/// What a device that is not connected is told about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// It rings.
    Ring,
    /// It rings no more, and this is why.
    Stop {
        /// Why.
        why: Silence,
        /// The device that knows already: it answered, or declined.
        except: Option<DeviceId>,
    },
    /// It was missed.
    Missed,
}

/// Why a device rings no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// The caller hung up, or was lost.
    Cancelled,
    /// Nobody answered in time.
    TimedOut,
    /// Another device answered, or declined.
    Elsewhere(Elsewhere),
}
