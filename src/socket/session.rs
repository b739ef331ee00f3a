//! One connected client: who it is, what it has sent, and the task that works that off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use socketioxide::handler::Value;
use socketioxide::socket::Socket;
use tokio::sync::oneshot;

use crate::auth::Identity;
use crate::call::Actor;
use crate::clock::Timestamp;
use crate::ids::{SessionId, UserId};
use crate::metrics::{Answer, Limit};
use crate::protocol::{ClientEvent, Problem, Undecodable, decode};
use crate::socket::hub::{Hub, TooManyConnections};
use crate::socket::limits::{SocketLimits, Verdict};
use crate::socket::mailbox::{Mailbox, Put};
use crate::socket::reply::Reply;
use crate::socket::wire::Wire;
use crate::switchboard::{Failure, Seat};

/// How long a client that has left may keep its connection.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);

/// A moment that does not come.
const NEVER: Timestamp = Timestamp(u64::MAX);

/// A connected client.
pub(super) struct Session {
    id: SessionId,
    hub: Arc<Hub>,
    wire: Arc<Wire>,
    limits: SocketLimits,
    mailbox: Mailbox<Job>,
    /// The user its token names; fixed for the life of the connection.
    token_user: Option<UserId>,
    state: Mutex<State>,
    /// Whether it is among the connections of its user.
    is_counted: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The user it registered as where no token names one.
    claimed_user: Option<UserId>,
    seat: Option<Arc<Seat>>,
    /// Ends with the registration that was begun last. Boxed: soon gone.
    registering: Option<Box<oneshot::Receiver<()>>>,
    /// Whether it has acted before registering: a call may know it by its unregistered device.
    has_acted: bool,
    /// When the token expires; [`NEVER`] for one that does not. An `Option` would take twice the room in every session.
    expires_at: Timestamp,
}

/// Something to be dealt with.
pub(super) enum Job {
    /// A request, where its answer goes, and when it came.
    Request(ClientEvent, Reply, Timestamp),
    /// Something that was meant to be one.
    Undecodable(Undecodable, Reply),
    /// Everything before has been answered, and the client is to come back elsewhere.
    SendAway,
    /// The client is gone.
    Gone,
}

impl Session {
    pub(super) fn new(id: SessionId, hub: Arc<Hub>, socket: &Arc<Socket>, identity: Option<Identity>) -> Arc<Self> {
        let (token_user, expires_at) = match identity {
            Some(identity) => (Some(identity.user), identity.expires_at),
            None => (None, None),
        };
        Arc::new(Self {
            wire: Arc::new(Wire::new(id.clone(), socket, &hub)),
            limits: SocketLimits::new(&hub.limits),
            mailbox: Mailbox::new(),
            token_user,
            state: Mutex::new(State { expires_at: expires_at.unwrap_or(NEVER), ..State::default() }),
            is_counted: AtomicBool::new(false),
            id,
            hub,
        })
    }

    pub(super) fn id(&self) -> &SessionId {
        &self.id
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(super) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// Counts the session among the connected ones.
    pub(super) fn open(self: &Arc<Self>) -> Result<(), TooManyConnections> {
        self.hub.add(self, self.token_user.as_ref())?;
        if let Some(at) = self.expires_at() {
            self.hub.token_expiry.add(at, &self.id);
        }
        Ok(())
    }

    pub(super) fn token_user(&self) -> Option<&UserId> {
        self.token_user.as_ref()
    }

    /// From now on it is, or is no longer, among the connections of its user. Says whether it was.
    pub(super) fn set_counted(&self, is_counted: bool) -> bool {
        self.is_counted.swap(is_counted, Ordering::Relaxed)
    }

    pub(super) fn seat(&self) -> Option<Arc<Seat>> {
        self.state.lock().seat.clone()
    }

    pub(super) fn set_seat(&self, seat: Option<Arc<Seat>>) {
        let mut state = self.state.lock();
        // With the registration it is noted as what it is, and no more as one that has not registered.
        state.has_acted &= seat.is_none();
        state.seat = seat;
    }

    pub(super) fn set_registering(&self, ended: oneshot::Receiver<()>) {
        self.state.lock().registering = Some(Box::new(ended));
    }

    pub(super) fn take_registering(&self) -> Option<Box<oneshot::Receiver<()>>> {
        self.state.lock().registering.take()
    }

    pub(super) fn claim_user(&self, user: UserId) {
        self.state.lock().claimed_user = Some(user);
    }

    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        Some(self.state.lock().expires_at).filter(|at| *at != NEVER)
    }

