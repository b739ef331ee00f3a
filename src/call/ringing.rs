//! What a ringing call does.

use crate::call::{
    Accepted, Actor, Audience, Call, Command, Decision, Effect, Elsewhere, EndReason, Event, Hangup, Outcome, Refusal,
    Ringing, Rules, Silence, State, Text, Transition, Wake,
};
use crate::clock::Timestamp;

impl Call {
    pub(super) fn decide_ringing(
        &self,
        ringing: Ringing,
        command: Command,
        now: Timestamp,
        rules: &Rules,
    ) -> Result<Decision, Refusal> {
        match command {
            Command::Accept { by } if by.user != self.callee => Err(Refusal::NotTheCallee),
            // Answered after the deadline, before anybody looked: the time-out stands, and is about to be acted on.
            Command::Accept { .. } if now >= ringing.until => Ok(self.time_out(now)),
            Command::Accept { by } => Ok(self.accept(ringing, &by, now, rules)),
            Command::Reject { by, .. } if by.user != self.callee => Err(Refusal::NotTheCallee),
            Command::Reject { by, reason } => Ok(self.reject(&by, reason, now)),
            Command::End { by, hangup } => self.hang_up_ringing(&by, hangup, now),
            Command::Away { user, device } if self.caller.is(&user, &device) => {
                Ok(self.caller_away(ringing, Some(now.plus(rules.caller_away_timeout))))
            }
            Command::Away { .. } => Ok(Decision::Unchanged),
            Command::Back { user, device, formerly } => {
                let renamed = formerly.is_some_and(|formerly| self.caller.is(&user, &formerly));
                let mut call = self.clone();
                if renamed {
                    call.caller.device = device.clone();
                }
                Ok(if call.caller.is(&user, &device) { call.caller_here(self, ringing) } else { Decision::Unchanged })
            }
            Command::Expire if now >= ringing.until => Ok(self.time_out(now)),
            Command::Expire if ringing.caller_given_up_at.is_some_and(|at| now >= at) => {
                Ok(self.caller_stayed_away(now))
            }
            Command::Expire => Ok(Decision::Unchanged),
        }
    }

    fn accept(&self, ringing: Ringing, by: &Actor, now: Timestamp, rules: &Rules) -> Decision {
        let accepted = Accepted {
            at: now,
            until: now.plus(rules.max_duration),
            callee_device: by.device.clone(),
            // A caller who is away gets the longer patience of a call that was answered.
            caller_given_up_at: ringing.caller_given_up_at.map(|_| now.plus(rules.away_timeout)),
            callee_given_up_at: None,
        };
        let mut effects = vec![
            self.tell_caller(now, Event::Accepted { callee: self.callee.clone() }),
            self.tell_others_of_callee(by, Elsewhere::Answered, now),
        ];
        effects.extend(self.stop_others(by, Elsewhere::Answered));
        Transition::changed(Call { state: State::Accepted(accepted), ..self.clone() }, effects)
    }

    fn reject(&self, by: &Actor, reason: Option<Text>, now: Timestamp) -> Decision {
        let mut effects = vec![
            self.tell_caller(now, Event::Rejected { callee: self.callee.clone(), reason }),
            self.tell_others_of_callee(by, Elsewhere::Declined, now),
        ];
        effects.extend(self.stop_others(by, Elsewhere::Declined));
        Transition::changed(self.over(now, Outcome::Rejected), effects)
    }

    fn hang_up_ringing(&self, by: &Actor, hangup: Hangup, now: Timestamp) -> Result<Decision, Refusal> {
        let reason = EndReason::from(hangup);
        let ended = Event::Ended { ended_by: Some(by.user.clone()), reason: reason.clone() };
        let mut effects = if by.user == self.caller.user {
            vec![self.tell(&self.callee, Audience::All, now, ended.clone())]
        } else if by.user == self.callee {
            vec![self.tell_caller(now, ended.clone()), self.tell_others_of_callee(by, Elsewhere::Declined, now)]
        } else {
            return Err(Refusal::NotAParticipant);
        };
        if by.user == self.caller.user && by.registered && by.device != self.caller.device {
            effects.push(self.tell_caller(now, ended));
        }
        if by.user == self.caller.user {
            effects.extend(self.stop_all(Silence::Cancelled));
        } else {
            effects.extend(self.stop_others(by, Elsewhere::Declined));
        }
        Ok(Transition::changed(self.over(now, Outcome::Ended(reason)), effects))
    }

    fn time_out(&self, now: Timestamp) -> Decision {
        let mut effects =
            vec![self.tell_caller(now, Event::NoAnswer), self.tell(&self.callee, Audience::All, now, Event::Missed)];
        effects.extend(self.stop_all(Silence::TimedOut));
        Transition::changed(self.over(now, Outcome::TimedOut), effects)
    }

    fn caller_away(&self, ringing: Ringing, given_up_at: Option<Timestamp>) -> Decision {
        if ringing.caller_given_up_at.is_some() && given_up_at.is_some() {
            return Decision::Unchanged;
        }
        let state = State::Ringing(Ringing { caller_given_up_at: given_up_at, ..ringing });
        Transition::changed(Call { state, ..self.clone() }, Vec::new())
    }

    fn caller_here(self, before: &Call, ringing: Ringing) -> Decision {
        if ringing.caller_given_up_at.is_none() && self.caller == before.caller {
            return Decision::Unchanged;
        }
        self.caller_away(ringing, None)
    }

    fn caller_stayed_away(&self, now: Timestamp) -> Decision {
        let ended = Event::Ended { ended_by: Some(self.caller.user.clone()), reason: EndReason::ConnectionLost };
        let mut effects =
            vec![self.tell(&self.callee, Audience::All, now, ended.clone()), self.tell_caller(now, ended)];
        effects.extend(self.stop_all(Silence::Cancelled));
        Transition::changed(self.over(now, Outcome::Ended(EndReason::ConnectionLost)), effects)
    }

    fn tell_others_of_callee(&self, by: &Actor, elsewhere: Elsewhere, now: Timestamp) -> Effect {
        self.tell(&self.callee, Audience::Except(by.device.clone()), now, Event::Cancelled(elsewhere))
    }

    /// Nobody has answered: every device of the callee rings no more, and has missed a call.
    fn stop_all(&self, why: Silence) -> [Effect; 2] {
        let wake = |wake| Effect::Wake { user: self.callee.clone(), wake };
        [wake(Wake::Stop { why, except: None }), wake(Wake::Missed)]
    }

    /// The other devices of the callee ring no more. Which devices those are nobody knows if the one that acts has not
    /// registered: better one that rings on until its time than one that takes its own answer for that of another.
    fn stop_others(&self, by: &Actor, elsewhere: Elsewhere) -> Option<Effect> {
        let wake = Wake::Stop { why: Silence::Elsewhere(elsewhere), except: Some(by.device.clone()) };
        by.registered.then(|| Effect::Wake { user: self.callee.clone(), wake })
    }
}

impl From<Hangup> for EndReason {
    fn from(hangup: Hangup) -> Self {
        match hangup {
            Hangup::Said(reason) => EndReason::HungUp(reason),
            Hangup::Replaced => EndReason::Replaced,
        }
    }
}
