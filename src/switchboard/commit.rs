//! Load, ask, commit: the one loop in which calls change.

use std::sync::Arc;

use crate::backplane::{Commit, Committed, Expected, Outgoing, Payload};
use crate::call::{
    Actor, Call, CallType, Command, Decision, Effect, EndReason, Initiation, Outcome, Request, State, Transition,
};
use crate::ids::{CallId, UserId};
use crate::switchboard::{Begun, Failure, NewCall, Switchboard};

/// How often a request is decided anew after losing a race. Each loss means that somebody else's change won, and a call changes
/// only a few times in its life.
const MAX_ATTEMPTS: usize = 16;

impl Switchboard {
    /// Gives `command` to a call, and answers with the call as it is afterwards.
    pub(super) async fn apply(&self, id: CallId, command: &Command) -> Result<Arc<Call>, Failure> {
        for _ in 0..MAX_ATTEMPTS {
            let stored = self.backplane.load(id).await?.ok_or(Failure::NotFound)?;
            match stored.call.decide(command.clone(), self.clock.now(), &self.rules)? {
                Decision::Unchanged => return Ok(stored.call),
                Decision::Changed(Transition { call, effects }) => {
                    let call = Arc::new(call);
                    if self.commit(Expected::Version(stored.version), &call, effects).await? == Committed::Done {
                        return Ok(call);
                    }
                }
            }
        }
        Err(Failure::Contended)
    }

    /// Gives `command` to every live call of `user`.
    pub(super) async fn apply_to_live_calls(&self, user: &UserId, command: &Command) -> Result<(), Failure> {
        for call in self.backplane.live_calls(user).await?.calls {
            match self.apply(call.id, command).await {
                Ok(_) | Err(Failure::NotFound) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Begins a call. The caller's device leaves any other call it is in.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn initiate(&self, by: &Actor, new: NewCall) -> Result<Begun, Failure> {
        if let Some(request) = &new.request_id
            && let Some(call_id) = self.backplane.find_request(&by.user, request).await?
        {
            return self.repeated(call_id).await;
        }
        for _ in 0..MAX_ATTEMPTS {
            let callee_calls = self.backplane.live_calls(&new.callee).await?;
            let caller_calls = self.backplane.live_calls(&by.user).await?;
            let request = Request {
                id: CallId::random(),
                caller: by.clone(),
                callee: new.callee.clone(),
                call_type: new.call_type,
                display: new.display.clone(),
                request_id: new.request_id.clone(),
            };
            let now = self.clock.now();
            let begun = Call::initiate(request, &caller_calls.calls, &callee_calls.calls, now, &self.rules)?;
            let Transition { call, effects } = match begun {
                Initiation::Same(call) => return self.repeated(call.id).await,
                Initiation::Ring(transition) | Initiation::Busy(transition) => transition,
            };
            if !crate::call::calls_to_leave(by, &caller_calls.calls, None).is_empty() {
                self.leave_others(by, None).await?;
                continue;
            }
            let expected = Expected::New { callee_calls: callee_calls.version, caller_calls: caller_calls.version };
            let call_id = call.id;
            match self.commit(expected, &Arc::new(call), effects).await? {
                Committed::Done => return self.begun(call_id, new.call_type, &new.callee).await,
                Committed::Repeated(first) => return self.repeated(first).await,
                Committed::Lost => {}
            }
        }
        Err(Failure::Contended)
    }

    /// The same call for one who asks again.
    async fn repeated(&self, call_id: CallId) -> Result<Begun, Failure> {
        let call = self.backplane.load(call_id).await?.ok_or(Failure::NotFound)?.call;
        if let Some(Effect::Tell { user, audience, notice }) = call.repeat(self.clock.now()) {
            self.backplane.send(Outgoing { user, audience, payload: Payload::Notice(notice) }).await?;
        }
        self.begun(call_id, call.call_type, &call.callee).await
    }

    async fn begun(&self, call_id: CallId, call_type: CallType, callee: &UserId) -> Result<Begun, Failure> {
        Ok(Begun { call_id, call_type, reachability: self.reachability(callee).await? })
    }

    async fn commit(&self, expected: Expected, call: &Arc<Call>, effects: Vec<Effect>) -> Result<Committed, Failure> {
        let mut outbox = Vec::with_capacity(effects.len());
        let mut wakes = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { user, audience, notice } => {
                    outbox.push(Outgoing { user, audience, payload: Payload::Notice(notice) });
                }
                Effect::Wake { user, wake } => wakes.push((user, wake)),
            }
        }
        let commit = Commit { expected, call: Call::clone(call), outbox };
        let committed = self.backplane.commit(commit).await?;
        if committed == Committed::Done {
            note(call);
            for (user, wake) in wakes {
                self.push.wake(&user, wake);
            }
        }
        Ok(committed)
    }
}

/// One line for each call, when it is over; the way there only for who wants to see it.
fn note(call: &Call) {
    let Call { id, caller, callee, .. } = call;
    match &call.state {
        State::Ringing(_) => tracing::debug!(call_id = %id, caller = %caller.user, %callee, "a call rings"),
        State::Accepted(_) => tracing::debug!(call_id = %id, caller = %caller.user, %callee, "a call is under way"),
        State::Over(over) => {
            let answered_at = over.accepted_at.unwrap_or(over.at);
            let rang_ms = answered_at.0.saturating_sub(call.created_at.0);
            let talked_ms = over.at.0.saturating_sub(answered_at.0);
            let how = match &over.outcome {
                Outcome::Ended(EndReason::HungUp(_)) => "hung_up",
                Outcome::Ended(EndReason::Replaced) => "replaced",
                Outcome::Ended(EndReason::ConnectionLost) => "connection_lost",
                Outcome::Ended(EndReason::MaxDuration) => "max_duration",
                Outcome::Rejected | Outcome::TimedOut => over.word(),
            };
            tracing::info!(call_id = %id, caller = %caller.user, %callee, how, rang_ms, talked_ms, "a call is over");
        }
    }
}
