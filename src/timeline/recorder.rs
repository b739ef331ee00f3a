//! Gathers what a node has to say of calls until it is written down. Nobody waits for it: what does not fit is dropped, and counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

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
    dropped: AtomicUsize,
}

impl Recorder {
    /// The recorder of `node`; one that is off takes nothing, and costs nothing.
    pub fn new(is_on: bool, node: NodeId, clock: Clock) -> Self {
        Self { is_on, node, clock, waiting: Mutex::default(), dropped: AtomicUsize::new(0) }
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
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.push(Note { call, entry });
        }
    }

    /// Takes all there is to write down.
    pub fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.waiting.lock())
    }

    /// So many that were taken were not written down.
    pub fn lose(&self, count: usize) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// How many did not fit, or were not written down, since this was asked last.
    pub fn take_dropped(&self) -> usize {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent() -> What {
        What::NotPushed { kind: "ring".into(), why: "x".into() }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let recorder = Recorder::new(true, NodeId::random(), Clock::system());
        let call = CallId::from_u128(1);
        for _ in 0..WAITING_MAX + 3 {
            recorder.note(call, silent);
        }
        assert_eq!((recorder.take().len(), recorder.take_dropped(), recorder.take_dropped()), (WAITING_MAX, 3, 0));
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
