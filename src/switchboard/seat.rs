//! The place of one registered socket: what it is sent, in which order, and how far it has come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::backplane::{Backlog, Delivery, Payload, Position, Registration};
use crate::call::Audience;
use crate::clock::{Clock, Timestamp};
use crate::ids::{DeviceId, EventId, PushTokens, SessionId, UserId};
use crate::switchboard::notes::{Notes, Ring};
use crate::switchboard::registry::Missed;
use crate::traces::Traces;

/// A message counts as received when the device is heard from this much later: what is heard sooner may have been on its way
/// already when the message was sent.
pub(super) const CONFIRMED_AFTER: Duration = Duration::from_secs(1);
/// Most messages that wait for a gate to open. Beyond it the socket is closed, and gets them from the inbox when it returns.
const MAX_HELD: usize = 2048;
/// Most messages of which it is remembered when they were sent.
const MAX_UNCONFIRMED: usize = 2048;
/// What was missed may be more than the queue of a socket holds: how often it is looked at for room, and for how long a client
/// that takes nothing is waited for.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_millis(10);
const LOOK_FOR_ROOM_TIMES: usize = 300;

/// Why the switchboard closes a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// A newer connection of the same device has registered.
    Displaced,
    /// It does not take what it is sent.
    TooSlow,
}

/// A socket cannot take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Its queue is full.
    Full,
    /// It is gone.
    Gone,
}

/// When a client was last heard from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Heard {
    /// How often anything has come from it.
    pub times: u64,
    /// When the last of it came.
    pub at: Timestamp,
}

/// The sending side of a socket. Nothing here may block, or call back.
pub trait Outlet: Send + Sync {
    /// Sends a message.
    ///
    /// # Errors
    /// [`Unsent`].
    fn send(&self, id: EventId, payload: &Payload) -> Result<(), Unsent>;

    /// When the client was last heard from.
    fn heard(&self) -> Heard;

    /// Closes the socket.
    fn close(self: Arc<Self>, reason: CloseReason);
}

/// A registered socket.
pub struct Seat {
    /// What the socket registered with.
    registration: Registration,
    /// The newest tokens, which may be newer ones than those it registered with.
    tokens: Mutex<PushTokens>,
    device: DeviceId,
    outlet: Arc<dyn Outlet>,
    clock: Clock,
    notes: Arc<Notes>,
    pub(super) traces: Traces,
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    is_closed: bool,
    is_held: bool,
    /// How often messages may have been missed that the inbox has, and up to which of those times they were made up for.
    interruptions: u32,
    mended: u32,
    held: Vec<Delivery>,
    /// Up to here everything has passed, or was not meant for this device, or waits in front of what is held.
    passed: EventId,
    unconfirmed: VecDeque<Sent>,
    /// What rang the device last, for who notes whether it was heard from since.
    rang: Option<Arc<Ring>>,
    heard_times: u64,
    position: Position,
}

struct Sent {
    id: EventId,
    at: Timestamp,
    heard_before: u64,
    is_description: bool,
}

impl Seat {
    /// A seat whose gate is held until [`Seat::release`].
    pub(super) fn new(
        registration: Registration,
        device: DeviceId,
        start: Position,
        outlet: Arc<dyn Outlet>,
        clock: Clock,
        notes: Arc<Notes>,
        traces: Traces,
    ) -> Self {
        let gate = Gate { is_held: true, position: start, ..Gate::default() };
        let tokens = Mutex::new(registration.tokens.clone());
        Self { registration, tokens, device, outlet, clock, notes, traces, gate: Mutex::new(gate) }
    }

    /// What the socket registered with, and its newest push tokens.
    pub(super) fn registration(&self) -> Registration {
        Registration { tokens: self.tokens.lock().clone(), ..self.registration.clone() }
    }

    /// Whether a push reaches the device.
    pub(super) fn can_be_woken(&self) -> bool {
        *self.tokens.lock() != PushTokens::default()
    }

    /// The app has newer push tokens.
    pub(super) fn add_tokens(&self, newer: PushTokens) {
        let mut tokens = self.tokens.lock();
        *tokens = newer.or(std::mem::take(&mut tokens));
    }

    /// Whose it is.
    pub fn user(&self) -> &UserId {
        &self.registration.user
    }

    /// The socket.
    pub fn session(&self) -> &SessionId {
        &self.registration.session
    }

