//! Where a decision becomes an act: loads a call, asks it, commits what it answers, and brings the messages to the sockets here.
//!
//! One method for each thing a client can ask for, all of them safe to repeat and to race. [`Seat`] is the place of one
//! registered socket; messages reach it in order, each once.
//!
//! What it does not do: it has no opinion on calls (an `if` about the state of a call belongs in `call`), knows no wire name,
//! and does not know what a socket is beyond [`Outlet`].

mod absence;
mod commit;
mod departures;
mod expiry;
mod line;
mod notes;
mod observed;
mod recipients;
mod registry;
mod seat;
mod traced;

use std::sync::Arc;

pub use crate::backplane::{Payload, Registration, Unavailable};
use commit::MAX_ATTEMPTS;
use departures::Departures;
pub use line::Line;
use notes::Notes;
use observed::Observed;
pub use recipients::Known;
pub use registry::Arrival;
pub use seat::{CloseReason, Heard, Outlet, Seat, Unsent};

use crate::backplane::{Backplane, Device, Outgoing, Sent, Stored};
use crate::call::{Actor, Audience, Call, CallType, CallerDisplay, Command, Hangup, Refusal, Rules, State, Text};
use crate::clock::Clock;
use crate::ids::{CallId, DeviceId, RequestId, UserId};
use crate::metrics::Metrics;
use crate::protocol::{Reachability, Signal, SignalKind, SignalRequest};
use crate::push::Push;
use crate::timeline::Recorder;
use crate::traces::Traces;

/// Serves calls. One per node.
pub struct Switchboard {
    backplane: Arc<dyn Backplane>,
    line: Arc<Line>,
    push: Arc<dyn Push>,
    departures: Departures,
    observed: Observed,
    notes: Arc<Notes>,
    traces: Traces,
    clock: Clock,
    rules: Rules,
}

/// Who is told what is done, and changes nothing by it.
pub struct Observers {
    /// What is counted and measured.
    pub metrics: Arc<Metrics>,
    /// The timelines of calls.
    pub recorder: Arc<Recorder>,
    /// The traces of calls.
    pub traces: Traces,
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The call says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such call.
    #[error("no such call")]
    NotFound,
    /// The backplane cannot be reached.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The same record kept changing.
    #[error("lost too many races")]
    Contended,
}

/// What a caller asks for.
#[derive(Clone, Debug)]
pub struct NewCall {
    /// Who is called.
    pub callee: UserId,
    /// Audio or video.
    pub call_type: CallType,
    /// What the callee is shown.
    pub display: CallerDisplay,
    /// What the client calls this request.
    pub request_id: Option<RequestId>,
}

/// A call that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Its id.
    pub call_id: CallId,
    /// Audio or video.
    pub call_type: CallType,
    /// How the callee can be reached.
    pub reachability: Reachability,
}

impl Switchboard {
    /// A switchboard over `backplane`, whose messages come out at `line`.
    pub fn new(
        backplane: Arc<dyn Backplane>,
        line: Arc<Line>,
        push: Arc<dyn Push>,
        clock: Clock,
        rules: Rules,
        observers: Observers,
    ) -> Arc<Self> {
        let Observers { metrics, recorder, traces } = observers;
        let (observed, notes) = (Observed::new(metrics, traces.clone()), Notes::new(recorder));
        let departures = Departures::default();
        Arc::new(Self { backplane, line, push, departures, observed, notes, traces, clock, rules })
    }