    pub(super) fn set_expires_at(&self, expires_at: Option<Timestamp>) {
        let before = std::mem::replace(&mut self.state.lock().expires_at, expires_at.unwrap_or(NEVER));
        self.hub.token_expiry.remove(before, &self.id);
        if let Some(at) = expires_at {
            self.hub.token_expiry.add(at, &self.id);
        }
    }

    /// The user it registered as where no token names one.
    pub(super) fn claimed_user(&self) -> Option<UserId> {
        self.state.lock().claimed_user.clone()
    }

    /// Who acts when this client asks for something; `None` while nobody knows who it is.
    pub(super) fn actor(&self) -> Option<Actor> {
        let state = self.state.lock();
        let user = self.token_user.as_ref().or(state.claimed_user.as_ref())?.clone();
        Some(match &state.seat {
            Some(seat) => Actor { user, device: seat.device().clone(), registered: true },
            None => Actor { user, device: self.id.unnamed_device(), registered: false },
        })
    }

    /// Notes that the client acts: should it vanish, its calls are told, also if it has never registered.
    pub(super) async fn note_acted(&self, by: &Actor) -> Result<(), Failure> {
        let is_noted = {
            let state = self.state.lock();
            state.seat.is_some() || state.has_acted
        };
        if !is_noted {
            self.hub.switchboard.note_unregistered(&by.user, &self.id).await?;
            self.state.lock().has_acted = true;
        }
        Ok(())
    }

    /// An event has come. Checks and queues it, without waiting for anything.
    pub(super) fn receive(self: &Arc<Self>, socket: &Arc<Socket>, mut value: Value, ack_id: Option<i64>) {
        let now = self.hub.clock.now();
        self.wire.note_life(now);
        if self.wire.is_expelled() {
            return;
        }
        let reply = Reply::new(self.wire.clone(), socket, &mut value, ack_id);
        let Value::Str(packet, attachments) = value else { return };
        let attachments: Vec<Bytes> = attachments.map(Vec::from).unwrap_or_default();
        let bytes = packet.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let claimed_user = if self.token_user.is_some() { None } else { self.state.lock().claimed_user.clone() };
        let user = self.token_user.as_ref().or(claimed_user.as_ref());
        match self.limits.count(bytes, user, &self.hub.limits, now) {
            Verdict::Allowed => {}
            Verdict::Refused => return self.refuse_for_rate(reply),
            Verdict::Expelled => {
                reply.note(Answer::E303);
                self.hub.metrics.rate_limited.inc(Limit::Patience);
                return self.wire.expel(Problem::rate_limited());
            }
        }
        let job = match decode(packet.as_str(), &attachments, self.hub.bounds()) {
            Ok(ClientEvent::Pong) if ack_id.is_none() => return reply.to("pong").note(Answer::Ok),
            Ok(event) => {
                let reply = reply.to(event.name());
                Job::Request(event, reply, now)
            }
            Err(undecodable) => {
                let reply = reply.to(undecodable.event.unwrap_or_default());
                Job::Undecodable(undecodable, reply)
            }
        };
        // As many as may come at once; more have been refused before they get here.
        match self.mailbox.put(job, self.hub.limits.get(|limits| limits.event_burst) as usize) {
            Put::Queued => {}
            Put::StartReader(job) => self.start_reader(Some(job)),
            Put::Full => {
                self.hub.metrics.rate_limited.inc(Limit::Mailbox);
                self.wire.expel(Problem::rate_limited());
            }
        }
    }

