//! How a call begins: it rings, meets a busy line, or turns out to be under way already.

use crate::call::{
    Actor, Audience, Call, CallType, CallerDisplay, Effect, Event, Outcome, Over, Party, Refusal, Ringing, Rules,
    State, Text, Transition, Wake,
};
use crate::clock::Timestamp;
use crate::ids::{CallId, RequestId, UserId};

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id the call will have.
    pub id: CallId,
    /// Who calls.
    pub caller: Actor,
    /// Who is called.
    pub callee: UserId,
    /// Audio or video.
    pub call_type: CallType,
    /// What the callee is shown.
    pub display: CallerDisplay,
    /// What the client calls this request.
    pub request_id: Option<RequestId>,
}

/// How a call begins.
#[derive(Clone, Debug)]
pub enum Initiation {
    /// It rings.
    Ring(Transition),
    /// The callee is busy: the call begins and ends at once, without disturbing them.
    Busy(Transition),
    /// This very device rings this very person already.
    Same(Call),
}

impl Call {
    /// Begins a call, given the live calls of both parties.
    ///
    /// # Errors
    /// [`Refusal::SelfCall`].
    pub fn initiate<'a>(
        request: Request,
        caller_calls: impl IntoIterator<Item = &'a Call>,
        callee_calls: impl IntoIterator<Item = &'a Call>,
        now: Timestamp,
        rules: &Rules,
    ) -> Result<Initiation, Refusal> {
        if request.caller.user == request.callee {
            return Err(Refusal::SelfCall);
        }
        if let Some(same) = caller_calls.into_iter().find(|call| call.is_repeated_by(&request)) {
            return Ok(Initiation::Same(same.clone()));
        }
        let busy = callee_calls.into_iter().any(|call| call.keeps_busy(&request.callee, now, rules));
        let until = now.plus(rules.ring_timeout);
        let call = Call {
            id: request.id,
            caller: Party { user: request.caller.user, device: request.caller.device },
            callee: request.callee,
            call_type: request.call_type,
            display: request.display,
            request_id: request.request_id,
            created_at: now,
            state: State::Ringing(Ringing { until, caller_given_up_at: None }),
        };
        Ok(if busy { Initiation::Busy(call.begin_busy(now)) } else { Initiation::Ring(call.begin_ringing(now)) })
    }

    fn begin_ringing(self, now: Timestamp) -> Transition {
        let incoming = Event::Incoming {
            caller: self.caller.user.clone(),
            display: self.display.clone(),
            call_type: self.call_type,
        };
        let effects = vec![
            self.tell(&self.callee, Audience::All, now, incoming),
            Effect::Wake { user: self.callee.clone(), wake: Wake::Ring },
        ];
        Transition { call: self, effects }
    }

    fn begin_busy(self, now: Timestamp) -> Transition {
        let event = Event::Rejected { callee: self.callee.clone(), reason: Text::parse("busy") };
        let effects = vec![self.tell_caller(now, event)];
        let state = State::Over(Over { at: now, accepted_at: None, outcome: Outcome::Rejected });
        Transition { call: Call { state, ..self }, effects }
    }

    /// Whether `request` asks for this call again: the answer to the first request may have been lost.
    fn is_repeated_by(&self, request: &Request) -> bool {
        matches!(self.state, State::Ringing(_))
            && self.caller.is(&request.caller.user, &request.caller.device)
            && self.callee == request.callee
            && self.call_type == request.call_type
    }

    /// What one who asks for this call again is told once more: the first answer may have been lost, and with it what came of
    /// the call, which means nothing to an app that does not know the call.
    pub fn repeat(&self, now: Timestamp) -> Option<Effect> {
        let callee = self.callee.clone();
        let event = match &self.state {
            State::Ringing(_) => return None,
            State::Accepted(_) => Event::Accepted { callee },
            State::Over(over) => match &over.outcome {
                Outcome::Rejected => Event::Rejected { callee, reason: None },
                Outcome::TimedOut => Event::NoAnswer,
                Outcome::Ended(reason) => Event::Ended { ended_by: None, reason: reason.clone() },
            },
        };
        Some(self.tell_caller(now, event))
    }

    /// Whether `user` is busy with this call. A call that waits for a party, or was answered long ago, makes nobody busy: the
    /// apps that are really talking decline by themselves, the others have forgotten it.
    fn keeps_busy(&self, user: &UserId, now: Timestamp, rules: &Rules) -> bool {
        self.has_party(user)
            && match &self.state {
                State::Ringing(ringing) => ringing.caller_given_up_at.is_none(),
                State::Accepted(accepted) => {
                    accepted.caller_given_up_at.is_none()
                        && accepted.callee_given_up_at.is_none()
                        && now < accepted.at.plus(rules.busy_window)
                }
                State::Over(_) => false,
            }
    }

    /// Whether `actor`'s device takes part in this call: it dials, or it talks.
    fn occupies(&self, actor: &Actor) -> bool {
        match &self.state {
            State::Ringing(_) => self.caller.is(&actor.user, &actor.device),
            State::Accepted(accepted) => {
                self.caller.is(&actor.user, &actor.device)
                    || (self.callee == actor.user && accepted.callee_device == actor.device)
            }
            State::Over(_) => false,
        }
    }
}

/// The calls among `calls` that `actor`'s device leaves when it turns to another one: a device is in one call at a time.
pub fn calls_to_leave<'a>(
    actor: &Actor,
    calls: impl IntoIterator<Item = &'a Call>,
    keep: Option<CallId>,
) -> Vec<CallId> {
    calls.into_iter().filter(|call| Some(call.id) != keep && call.occupies(actor)).map(|call| call.id).collect()
}