    /// The device.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// What the device was called until the socket registered.
    pub(super) fn formerly(&self) -> DeviceId {
        self.session().unnamed_device()
    }

    /// Keeps messages back until [`Seat::release`]: an answer has to leave before what it is the answer to has consequences.
    pub fn hold(&self) {
        self.gate.lock().is_held = true;
    }

    /// Lets messages through again, those that were kept back first.
    pub fn release(&self) {
        let mut gate = self.gate.lock();
        gate.is_held = false;
        self.let_through(&mut gate);
    }

    /// Messages may be missed from here on: what comes is kept back until [`Seat::catch_up`].
    pub(super) fn interrupt(&self) {
        self.gate.lock().interruptions += 1;
    }

    /// The interruption that has to be made up for, if there is one.
    pub(super) fn interruption(&self) -> Option<Interruption> {
        let gate = self.gate.lock();
        let Gate { interruptions: number, passed, .. } = *gate;
        (gate.is_interrupted() && !gate.is_closed).then_some(Interruption { number, passed })
    }

    /// Sends what was missed during an interruption, then what has come since; unless there has been another one meanwhile. Answers
    /// how many were missed.
    pub(super) fn catch_up(&self, interruption: Interruption, backlog: Backlog) -> usize {
        let mut gate = self.gate.lock();
        let passed = gate.passed;
        // In front, what an earlier reading found and is waiting still.
        let (mut waiting, since): (Vec<_>, Vec<_>) =
            std::mem::take(&mut gate.held).into_iter().partition(|delivery| delivery.id <= passed);
        let missed = backlog.messages.into_iter().map(|kept| kept.delivery);
        let waited = waiting.len();
        waiting.extend(missed.filter(|delivery| delivery.id > passed && self.is_meant(&delivery.audience)));
        let count = waiting.len() - waited;
        waiting.extend(since.into_iter().filter(|delivery| delivery.id > backlog.last));
        gate.held = waiting;
        gate.passed = passed.max(backlog.last);
        gate.mended = interruption.number;
        self.let_through(&mut gate);
        count
    }

    fn let_through(&self, gate: &mut Gate) {
        if gate.is_held || gate.is_interrupted() {
            return;
        }
        for delivery in std::mem::take(&mut gate.held) {
            self.pass(gate, &delivery);
        }
    }

    /// Opens the gate for the first time: what was missed, then what has come meanwhile, then what comes.
    pub(super) async fn open(&self, missed: Missed) {
        let Missed { deliveries, read_to } = missed;
        // Of what was read and is not among the missed, the device needs nothing.
        let needed_from = deliveries.first().map_or(read_to, |first| EventId(first.id.0 - 1));
        let mut waiting = VecDeque::from(deliveries);
        {
            let mut gate = self.gate.lock();
            // A client may name an event that never was; it is not to wait for it.
            gate.position.received = gate.position.received.min(read_to).max(needed_from);
            gate.position.described = gate.position.described.min(read_to);
            gate.passed = gate.passed.max(read_to);
            gate.held.retain(|delivery| delivery.id > read_to);
        }
        for _ in 0..LOOK_FOR_ROOM_TIMES {
            if self.open_as_far_as_there_is_room(&mut waiting) {
                return;
            }
            tokio::time::sleep(LOOK_FOR_ROOM_EVERY).await;
        }
        if let Some(delivery) = waiting.front() {
            self.note_unsent(delivery, Unsent::Full);
        }
        self.fail(&mut self.gate.lock());
    }

    /// Whether everything was sent and the gate is open.
    fn open_as_far_as_there_is_room(&self, waiting: &mut VecDeque<Delivery>) -> bool {
        let mut gate = self.gate.lock();
        loop {
            while let Some(delivery) = waiting.front() {
                match self.try_pass(&mut gate, delivery) {
                    Ok(()) => drop(waiting.pop_front()),
                    Err(Unsent::Full) => return false,
                    Err(Unsent::Gone) => {
                        self.note_unsent(delivery, Unsent::Gone);
                        gate.is_closed = true;
                        gate.held = Vec::new();
                        return true;
                    }
                }
            }
            if gate.held.is_empty() {
                gate.is_held = false;
                return true;
            }
            waiting.extend(std::mem::take(&mut gate.held));
        }
    }