    /// The client has left by its own word. If its connection stays, it is closed: nobody counts it any more.
    pub(super) fn left(self: &Arc<Self>, socket: &Socket) {
        self.wire.leave(socket);
        let session = self.clone();
        let stopping = self.hub.lifecycle.stopping().clone();
        self.hub.lifecycle.spawn(async move {
            // Waits for the client to hang up, or to come back over the same connection.
            let _ = tokio::time::timeout(HANG_UP_WITHIN, stopping.cancelled()).await;
            if session.hub.session(&session.id).is_none_or(|current| Arc::ptr_eq(&current, &session)) {
                session.wire.close_transport();
            }
        });
    }

    /// The client is gone. What it has sent before is dealt with first.
    pub(super) fn gone(self: &Arc<Self>) {
        // Its place is free at once: the next connection may have been asked for already.
        self.hub.uncount(self);
        if let Put::StartReader(job) = self.mailbox.put_last(Job::Gone) {
            self.start_reader(Some(job));
        }
    }

    /// Has the client come back elsewhere, once what it has asked for is answered.
    pub(super) fn send_away(self: &Arc<Self>) {
        if let Put::StartReader(job) = self.mailbox.put_last(Job::SendAway) {
            self.start_reader(Some(job));
        }
    }

    fn refuse_for_rate(&self, reply: Reply) {
        let problem = Problem::rate_limited();
        self.hub.metrics.rate_limited.inc(Limit::Events);
        self.tell(&reply, &problem);
        reply.refuse(&problem);
    }

    /// Tells a client that waits for no answer that requests are refused, now and then.
    pub(super) fn tell(&self, reply: &Reply, problem: &Problem) {
        if !reply.is_awaited() && self.limits.may_tell(self.hub.clock.now()) {
            let _ = self.wire.emit("error", problem);
        }
    }

    /// Works off what has come, until there is nothing left. The first reader starts when the client has been told that it is
    /// connected: nothing can be sent to it before.
    pub(super) fn start_reader(self: &Arc<Self>, first: Option<Job>) {
        let mut reader = Box::pin(self.clone().read(first));
        // Most requests are dealt with without waiting for anything: a task is made only for those that are not. Measured, a
        // relayed message costs a tenth less that way.
        if reader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.hub.lifecycle.spawn(reader);
        }
    }

    async fn read(self: Arc<Self>, first: Option<Job>) {
        let mut next = first.or_else(|| self.mailbox.take());
        while let Some(job) = next {
            match job {
                // Nobody listens to one who was asked to leave: a newer connection may have taken the device over.
                Job::Request(..) | Job::Undecodable(..) if self.wire.is_expelled() => {}
                Job::Request(event, reply, came_at) => self.serve(event, reply, self.time_left(came_at)).await,
                Job::Undecodable(undecodable, reply) => self.answer_undecodable(&undecodable, reply),
                Job::SendAway => self.wire.close_after_flush(),
                Job::Gone => self.leave().await,
            }
            next = self.mailbox.take();
        }
    }

    /// How long a request that came at `came_at` may still take.
    fn time_left(&self, came_at: Timestamp) -> Duration {
        let limit = self.hub.settings.socket.request_timeout;
        limit.saturating_sub(came_at.until(self.hub.clock.now()))
    }

    async fn leave(&self) {
        let (seat, has_acted) = {
            let mut state = self.state.lock();
            (state.seat.take(), state.has_acted)
        };
        let switchboard = &self.hub.switchboard;
        let left = match (&seat, self.actor()) {
            (Some(seat), _) => switchboard.leave(seat).await,
            (None, Some(actor)) if has_acted => switchboard.leave_unregistered(&actor.user, &self.id).await,
            (None, _) => Ok(()),
        };
        if let Err(failure) = left {
            tracing::warn!(session = %self.id, %failure, "a departure could not be noted");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What is kept under its name may be that of the next one.
        if self.hub.remove(self) {
            self.hub.ice_renewals.forget(&self.id);
            if let Some(at) = self.expires_at() {
                self.hub.token_expiry.remove(at, &self.id);
            }
        }
    }
}
