//! What each request does, and what it is answered.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::auth::{AuthError, KEY_PATIENCE};
use crate::call::{Actor, Refusal, Text};
use crate::ids::CallId;
use crate::metrics::{Answer, Limit};
use crate::protocol::{
    CallAck, CallAnswered, CallDetails, CallRequest, ClientEvent, Done, EndTarget, InitiateAck, Pong, Problem,
    RefreshAck, Said, SignalRequest, Undecodable, UndecodableKind,
};
use crate::socket::reply::Reply;
use crate::socket::session::Session;
use crate::switchboard::{Failure, NewCall, Seat};

impl Session {
    /// Deals with a request and answers it, within the time a client waits.
    pub(super) async fn serve(&self, event: ClientEvent, reply: Reply, limit: Duration) {
        match event {
            ClientEvent::Ping => self.answer_ping(reply),
            ClientEvent::Pong => reply.send(&Done::new()),
            ClientEvent::Register(registration) => self.serve_register(registration, reply, limit).await,
            ClientEvent::Unregister => self.answer(reply, within(limit, self.unregister()).await.map(|()| Done::new())),
            ClientEvent::TokenRefresh(token) => self.answer(reply, within(limit, self.refresh_token(&token)).await),
            ClientEvent::GetIceServers(region) => self.answer(reply, Ok(self.give_ice_servers(region.as_ref()))),
            ClientEvent::Initiate(request) => {
                let _held = Held::new(self.seat());
                self.answer(reply, within(limit, self.initiate(request)).await);
            }
            ClientEvent::Accept(call_id) => {
                let _held = Held::new(self.seat());
                let result = within(limit, self.accept(call_id)).await;
                // What was not answered in time may have been done.
                let may_be_in_call = result.as_ref().err().is_none_or(|problem| problem.retryable);
                self.answer(reply, result.map(|()| CallAnswered::new(call_id)));
                if may_be_in_call {
                    self.note_in_call();
                }
            }
            ClientEvent::Reject(call_id, reason) => {
                let result = within(limit, self.reject(call_id, reason)).await;
                let echo = call_id.to_string();
                self.answer(reply, result.map(|()| CallAck::rejected(&echo)));
            }
            ClientEvent::End(target, reason) => {
                let result = within(limit, self.end(&target, reason)).await;
                self.answer(reply, result.map(|()| CallAck::ended(&target.echo)));
            }
            ClientEvent::Signal(request) => {
                let kind = request.kind;
                self.answer(reply, within(limit, self.signal(request)).await.map(|()| Said::of(kind)));
            }
        }
    }

    /// Answers. A client that gave no callback is told of what it may ask for again.
    fn answer(&self, reply: Reply, result: Result<impl Serialize, Problem>) {
        if let Err(problem) = &result
            && problem.retryable
        {
            self.tell(&reply, problem);
        }
        reply.answer(result);
    }

    /// Answers what was no request.
    pub(super) fn answer_undecodable(&self, undecodable: &Undecodable, reply: Reply) {
        match undecodable.kind {
            UndecodableKind::Garbage => {
                reply.note(Answer::Closed);
                return self.wire().close_transport();
            }
            UndecodableKind::Register => drop(self.wire().emit("registration_error", &undecodable.problem)),
            UndecodableKind::Initiate if self.actor().is_none() => return reply.refuse(&Problem::no_identity()),
            UndecodableKind::Initiate | UndecodableKind::Other => {}
        }
        reply.refuse(&undecodable.problem);
    }

    fn answer_ping(&self, reply: Reply) {
        let pong = Pong::new(self.hub().clock.now());
        if reply.is_awaited() {
            reply.send(&pong);
        } else {
            reply.note(Answer::Ok);
            let _ = self.wire().emit("pong", &pong);
        }
    }

