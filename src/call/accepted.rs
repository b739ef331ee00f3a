//! What an accepted call does.

use crate::call::{
    Accepted, Actor, Audience, Call, Command, Decision, Effect, EndReason, Event, Hangup, Outcome, Party, Refusal,
    Rules, State, Transition, Verb,
};
use crate::clock::Timestamp;
use crate::ids::{DeviceId, UserId};

impl Call {
    pub(super) fn decide_accepted(
        &self,
        accepted: &Accepted,
        command: Command,
        now: Timestamp,
        rules: &Rules,
    ) -> Result<Decision, Refusal> {
        match command {
            Command::Accept { by } => Err(self.already_accepted(&by, Verb::Accepted)),
            Command::Reject { by, .. } => Err(self.already_accepted(&by, Verb::Rejected)),
            Command::End { by, .. } if !self.has_party(&by.user) => Err(Refusal::NotAParticipant),
            Command::End { by, hangup } => Ok(self.hang_up(accepted, &by, hangup, now)),
            Command::Away { user, device } => {
                Ok(self.party_away(accepted, &user, &device, now.plus(rules.away_timeout)))
            }
            Command::Back { user, device, formerly } => {
                Ok(self.party_back(accepted, &user, &device, formerly.as_ref()))
            }
            Command::Expire if now >= accepted.until => {
                Ok(self.end_for_both(accepted, None, EndReason::MaxDuration, now))
            }
            Command::Expire if accepted.caller_given_up_at.is_some_and(|at| now >= at) => {
                Ok(self.end_for_both(accepted, Some(&self.caller.user), EndReason::ConnectionLost, now))
            }
            Command::Expire if accepted.callee_given_up_at.is_some_and(|at| now >= at) => {
                Ok(self.end_for_both(accepted, Some(&self.callee), EndReason::ConnectionLost, now))
            }
            Command::Expire => Ok(Decision::Unchanged),
        }
    }

    fn already_accepted(&self, by: &Actor, verb: Verb) -> Refusal {
        if by.user == self.callee { Refusal::WrongState { verb, state: "accepted" } } else { Refusal::NotTheCallee }
    }

    /// The other party is told; and the device that was in the call, if another one of the same user hung up for it.
    fn hang_up(&self, accepted: &Accepted, by: &Actor, hangup: Hangup, now: Timestamp) -> Decision {
        let reason = EndReason::from(hangup);
        let event = Event::Ended { ended_by: Some(by.user.clone()), reason: reason.clone() };
        let effects = self
            .parties(accepted)
            .into_iter()
            .filter(|party| !by.acts_for(&party.user, &party.device))
            .map(|party| self.tell_party(party, now, event.clone()))
            .collect();
        Transition::changed(self.over(now, Outcome::Ended(reason)), effects)
    }

    fn end_for_both(&self, accepted: &Accepted, by: Option<&UserId>, reason: EndReason, now: Timestamp) -> Decision {
        let event = Event::Ended { ended_by: by.cloned(), reason: reason.clone() };
        let effects =
            self.parties(accepted).into_iter().map(|party| self.tell_party(party, now, event.clone())).collect();
        Transition::changed(self.over(now, Outcome::Ended(reason)), effects)
    }

    fn party_away(&self, accepted: &Accepted, user: &UserId, device: &DeviceId, give_up_at: Timestamp) -> Decision {
        let mut after = accepted.clone();
        if self.caller.is(user, device) {
            after.caller_given_up_at.get_or_insert(give_up_at);
        } else if self.callee == *user && accepted.callee_device == *device {
            after.callee_given_up_at.get_or_insert(give_up_at);
        }
        self.with_accepted(accepted, after, self.caller.clone())
    }

    fn party_back(
        &self,
        accepted: &Accepted,
        user: &UserId,
        device: &DeviceId,
        formerly: Option<&DeviceId>,
    ) -> Decision {
        let is_back = |of: &UserId, was: &DeviceId| of == user && (was == device || formerly == Some(was));
        let mut after = accepted.clone();
        let mut caller = self.caller.clone();
        if is_back(&self.caller.user, &self.caller.device) {
            caller.device = device.clone();
            after.caller_given_up_at = None;
        } else if is_back(&self.callee, &accepted.callee_device) {
            after.callee_device = device.clone();
            after.callee_given_up_at = None;
        }
        self.with_accepted(accepted, after, caller)
    }

    fn with_accepted(&self, before: &Accepted, after: Accepted, caller: Party) -> Decision {
        if after == *before && caller == self.caller {
            return Decision::Unchanged;
        }
        Transition::changed(Call { state: State::Accepted(after), caller, ..self.clone() }, Vec::new())
    }

    fn parties(&self, accepted: &Accepted) -> [Party; 2] {
        [self.caller.clone(), Party { user: self.callee.clone(), device: accepted.callee_device.clone() }]
    }

    fn tell_party(&self, party: Party, now: Timestamp, event: Event) -> Effect {
        self.tell(&party.user, Audience::Only(party.device), now, event)
    }
}
