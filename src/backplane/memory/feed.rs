//! What is to be told of calls, in memory: each call with its milestones, and when it may be named next.

use std::collections::{BTreeSet, HashMap};

use crate::backplane::{Backed, FeedBounds, Untold};
use crate::call::{Milestone, Turn};
use crate::clock::Timestamp;
use crate::ids::CallId;

/// What is to be told. Nothing where there are no bounds.
pub(super) struct Feed {
    bounds: Option<FeedBounds>,
    calls: HashMap<CallId, Waiting>,
    due: BTreeSet<(Timestamp, CallId)>,
    dropped: u64,
}

struct Waiting {
    milestones: Vec<Milestone>,
    kept_at: Timestamp,
    due_at: Timestamp,
    forget_at: Timestamp,
}

impl Feed {
    pub(super) fn new(bounds: Option<FeedBounds>) -> Self {
        Self { bounds, calls: HashMap::new(), due: BTreeSet::new(), dropped: 0 }
    }

    /// Keeps what a call has come to. Says whether somebody who waits may have something to do.
    pub(super) fn keep(&mut self, call: CallId, milestones: Vec<Milestone>, now: Timestamp) -> bool {
        let Some(bounds) = self.bounds else { return false };
        if milestones.is_empty() {
            return false;
        }
        let forget_at = now.plus(bounds.ttl);
        if let Some(waiting) = self.calls.get_mut(&call) {
            // Whoever has it goes on when that is told.
            waiting.milestones.extend(milestones);
            waiting.forget_at = forget_at;
            return false;
        }
        if self.calls.len() >= bounds.calls {
            self.dropped += milestones.len() as u64;
            return false;
        }
        self.calls.insert(call, Waiting { milestones, kept_at: now, due_at: now, forget_at });
        self.due.insert((now, call));
        true
    }

    /// The calls of which something is to be told, put off until `until`; or else when to look again.
    pub(super) fn take(
        &mut self,
        limit: usize,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Untold>, Option<Timestamp>> {
        let due: Vec<_> = self.due.iter().take_while(|(at, _)| *at <= now).take(limit).copied().collect();
        if due.is_empty() {
            return Err(self.due.first().map(|(at, _)| *at));
        }
        let mut untold = Vec::new();
        for (_, call) in due {
            self.set_due(call, until);
            if let Some(waiting) = self.calls.get(&call) {
                untold.push(Untold { call, milestones: waiting.milestones.clone() });
            }
        }
        Ok(untold)
    }

    pub(super) fn told(&mut self, call: CallId, through: Turn, now: Timestamp) {
        let Some(waiting) = self.calls.get_mut(&call) else { return };
        waiting.milestones.retain(|milestone| milestone.turn.place() > through.place());
        if waiting.milestones.is_empty() {
            self.forget(call);
        } else {
            self.set_due(call, now);
        }
    }

    pub(super) fn set_due(&mut self, call: CallId, at: Timestamp) {
        let Some(waiting) = self.calls.get_mut(&call) else { return };
        self.due.remove(&(waiting.due_at, call));
        self.due.insert((at, call));
        waiting.due_at = at;
    }

    pub(super) fn backed(&self) -> Backed {
        let since = self.calls.values().map(|waiting| waiting.kept_at).min();
        Backed { calls: self.calls.len() as u64, since, dropped: self.dropped }
    }

    pub(super) fn sweep(&mut self, now: Timestamp) {
        let old: Vec<_> =
            self.calls.iter().filter(|(_, waiting)| waiting.forget_at <= now).map(|(call, _)| *call).collect();
        for call in old {
            self.forget(call);
        }
        self.calls.shrink_to(self.calls.len() * 2);
    }

    fn forget(&mut self, call: CallId) {
        if let Some(waiting) = self.calls.remove(&call) {
            self.due.remove(&(waiting.due_at, call));
        }
        if self.calls.is_empty() {
            self.dropped = 0;
        }
    }
}
