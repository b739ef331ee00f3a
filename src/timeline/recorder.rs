//! Gathers what a node has to say of calls until it is written down. Nobody waits for it: what does not fit is dropped, and counted.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::{Clock, Timestamp};
use crate::ids::{CallId, NodeId};
use crate::timeline::{Entry, What};

/// Entries that wait to be written down: those of some 5000 calls that are begun at once. What comes beyond that is dropped.
const WAITING_MAX: usize = 16_384;

/// Something to be written into the timeline of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The call.
    pub call: CallId,
    /// What.
    pub entry: Entry,
}

/// What one node has to say.
pub struct Recorder {
    is_on: bool,
    node: NodeId,
    clock: Clock,
    waiting: Mutex<Vec<Note>>,
    arrived: Notify,
    dropped: AtomicU64,
}

impl Recorder {
    /// The recorder of `node`; one that is off takes nothing, and costs nothing.
    pub fn new(is_on: bool, node: NodeId, clock: Clock) -> Self {
        Self { is_on, node, clock, waiting: Mutex::default(), arrived: Notify::new(), dropped: AtomicU64::new(0) }
    }

    /// One that takes nothing.
    pub fn off(clock: Clock) -> Self {
        Self::new(false, NodeId::random(), clock)
    }

    /// Whether it takes anything.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// What is at this moment, as this node says. For what is written down at once.
    pub fn entry(&self, at: Timestamp, what: What) -> Entry {
        Entry::new(at, self.node.as_str(), what)
    }

    /// Notes what happens at this moment.
    pub fn note(&self, call: CallId, what: impl FnOnce() -> What) {
        self.note_at(call, None, what);
    }

    /// Notes what happened at `at`.
    pub fn note_at(&self, call: CallId, at: Option<Timestamp>, what: impl FnOnce() -> What) {
        if !self.is_on {
            return;
        }
        let entry = self.entry(at.unwrap_or_else(|| self.clock.now()), what());
        let is_first = {
            let mut waiting = self.waiting.lock();
            if waiting.len() >= WAITING_MAX {
                drop(waiting);
                self.drop_some(1);
                return;
            }
            waiting.push(Note { call, entry });
            waiting.len() == 1
        };
        if is_first {
            self.arrived.notify_one();
        }
    }

    /// Waits until there is something to write down. Safe to cancel.
    pub async fn arrival(&self) {
        while self.waiting.lock().is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Takes all there is to write down.
    pub fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// So many could not be written down.
    pub fn drop_some(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many were not written down, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn silent() -> What {
        What::NotPushed { kind: "ring".into(), why: "x".into() }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let recorder = Recorder::new(true, NodeId::random(), Clock::system());
        let call = CallId::from_u128(1);
        assert!(recorder.arrival().now_or_never().is_none());
        for _ in 0..WAITING_MAX + 3 {
            recorder.note(call, silent);
        }
        assert!(recorder.arrival().now_or_never().is_some());
        assert_eq!((recorder.take().len(), recorder.dropped()), (WAITING_MAX, 3));
        recorder.note(call, silent);
        assert_eq!(recorder.take().len(), 1);
        assert!(recorder.take().is_empty());
    }

    #[test]
    fn one_that_is_off_does_not_even_ask() {
        let recorder = Recorder::off(Clock::system());
        recorder.note(CallId::from_u128(1), || unreachable!("nobody wants to know"));
        assert!(recorder.take().is_empty());
    }
}
