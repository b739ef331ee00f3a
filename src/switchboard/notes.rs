//! What this node notes of calls beside their changes: what devices were sent, and whether they were heard from since.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::backplane::{Delivery, Device, Payload, Stored, Unavailable};
use crate::call::{Call, Command, Event, Milestone, Refusal};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, PushTokenKind, UserId};
use crate::protocol::ServerEvent;
use crate::switchboard::seat::CONFIRMED_AFTER;
use crate::switchboard::{Heard, Outlet, Seat, Switchboard, Unsent};
use crate::timeline::{Account, Entry, Known, Recorder, What, Who};

/// How often what was noted is written down.
const WRITE_EVERY: Duration = Duration::from_millis(300);
/// For how long a device is waited for that was sent the ring: as long as a dead connection may go unnoticed.
const HEARD_WITHIN: Duration = Duration::from_secs(85);
/// Rings of which it is waited to hear from their device. Of what comes beyond that nobody knows whether it has arrived.
const RINGS_MAX: usize = 8_192;

/// What is noted at this node.
pub(super) struct Notes {
    pub(super) recorder: Arc<Recorder>,
    /// The rings that went out, the first ones first.
    rings: Mutex<VecDeque<Arc<Ring>>>,
}

/// A ring that went out to a device, until that was heard from.
pub(super) struct Ring {
    call: CallId,
    to: Who,
    at: Timestamp,
    outlet: Weak<dyn Outlet>,
    is_settled: AtomicBool,
}

impl Notes {
    pub(super) fn new(recorder: Arc<Recorder>) -> Arc<Self> {
        Arc::new(Self { recorder, rings: Mutex::default() })
    }

    /// A device was sent a message at `at`. Answers with the ring, if that is what it was.
    pub(super) fn sent(
        &self,
        (user, device): (&UserId, &DeviceId),
        delivery: &Delivery,
        at: Timestamp,
        outlet: &Arc<dyn Outlet>,
    ) -> Option<Arc<Ring>> {
        let Payload::Notice(notice) = &*delivery.payload else { return None };
        if !self.recorder.is_on() {
            return None;
        }
        let to = Who::new(user, device);
        let message = ServerEvent::notice(delivery.id, notice).name.to_owned();
        self.recorder.note_at(notice.call_id, Some(at), || What::Delivered { to: to.clone(), message });
        if !matches!(notice.event, Event::Incoming { .. }) {
            return None;
        }
        let outlet = Arc::downgrade(outlet);
        let ring = Arc::new(Ring { call: notice.call_id, to, at, outlet, is_settled: AtomicBool::new(false) });
        let mut rings = self.rings.lock();
        if rings.len() >= RINGS_MAX {
            return None;
        }
        rings.push_back(ring.clone());
        Some(ring)
    }

    /// A device could not be sent a message.
    pub(super) fn unsent(&self, (user, device): (&UserId, &DeviceId), delivery: &Delivery, unsent: Unsent) {
        let Payload::Notice(notice) = &*delivery.payload else { return };
        let why = match unsent {
            Unsent::Full => "it does not take what it is sent, and is cut off",
            Unsent::Gone => "its connection is gone",
        };
        let message = ServerEvent::notice(delivery.id, notice).name;
        self.recorder.note(notice.call_id, || What::Undelivered {
            to: Who::new(user, device),
            message: message.to_owned(),
            why: why.to_owned(),
        });
    }

    /// The connection by which a ring went out is gone.
    pub(super) fn gone(&self, ring: &Ring, heard: Heard) {
        if !self.hear(ring, heard) {
            self.settle(ring, None, || What::Silent { by: ring.to.clone(), gone: true });
        }
    }

    /// Looks which devices were heard from, and gives up those that are not.
    fn look(&self, now: Timestamp) {
        let is_open = |ring: &Arc<Ring>| {
            if ring.is_settled.load(Ordering::Relaxed) {
                return false;
            }
            let Some(outlet) = ring.outlet.upgrade() else {
                self.settle(ring, None, || What::Silent { by: ring.to.clone(), gone: true });
                return false;
            };
            if self.hear(ring, outlet.heard()) {
                return false;
            }
            let is_given_up = ring.at.plus(HEARD_WITHIN) <= now;
            if is_given_up {
                self.settle(ring, None, || What::Silent { by: ring.to.clone(), gone: false });
            }
            !is_given_up
        };
        let mut rings = self.rings.lock();
        rings.retain(is_open);
        if rings.is_empty() {
            *rings = VecDeque::new();
        }
    }