    /// A message for the user: sent if it is for this device and has not been sent already.
    pub(super) fn offer(&self, delivery: &Delivery) {
        if !self.is_meant(&delivery.audience) {
            return;
        }
        let mut gate = self.gate.lock();
        if delivery.id <= gate.passed {
            // The inbox had it already.
        } else if !gate.is_held && !gate.is_interrupted() {
            self.pass(&mut gate, delivery);
        } else if gate.held.len() < MAX_HELD {
            gate.held.push(delivery.clone());
        } else {
            self.fail(&mut gate);
        }
    }

    /// Ends the seat: nothing is sent any more. Answers how far the device has come.
    pub(super) fn close(&self, reason: CloseReason) -> Position {
        let position = self.stop();
        self.outlet.clone().close(reason);
        position
    }

    /// How far the device has come.
    pub(super) fn position(&self) -> Position {
        let mut gate = self.gate.lock();
        gate.confirm(self.outlet.heard());
        gate.position
    }

    /// How far the device has come; nothing is sent any more.
    pub(super) fn stop(&self) -> Position {
        let mut gate = self.gate.lock();
        gate.is_closed = true;
        gate.held = Vec::new();
        let heard = self.outlet.heard();
        gate.confirm(heard);
        if let Some(ring) = gate.rang.take() {
            self.notes.gone(&ring, heard);
        }
        gate.position
    }

    /// Whether this device is among those meant.
    pub(super) fn is_meant(&self, audience: &Audience) -> bool {
        let is_here = |device: &DeviceId| *device == self.device || device.as_str() == self.session().as_str();
        match audience {
            Audience::All => true,
            Audience::Only(device) => is_here(device),
            Audience::Except(device) => !is_here(device),
        }
    }

    fn pass(&self, gate: &mut Gate, delivery: &Delivery) {
        if let Err(unsent) = self.try_pass(gate, delivery) {
            self.note_unsent(delivery, unsent);
            self.fail(gate);
        }
    }

    /// Says for good that the device does not get this over this socket.
    fn note_unsent(&self, delivery: &Delivery, unsent: Unsent) {
        self.note_delivery(delivery, Err(unsent));
        self.notes.unsent((self.user(), &self.device), delivery, unsent);
    }

    fn try_pass(&self, gate: &mut Gate, delivery: &Delivery) -> Result<(), Unsent> {
        if gate.is_closed {
            return Err(Unsent::Gone);
        }
        let heard = self.outlet.heard();
        gate.confirm(heard);
        self.outlet.send(delivery.id, &delivery.payload)?;
        self.note_delivery(delivery, Ok(()));
        gate.passed = gate.passed.max(delivery.id);
        if gate.unconfirmed.len() == MAX_UNCONFIRMED {
            // What was sent after it has not been lost without it.
            gate.unconfirmed.pop_front();
        }
        let at = self.clock.now();
        if let Some(ring) = self.notes.sent((self.user(), &self.device), delivery, at, &self.outlet) {
            gate.rang = Some(ring);
        }
        gate.unconfirmed.push_back(Sent {
            id: delivery.id,
            at,
            heard_before: heard.times,
            is_description: delivery.payload.is_description(),
        });
        Ok(())
    }

    /// A gap must not open: once a message could not be sent, none after it is. The inbox has them all.
    fn fail(&self, gate: &mut Gate) {
        if !gate.is_closed {
            gate.is_closed = true;
            gate.held = Vec::new();
            self.outlet.clone().close(CloseReason::TooSlow);
        }
    }
}

/// An interruption, and how far everything had passed before it.
#[derive(Clone, Copy)]
pub(super) struct Interruption {
    number: u32,
    pub(super) passed: EventId,
}

impl Gate {
    fn is_interrupted(&self) -> bool {
        self.mended != self.interruptions
    }

    fn confirm(&mut self, heard: Heard) {
        if self.heard_times == heard.times {
            return;
        }
        self.heard_times = heard.times;
        for sent in &self.unconfirmed {
            if sent.is_description && sent.heard_before < heard.times {
                self.position.described = self.position.described.max(sent.id);
            }
        }
        while let Some(first) = self.unconfirmed.front()
            && first.at.plus(CONFIRMED_AFTER) <= heard.at
        {
            self.position.received = self.position.received.max(first.id);
            self.unconfirmed.pop_front();
        }
        if self.unconfirmed.is_empty() {
            self.unconfirmed = VecDeque::new();
        }
    }
}
