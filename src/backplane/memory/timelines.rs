//! The timelines of calls in memory: each for as long as it is to be kept, and no more of them than fit.

use std::collections::{HashMap, VecDeque};

use crate::backplane::TimelineBounds;
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::timeline::{ENTRIES_MAX, Entry, Note};

/// What is kept. Nothing where there are no bounds.
pub(super) struct Timelines {
    bounds: Option<TimelineBounds>,
    calls: HashMap<CallId, Kept>,
    /// The calls, those first that began first.
    order: VecDeque<CallId>,
}

/// As texts, a line each: they take a fraction of what they take taken apart, and are seldom read.
struct Kept {
    lines: String,
    count: usize,
    forget_at: Timestamp,
}

impl Kept {
    fn extend(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.push(entry);
        }
    }

    fn push(&mut self, entry: &Entry) {
        let text = entry.to_text();
        self.lines.reserve_exact(text.len() + 1);
        self.lines.push_str(&text);
        self.lines.push('\n');
        self.count += 1;
    }
}

impl Timelines {
    pub(super) fn new(bounds: Option<TimelineBounds>) -> Self {
        Self { bounds, calls: HashMap::new(), order: VecDeque::new() }
    }

    /// What a commit says of a call, which lasts until `until` at most. Its timeline is begun where it begins.
    pub(super) fn commit(&mut self, call: CallId, entries: &[Entry], begins: bool, until: Timestamp) {
        let Some(bounds) = self.bounds else { return };
        let forget_at = until.plus(bounds.ttl);
        if begins && !entries.is_empty() {
            let mut kept = Kept { lines: String::new(), count: 0, forget_at };
            kept.extend(entries);
            self.calls.insert(call, kept);
            self.order.push_back(call);
            while self.order.len() > bounds.calls {
                if let Some(oldest) = self.order.pop_front() {
                    self.calls.remove(&oldest);
                }
            }
        } else if let Some(kept) = self.calls.get_mut(&call) {
            kept.extend(entries);
            kept.forget_at = forget_at;
        }
    }

    /// Appends what nodes have noted, and answers how many of it is not kept.
    pub(super) fn append(&mut self, notes: Vec<Note>) -> usize {
        let mut lost = 0;
        for Note { call, entry } in notes {
            match self.calls.get_mut(&call) {
                Some(kept) if kept.count < ENTRIES_MAX => kept.push(&entry),
                Some(_) | None => lost += 1,
            }
        }
        lost
    }

    pub(super) fn get(&self, call: CallId, now: Timestamp) -> Vec<Entry> {
        let kept = self.calls.get(&call).filter(|kept| now < kept.forget_at);
        kept.map(|kept| kept.lines.lines().filter_map(Entry::from_text).collect()).unwrap_or_default()
    }

    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.calls.retain(|_, kept| now < kept.forget_at);
        self.calls.shrink_to(self.calls.len() * 2);
        self.order.retain(|call| self.calls.contains_key(call));
    }
}
