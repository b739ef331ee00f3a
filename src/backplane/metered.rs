//! Measures what a backplane is asked for, and how long messages travel; both pass unchanged.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backplane::{
    Abandoned, Attached, Backed, Backlog, Backplane, Calls, Commit, Committed, Delivery, Device, Directory, Due, Feed,
    Lines, LiveCalls, Outgoing, Position, Prospect, Receiver, Registration, Renewed, Sent, Stored, Timelines,
    Unavailable, Untold, Version,
};
use crate::call::Turn;
use crate::clock::{Clock, Stopwatch, Timestamp};
use crate::ids::{CallId, DeviceId, EventId, PushToken, PushTokenKind, RequestId, SessionId, UserId};
use crate::metrics::{Metrics, Operation, Road};
use crate::timeline::{Entry, Note};

/// A backplane whose answers are timed. What waits for something to happen is not.
pub struct Metered {
    backplane: Arc<dyn Backplane>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// The same backplane, measured.
    pub fn new(backplane: Arc<dyn Backplane>, metrics: Arc<Metrics>) -> Self {
        Self { backplane, metrics }
    }

    async fn timed<T>(
        &self,
        operation: Operation,
        asking: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        let stopwatch = Stopwatch::start();
        let answer = asking.await;
        self.metrics.backplane_request.observe(operation, stopwatch.elapsed());
        if answer.is_err() {
            self.metrics.backplane_failures.inc(operation);
        }
        answer
    }
}

#[async_trait]
impl Calls for Metered {
    fn recall(&self, id: CallId) -> Option<Stored> {
        self.backplane.recall(id)
    }

    async fn load(&self, id: CallId) -> Result<Option<Stored>, Unavailable> {
        self.timed(Operation::Load, self.backplane.load(id)).await
    }

    async fn live_calls(&self, user: &UserId) -> Result<LiveCalls, Unavailable> {
        self.timed(Operation::LiveCalls, self.backplane.live_calls(user)).await
    }

    async fn prospect(
        &self,
        caller: &UserId,
        callee: &UserId,
        request: Option<&RequestId>,
    ) -> Result<Prospect, Unavailable> {
        self.timed(Operation::Prospect, self.backplane.prospect(caller, callee, request)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Unavailable> {
        self.timed(Operation::Commit, self.backplane.commit(commit)).await
    }

    async fn due(&self, limit: usize) -> Result<Vec<Due>, Unavailable> {
        self.backplane.due(limit).await
    }
}

#[async_trait]
impl Directory for Metered {
    async fn attach(&self, registration: Registration) -> Result<Attached, Unavailable> {
        self.timed(Operation::Attach, self.backplane.attach(registration)).await
    }

    async fn renew(
        &self,
        registration: &Registration,
        device: &DeviceId,
        position: Position,
    ) -> Result<Renewed, Unavailable> {
        self.timed(Operation::Renew, self.backplane.renew(registration, device, position)).await
    }

    async fn note_unregistered(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        self.timed(Operation::NoteUnregistered, self.backplane.note_unregistered(user, session)).await
    }

    async fn detach(
        &self,
        user: &UserId,
        session: &SessionId,
        position: Position,
    ) -> Result<Option<DeviceId>, Unavailable> {
        self.timed(Operation::Detach, self.backplane.detach(user, session, position)).await
    }

    async fn forget(&self, user: &UserId, session: &SessionId) -> Result<Option<DeviceId>, Unavailable> {
        self.timed(Operation::Forget, self.backplane.forget(user, session)).await
    }

    async fn forget_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        kind: PushTokenKind,
        token: &PushToken,
    ) -> Result<(), Unavailable> {
        self.timed(Operation::ForgetToken, self.backplane.forget_token(user, device, kind, token)).await
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, Unavailable> {
        self.timed(Operation::Devices, self.backplane.devices(user)).await
    }

    async fn abandoned(&self, limit: usize) -> Result<Vec<Abandoned>, Unavailable> {
        self.backplane.abandoned(limit).await
    }

    async fn bury(&self, abandoned: &Abandoned) -> Result<(), Unavailable> {
        self.timed(Operation::Bury, self.backplane.bury(abandoned)).await
    }

    fn may_count_absence(&self) -> bool {
        self.backplane.may_count_absence()
    }
}

#[async_trait]
impl Lines for Metered {
    async fn subscribe(&self, user: &UserId) -> Result<(), Unavailable> {
        self.timed(Operation::Subscribe, self.backplane.subscribe(user)).await
    }

    async fn unsubscribe(&self, user: &UserId) {
        let asking = async {
            self.backplane.unsubscribe(user).await;
            Ok(())
        };
        // Never refused.
        let _ = self.timed(Operation::Unsubscribe, asking).await;
    }

    async fn send(&self, outgoing: Outgoing, upon: Option<(CallId, Version)>) -> Result<Sent, Unavailable> {
        self.timed(Operation::Send, self.backplane.send(outgoing, upon)).await
    }

    async fn read(&self, user: &UserId, after: EventId) -> Result<Backlog, Unavailable> {
        self.timed(Operation::Read, self.backplane.read(user, after)).await
    }
}

#[async_trait]
impl Feed for Metered {
    async fn take_untold(&self, limit: usize, lease: Duration) -> Result<Vec<Untold>, Unavailable> {
        self.backplane.take_untold(limit, lease).await
    }

    async fn told(&self, call: CallId, through: Turn) -> Result<(), Unavailable> {
        self.timed(Operation::Told, self.backplane.told(call, through)).await
    }

    async fn put_off(&self, call: CallId, until: Timestamp) -> Result<(), Unavailable> {
        self.timed(Operation::PutOff, self.backplane.put_off(call, until)).await
    }

    async fn untold(&self) -> Result<Backed, Unavailable> {
        self.timed(Operation::Untold, self.backplane.untold()).await
    }
}

#[async_trait]
impl Timelines for Metered {
    async fn note(&self, notes: Vec<Note>) -> Result<usize, Unavailable> {
        self.timed(Operation::Note, self.backplane.note(notes)).await
    }

    async fn timeline(&self, call: CallId) -> Result<Vec<Entry>, Unavailable> {
        self.timed(Operation::Timeline, self.backplane.timeline(call)).await
    }
}

/// Where the messages of the embedded backplane come out: all of them were sent by this node.
pub struct MeteredReceiver {
    receiver: Arc<dyn Receiver>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl MeteredReceiver {
    /// The same receiver, measured.
    pub fn new(receiver: Arc<dyn Receiver>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { receiver, metrics, clock }
    }
}

impl Receiver for MeteredReceiver {
    fn deliver(&self, user: &UserId, delivery: &Delivery) {
        self.metrics.relay.observe(Road::Local, delivery.payload.at().until(self.clock.now()));
        self.receiver.deliver(user, delivery);
    }

    fn displace(&self, user: &UserId, session: &SessionId) -> Option<Position> {
        self.receiver.displace(user, session)
    }

    fn interrupted(&self) {
        self.receiver.interrupted();
    }

    fn resumed(&self) {
        self.receiver.resumed();
    }
}