    /// Answers a call. The device leaves any other call it is in.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn accept(&self, call: CallId, by: &Actor) -> Result<(), Failure> {
        let command = Command::Accept { by: by.clone() };
        // One trip for both: which other calls the device leaves is asked while this one is looked up.
        let (stored, live) = tokio::join!(self.known(call), self.backplane.live_calls(&by.user));
        let (stored, is_fresh) = stored?;
        let after = self.apply_to(call, stored, is_fresh, &command).await?;
        if !matches!(after.state, State::Accepted(_)) {
            // It was too late, and asking was what made the time-out known.
            after.decide(command, self.clock.now(), &self.rules)?;
        }
        let left = match live {
            Ok(live) => self.leave_others(by, &live.calls, Some(call)).await,
            Err(unavailable) => Err(unavailable.into()),
        };
        if let Err(failure) = left {
            // This call is answered all the same.
            tracing::warn!(call_id = %call, %failure, "a device could not be taken out of its other call");
        }
        Ok(())
    }

    /// Declines a call.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn reject(&self, call: CallId, by: &Actor, reason: Option<Text>) -> Result<(), Failure> {
        self.apply(call, &Command::Reject { by: by.clone(), reason }).await.map(drop)
    }

    /// Hangs up. A call that is over, or forgotten, is hung up already.
    ///
    /// # Errors
    /// [`Failure`], never [`Failure::NotFound`].
    pub async fn end(&self, call: CallId, by: &Actor, reason: Option<Text>) -> Result<(), Failure> {
        let command = Command::End { by: by.clone(), hangup: Hangup::Said(reason) };
        match self.apply(call, &command).await {
            Ok(_) | Err(Failure::NotFound) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Says something to the other device of a call.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn signal(&self, request: SignalRequest, by: &Actor) -> Result<(), Failure> {
        let SignalRequest { call_id, to, kind, media } = request;
        let signal = Signal { call_id, from: by.user.clone(), at: self.clock.now(), kind, media };
        let payload = Payload::Signal(signal);
        let mut known = self.known(call_id).await?;
        for _ in 0..MAX_ATTEMPTS {
            let (stored, is_fresh) = known;
            let stored = stored.ok_or(Failure::NotFound)?;
            match stored.call.peer_of(by) {
                Ok(peer) if peer.user != to => return Err(Refusal::NotAParticipant.into()),
                Ok(peer) => {
                    let audience = Audience::Only(peer.device);
                    let outgoing = Outgoing { user: peer.user, audience, payload: payload.clone(), trace: None };
                    if self.send(outgoing, Some((call_id, stored.version))).await? == Sent::Done {
                        if kind == SignalKind::Answer {
                            self.observed.described(call_id, self.clock.now());
                        }
                        return Ok(());
                    }
                }
                Err(refusal) if is_fresh => return Err(refusal.into()),
                Err(_) => {}
            }
            known = (self.backplane.load(call_id).await?, true);
        }
        Err(Failure::Contended)
    }

    /// How many departures are still to be noted.
    pub fn departures_waiting(&self) -> usize {
        self.departures.count()
    }

    /// A call that is going on, or was over not long ago.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn find(&self, id: CallId) -> Result<Option<Arc<Call>>, Unavailable> {
        Ok(self.backplane.load(id).await?.map(|stored| stored.call))
    }

    /// Whether the device of `actor` takes part in a call.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn is_in_call(&self, actor: &Actor) -> Result<bool, Unavailable> {
        let live = self.backplane.live_calls(&actor.user).await?;
        Ok(!calls_to_leave(actor, &live.calls, None).is_empty())
    }

    /// Whether the device of `actor` is in a call that was accepted.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn is_in_accepted_call(&self, actor: &Actor) -> Result<bool, Unavailable> {
        let live = self.backplane.live_calls(&actor.user).await?;
        Ok(live.calls.iter().any(|stored| stored.call.peer_of(actor).is_ok()))
    }

    /// Tells the calls of `user` that `device` has no connection.
    pub(crate) async fn away(&self, user: &UserId, device: &DeviceId) -> Result<(), Failure> {
        let command = Command::Away { user: user.clone(), device: device.clone() };
        let live = self.backplane.live_calls(user).await?;
        self.apply_to_calls(live.calls, &command).await
    }

    async fn leave_others(&self, by: &Actor, live: &[Stored], keep: Option<CallId>) -> Result<(), Failure> {
        for call in calls_to_leave(by, live, keep) {
            let command = Command::End { by: by.clone(), hangup: Hangup::Replaced };
            match self.apply(call, &command).await {
                Ok(_) | Err(Failure::NotFound) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    fn reachability(&self, devices: &[Device]) -> Reachability {
        if devices.iter().any(|device| device.is_connected) {
            Reachability::Online
        } else if devices.iter().any(|device| self.push.can_reach(&device.tokens)) {
            Reachability::Push
        } else {
            Reachability::None
        }
    }
}

fn calls_to_leave(by: &Actor, live: &[Stored], keep: Option<CallId>) -> Vec<CallId> {
    crate::call::calls_to_leave(by, live.iter().map(|stored| &*stored.call), keep)
}

#[cfg(test)]
mod tests;
