//! Load, ask, commit: the one loop in which calls change.

use std::sync::Arc;

use crate::backplane::{Commit, Committed, Expected, LiveCalls, Outgoing, Payload, Prospect, Stored, Unavailable};
use crate::call::{Actor, Call, Command, Decision, Effect, Initiation, Milestone, Request, State, Transition};
use crate::ids::CallId;
use crate::push::Wakeup;
use crate::switchboard::observed::{Change, how};
use crate::switchboard::{Begun, Failure, NewCall, Switchboard, calls_to_leave, traced};
use crate::timeline::Entry;
use crate::traces;

/// How often a request is decided anew after losing a race. Each loss means that somebody else's change won, and a call changes
/// only a few times in its life.
pub(super) const MAX_ATTEMPTS: usize = 16;

impl Switchboard {
    /// The call as it is known here, or else as it is kept; and whether it was looked up just now.
    pub(super) async fn known(&self, id: CallId) -> Result<(Option<Stored>, bool), Unavailable> {
        match self.backplane.recall(id) {
            Some(stored) => Ok((Some(stored), false)),
            None => Ok((self.backplane.load(id).await?, true)),
        }
    }

    /// Gives `command` to a call, and answers with the call as it is afterwards.
    pub(super) async fn apply(&self, id: CallId, command: &Command) -> Result<Arc<Call>, Failure> {
        let (stored, is_fresh) = self.known(id).await?;
        self.apply_to(id, stored, is_fresh, command).await
    }

    /// The same to a call as it was found. What it was found to be counts only where it was looked up just now, or where the
    /// change that follows from it goes through.
    pub(super) async fn apply_to(
        &self,
        id: CallId,
        found: Option<Stored>,
        found_now: bool,
        command: &Command,
    ) -> Result<Arc<Call>, Failure> {
        let (mut found, mut is_fresh) = (found, found_now);
        for _ in 0..MAX_ATTEMPTS {
            let stored = found.take().ok_or(Failure::NotFound)?;
            match stored.call.decide(command.clone(), self.clock.now(), &self.rules) {
                Ok(Decision::Changed(Transition { call, effects })) => {
                    let call = Arc::new(call);
                    let milestones = Milestone::of(Some(&stored.call), &call, command.by());
                    let expected = Expected::Version(stored.version);
                    let entries = self.entries_of(&milestones, &[]);
                    if self.commit(expected, &call, effects, (milestones, entries)).await? == Committed::Done {
                        self.notes.changed(&call, command);
                        return Ok(call);
                    }
                }
                Ok(Decision::Unchanged) if is_fresh => return Ok(stored.call),
                Err(refusal) if is_fresh => {
                    self.notes.refused(&stored.call, command, refusal);
                    return Err(refusal.into());
                }
                Ok(Decision::Unchanged) | Err(_) => {}
            }
            found = self.backplane.load(id).await?;
            is_fresh = true;
        }
        Err(Failure::Contended)
    }

    /// Gives `command` to calls that were looked up just now.
    pub(super) async fn apply_to_calls(&self, calls: Vec<Stored>, command: &Command) -> Result<(), Failure> {
        for stored in calls {
            let call = stored.call.id;
            let applying = self.apply_to(call, Some(stored), true, command);
            match self.traces.act(traced::name_of(command), call, applying).await {
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
        for _ in 0..MAX_ATTEMPTS {
            let prospect = self.backplane.prospect(&by.user, &new.callee, new.request_id.as_ref()).await?;
            let Prospect { repeated, caller_calls, callee_calls, callee_devices } = prospect;
            if let Some(first) = repeated {
                return self.repeated(first).await;
            }
            let request = Request {
                id: CallId::random(),
                caller: by.clone(),
                callee: new.callee.clone(),
                call_type: new.call_type,
                display: new.display.clone(),
                request_id: new.request_id.clone(),
            };
            let now = self.clock.now();
            let begun = Call::initiate(request, listed(&caller_calls), listed(&callee_calls), now, &self.rules)?;
            let Transition { call, effects } = match begun {
                Initiation::Same(call) => return self.repeated(call.id).await,
                Initiation::Ring(transition) | Initiation::Busy(transition) => transition,
            };
            if !calls_to_leave(by, &caller_calls.calls, None).is_empty() {
                self.leave_others(by, &caller_calls.calls, None).await?;
                continue;
            }
            let expected = Expected::New { callee_calls: callee_calls.version, caller_calls: caller_calls.version };
            let call_id = call.id;
            let milestones = Milestone::of(None, &call, Some(by));
            let entries = self.entries_of(&milestones, &callee_devices);
            match self.commit(expected, &Arc::new(call), effects, (milestones, entries)).await? {
                Committed::Done => {
                    let reachability = self.reachability(&callee_devices);
                    return Ok(Begun { call_id, call_type: new.call_type, reachability });
                }
                Committed::Repeated(first) => return self.repeated(first).await,
                Committed::Lost => {}
            }
        }
        Err(Failure::Contended)
    }

    /// The same call for one who asks again.
    async fn repeated(&self, call_id: CallId) -> Result<Begun, Failure> {
        traces::about(call_id);
        let call = self.backplane.load(call_id).await?.ok_or(Failure::NotFound)?.call;
        if let Some(Effect::Tell { user, audience, notice }) = call.repeat(self.clock.now()) {
            let payload = Payload::Notice(notice);
            self.send(Outgoing { user, audience, payload, trace: None }, None).await?;
        }
        let devices = self.backplane.devices(&call.callee).await?;
        Ok(Begun { call_id, call_type: call.call_type, reachability: self.reachability(&devices) })
    }

    async fn commit(
        &self,
        expected: Expected,
        call: &Arc<Call>,
        effects: Vec<Effect>,
        (milestones, entries): (Vec<Milestone>, Vec<Entry>),
    ) -> Result<Committed, Failure> {
        let mut outbox = Vec::with_capacity(effects.len());
        let mut wakes = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { user, audience, notice } => {
                    outbox.push(Outgoing { user, audience, payload: Payload::Notice(notice), trace: None });
                }
                Effect::Wake { user, wake } => wakes.push((user, wake)),
            }
        }
        let change = Change::of(&expected, &outbox, call);
        let commit = Commit { expected, call: call.clone(), outbox, milestones, entries };
        let committed = self.make(commit).await?;
        if committed == Committed::Done {
            note(call, change);
            self.observed.committed(call, change);
            for (user, wake) in wakes {
                self.push.wake(Wakeup { user, call: call.clone(), wake });
            }
        }
        Ok(committed)
    }
}

fn listed(live: &LiveCalls) -> impl Iterator<Item = &Call> {
    live.calls.iter().map(|stored| &*stored.call)
}

/// One line for each call, when it is over; the way there only for who wants to see it.
fn note(call: &Call, change: Change) {
    let Call { id, caller, callee, .. } = call;
    match &call.state {
        State::Ringing(_) => tracing::debug!(call_id = %id, caller = %caller.user, %callee, "a call rings"),
        State::Accepted(_) => tracing::debug!(call_id = %id, caller = %caller.user, %callee, "a call is under way"),
        State::Over(over) => {
            let answered_at = over.accepted_at.unwrap_or(over.at);
            let rang_ms = answered_at.0.saturating_sub(call.created_at.0);
            let talked_ms = over.at.0.saturating_sub(answered_at.0);
            let how = how(over, change).word();
            tracing::info!(call_id = %id, caller = %caller.user, %callee, how, rang_ms, talked_ms, "a call is over");
        }
    }
}
