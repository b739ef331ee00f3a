//! The door of every decision: state first, then command.

use crate::call::{Actor, Audience, Call, Command, Effect, Event, Notice, Outcome, Over, Party, Refusal, Rules, State};
use crate::clock::Timestamp;
use crate::ids::UserId;

/// What came of a command that was not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "taken apart where it is made, never kept")]
pub enum Decision {
    /// The call is another one than before.
    Changed(Transition),
    /// There was nothing to do.
    Unchanged,
}

/// A change and what it brings with it, to be carried out together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The call as it is from here on.
    pub call: Call,
    /// What others have to do, in this order.
    pub effects: Vec<Effect>,
}

impl Transition {
    pub(super) fn changed(call: Call, effects: Vec<Effect>) -> Decision {
        Decision::Changed(Self { call, effects })
    }
}

impl Call {
    /// What becomes of this call when `command` is given at `now`.
    ///
    /// # Errors
    /// A [`Refusal`] where the command is not the actor's to give, or comes at the wrong time.
    pub fn decide(&self, command: Command, now: Timestamp, rules: &Rules) -> Result<Decision, Refusal> {
        match &self.state {
            State::Ringing(ringing) => self.decide_ringing(*ringing, command, now, rules),
            State::Accepted(accepted) => self.decide_accepted(accepted, command, now, rules),
            State::Over(over) => self.decide_over(over, &command),
        }
    }

    /// Who receives what `by` says to the other side of this call.
    ///
    /// # Errors
    /// A [`Refusal`] unless the call is accepted and `by` acts for a device that is in it.
    pub fn peer_of(&self, by: &Actor) -> Result<Party, Refusal> {
        if !self.has_party(&by.user) {
            return Err(Refusal::NotAParticipant);
        }
        let State::Accepted(accepted) = &self.state else {
            return Err(Refusal::NotActive);
        };
        if by.acts_for(&self.caller.user, &self.caller.device) {
            Ok(Party { user: self.callee.clone(), device: accepted.callee_device.clone() })
        } else if by.acts_for(&self.callee, &accepted.callee_device) {
            Ok(self.caller.clone())
        } else {
            Err(Refusal::NotAParticipant)
        }
    }

    fn decide_over(&self, over: &Over, command: &Command) -> Result<Decision, Refusal> {
        match command {
            Command::Accept { by } => Err(self.too_late(by, crate::call::Verb::Accepted, over)),
            Command::Reject { by, .. } => Err(self.too_late(by, crate::call::Verb::Rejected, over)),
            Command::End { by, .. } if !self.has_party(&by.user) => Err(Refusal::NotAParticipant),
            Command::End { .. } | Command::Away { .. } | Command::Back { .. } | Command::Expire => {
                Ok(Decision::Unchanged)
            }
        }
    }

    fn too_late(&self, by: &Actor, verb: crate::call::Verb, over: &Over) -> Refusal {
        if by.user == self.callee { Refusal::WrongState { verb, state: over.word() } } else { Refusal::NotTheCallee }
    }

    pub(super) fn over(&self, now: Timestamp, outcome: Outcome) -> Call {
        let accepted_at = match &self.state {
            State::Accepted(accepted) => Some(accepted.at),
            State::Over(over) => over.accepted_at,
            State::Ringing(_) => None,
        };
        Call { state: State::Over(Over { at: now, accepted_at, outcome }), ..self.clone() }
    }

    pub(super) fn tell(&self, user: &UserId, audience: Audience, now: Timestamp, event: Event) -> Effect {
        Effect::Tell { user: user.clone(), audience, notice: Notice { call_id: self.id, at: now, event } }
    }

    pub(super) fn tell_caller(&self, now: Timestamp, event: Event) -> Effect {
        self.tell(&self.caller.user, Audience::Only(self.caller.device.clone()), now, event)
    }
}

impl Over {
    /// The documented word for how the call ended.
    pub fn word(&self) -> &'static str {
        self.outcome.word()
    }
}

impl Outcome {
    /// The word for it on the wire.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Rejected => "rejected",
            Outcome::TimedOut => "timeout",
            Outcome::Ended(_) => "ended",
        }
    }
}