    /// Whether a device was heard from so late that it has the ring.
    fn hear(&self, ring: &Ring, heard: Heard) -> bool {
        let has_it = ring.at.plus(CONFIRMED_AFTER) <= heard.at;
        if has_it {
            self.settle(ring, Some(heard.at), || What::Acknowledged { by: ring.to.clone() });
        }
        has_it
    }

    fn settle(&self, ring: &Ring, at: Option<Timestamp>, what: impl FnOnce() -> What) {
        if !ring.is_settled.swap(true, Ordering::Relaxed) {
            self.recorder.note_at(ring.call, at, what);
        }
    }

    /// A command was carried out that is no turn in the life of a call, but in that of a device.
    pub(super) fn changed(&self, call: &Call, command: &Command) {
        if let Command::Away { user, device } = command {
            self.recorder.note(call.id, || What::Away { by: Who::new(user, device) });
        }
    }

    /// A party of a call was refused something.
    pub(super) fn refused(&self, call: &Call, command: &Command, refusal: Refusal) {
        let asked = match command {
            Command::Accept { .. } => "call_accept",
            Command::Reject { .. } => "call_reject",
            Command::End { .. } => "call_end",
            Command::Away { .. } | Command::Back { .. } | Command::Expire => return,
        };
        let Some(by) = command.by().filter(|by| call.has_party(&by.user)) else { return };
        self.recorder.note(call.id, || What::Refused {
            by: Who::new(&by.user, &by.device),
            asked: asked.to_owned(),
            why: refusal.to_string(),
        });
    }

    /// A device has registered, while these calls are live.
    pub(super) fn came(&self, seat: &Seat, calls: &[Stored]) {
        for Stored { call, .. } in calls {
            if call.is_live() && call.has_party(seat.user()) {
                self.recorder.note(call.id, || What::Registered { by: Who::new(seat.user(), seat.device()) });
            }
        }
    }
}

/// Devices as a timeline has them.
pub(super) fn known(devices: &[Device]) -> Vec<Known> {
    let known = |device: &Device| Known {
        device: device.id.to_string(),
        connected: device.is_connected,
        node: device.node.as_ref().map(ToString::to_string),
        tokens: PushTokenKind::ALL
            .into_iter()
            .filter(|kind| device.tokens.of(*kind).is_some())
            .map(|kind| kind.field().to_owned())
            .collect(),
        seen_at: device.seen_at.0,
    };
    devices.iter().map(known).collect()
}

/// Notes that were taken and are not written down: lost, should nobody wait for that any more.
struct Unwritten<'a> {
    recorder: &'a Recorder,
    count: usize,
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.recorder.lose(self.count);
    }
}

impl Switchboard {
    /// Writes down what is noted of calls, until `stop`.
    pub async fn watch_timelines(&self, stop: CancellationToken) {
        if !self.notes.recorder.is_on() {
            return;
        }
        while tokio::time::timeout(WRITE_EVERY, stop.cancelled()).await.is_err() {
            self.write_timelines().await;
        }
    }

    /// Writes down what has been noted so far.
    pub async fn write_timelines(&self) {
        let recorder = &self.notes.recorder;
        self.notes.look(self.clock.now());
        let notes = recorder.take();
        if !notes.is_empty() {
            let mut unwritten = Unwritten { recorder, count: notes.len() };
            unwritten.count = self.backplane.note(notes).await.unwrap_or(unwritten.count);
        }
        self.observed.metrics.timeline_dropped.add(recorder.take_dropped());
    }

    /// The timeline of a call, if there is one.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn timeline(&self, call: CallId) -> Result<Option<Account>, Unavailable> {
        self.write_timelines().await;
        let entries = self.backplane.timeline(call).await?;
        Ok((!entries.is_empty()).then(|| Account::new(call, entries)))
    }

    /// Somebody has asked how a call stands, by their own token or that of the push, and was answered.
    pub fn asked(&self, call: CallId, by: Option<&UserId>, status: &'static str) {
        let user = by.map(ToString::to_string);
        self.notes.recorder.note(call, || What::StatusAsked { user, status: status.to_owned() });
    }

    /// What is noted with a commit.
    pub(super) fn entries_of(&self, milestones: &[Milestone], devices: &[Device]) -> Vec<Entry> {
        let recorder = &self.notes.recorder;
        if !recorder.is_on() {
            return Vec::new();
        }
        let entry = |milestone: &Milestone| recorder.entry(milestone.at, What::of(milestone, || known(devices)));
        milestones.iter().map(entry).collect()
    }
}