    async fn refresh_token(&self, token: &str) -> Result<RefreshAck, Problem> {
        let refused = |error: AuthError| match error {
            AuthError::Unavailable => Problem::unavailable(),
            AuthError::Missing | AuthError::Invalid | AuthError::Expired | AuthError::NotYetValid => {
                Problem::new(crate::protocol::Code::E203, error.to_string())
            }
        };
        let identity = self.hub().authenticator.authenticate(Some(token), KEY_PATIENCE).await.map_err(refused)?;
        if self.actor().is_some_and(|actor| actor.user != identity.user) {
            return Err(Problem::not_yourself());
        }
        self.set_expires_at(identity.expires_at);
        Ok(RefreshAck::new(identity.expires_at))
    }

    async fn initiate(&self, request: CallRequest) -> Result<InitiateAck, Problem> {
        let by = self.actor().ok_or_else(Problem::no_identity)?;
        if !self.hub().limits.count_call(&by.user) {
            self.hub().metrics.rate_limited.inc(Limit::Calls);
            return Err(Problem::rate_limited());
        }
        let CallRequest { callee, details } = request;
        // The connection ends when the call it is in does; it begins no other.
        if self.expires_at().is_some_and(|at| at <= self.hub().clock.now()) {
            return Err(Problem::token_expired());
        }
        if callee == by.user {
            return Err(Refusal::SelfCall.into());
        }
        let CallDetails { call_type, display, request_id } = details?;
        let new = NewCall { callee, call_type, display, request_id };
        self.note_acted(&by).await.map_err(answering)?;
        let begun = self.hub().switchboard.initiate(&by, new).await.map_err(answering)?;
        Ok(InitiateAck::new(begun.call_id, begun.call_type, begun.reachability))
    }

    async fn accept(&self, call_id: CallId) -> Result<(), Problem> {
        let by = self.actor().ok_or(Refusal::NotTheCallee)?;
        self.note_acted(&by).await.map_err(answering)?;
        self.hub().switchboard.accept(call_id, &by).await.map_err(answering)
    }

    async fn reject(&self, call_id: CallId, reason: Option<Text>) -> Result<(), Problem> {
        let by = self.actor().ok_or(Refusal::NotTheCallee)?;
        self.hub().switchboard.reject(call_id, &by, reason).await.map_err(answering)
    }

    async fn end(&self, target: &EndTarget, reason: Option<Text>) -> Result<(), Problem> {
        let by = self.participant()?;
        match target.call {
            Some(call_id) => self.hub().switchboard.end(call_id, &by, reason).await.map_err(answering),
            None => Ok(()),
        }
    }

    async fn signal(&self, request: SignalRequest) -> Result<(), Problem> {
        let by = self.participant()?;
        self.hub().switchboard.signal(request, &by).await.map_err(speaking)
    }

    fn participant(&self) -> Result<Actor, Refusal> {
        self.actor().ok_or(Refusal::NotAParticipant)
    }
}

/// What comes of `work`, if it is done within `limit`.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Problem::timed_out()))
}

/// Keeps back what others send to a socket until it has its answer, so that it knows the call it hears about.
struct Held(Option<Arc<Seat>>);

impl Held {
    fn new(seat: Option<Arc<Seat>>) -> Self {
        if let Some(seat) = &seat {
            seat.hold();
        }
        Self(seat)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(seat) = &self.0 {
            seat.release();
        }
    }
}

/// What one who begins, answers or ends a call is told.
fn answering(failure: Failure) -> Problem {
    told(failure, Problem::call_not_found_or_expired)
}

/// What one who speaks in a call is told.
fn speaking(failure: Failure) -> Problem {
    told(failure, Problem::call_not_found)
}

fn told(failure: Failure, not_found: fn() -> Problem) -> Problem {
    match failure {
        Failure::Refused(refusal) => refusal.into(),
        Failure::NotFound => not_found(),
        Failure::Unavailable(_) | Failure::Contended => Problem::unavailable(),
    }
}
