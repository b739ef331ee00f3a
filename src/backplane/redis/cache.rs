//! The calls as this node saw them last: to save questions, to carry fields of other releases over a change, and to put back what
//! Redis has lost. Bounded: the one used longest ago is forgotten.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use crate::backplane::redis::record::{Foreign, Record};
use crate::backplane::{Stored, Version};
use crate::call::Call;
use crate::ids::CallId;

/// Most calls remembered.
const MAX_CALLS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Calls as they were seen last.
pub(super) struct Cache {
    calls: Mutex<LruCache<CallId, Seen>>,
}

/// One of them.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) call: Arc<Call>,
    pub(super) revision: u64,
    pub(super) foreign: Foreign,
}

impl Default for Cache {
    fn default() -> Self {
        // Grows as it is used.
        let mut calls = LruCache::unbounded();
        calls.resize(MAX_CALLS);
        Self { calls: Mutex::new(calls) }
    }
}

impl Seen {
    fn stored(&self) -> Stored {
        Stored { call: self.call.clone(), version: Version(self.revision) }
    }
}

impl Cache {
    /// Notes a call as it was read.
    pub(super) fn note(&self, record: Record) -> Stored {
        let Record { call, revision, foreign } = record;
        let seen = Seen { call: Arc::new(call), revision, foreign };
        let stored = seen.stored();
        self.put(seen);
        stored
    }

    /// Notes a call as it was written or read, unless a newer one is known.
    pub(super) fn put(&self, seen: Seen) {
        let mut calls = self.calls.lock();
        if calls.peek(&seen.call.id).is_none_or(|known| known.revision <= seen.revision) {
            calls.put(seen.call.id, seen);
        }
    }

    /// A call has been changed to this revision, by whomever: what is known of it is out of date.
    pub(super) fn outdate(&self, call: CallId, revision: u64) {
        let mut calls = self.calls.lock();
        if calls.peek(&call).is_some_and(|known| known.revision < revision) {
            calls.pop(&call);
        }
    }

    /// A live call.
    pub(super) fn recall(&self, call: CallId) -> Option<Stored> {
        self.calls.lock().get(&call).filter(|seen| seen.call.is_live()).map(Seen::stored)
    }

    /// Forgets every call.
    pub(super) fn clear(&self) {
        self.calls.lock().clear();
    }

    /// What else was in the record at this revision.
    pub(super) fn foreign(&self, call: CallId, revision: u64) -> Option<Foreign> {
        self.calls.lock().peek(&call).filter(|seen| seen.revision == revision).map(|seen| seen.foreign.clone())
    }

    /// Every call that is remembered.
    pub(super) fn all(&self) -> Vec<Seen> {
        self.calls.lock().iter().map(|(_, seen)| seen.clone()).collect()
    }
}
