//! The inbox of one user: bounded, in order, short-lived.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::backplane::memory::MemoryConfig;
use crate::backplane::{Delivery, Kept, Outgoing, Payload};
use crate::clock::Timestamp;
use crate::ids::{CallId, EventId};

pub(super) struct Inbox {
    last: EventId,
    entries: VecDeque<Kept>,
    bytes: usize,
}

impl Inbox {
    /// Ids begin at the time of day, so that they go on rising when a user was forgotten and comes back.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { last: EventId(now.0), entries: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn append(
        &mut self,
        outgoing: Outgoing,
        now: Timestamp,
        reached_nobody: bool,
        config: &MemoryConfig,
    ) -> Delivery {
        self.last = EventId(self.last.0 + 1);
        let Outgoing { audience, payload, trace, .. } = outgoing;
        let delivery = Delivery { id: self.last, audience, payload: Arc::new(payload), trace };
        self.bytes += delivery.payload.size();
        self.entries.push_back(Kept { delivery: delivery.clone(), sent_at: now, reached_nobody });
        while self.entries.len() > config.inbox_messages || self.bytes > config.inbox_bytes {
            let Some(dropped) = self.entries.remove(self.most_expendable()) else { break };
            self.bytes -= dropped.delivery.payload.size();
        }
        delivery
    }

    /// Signals go first, the oldest before the others: without a candidate a call may still connect. Ends go last: without its
    /// end a phone would ring for ever.
    fn most_expendable(&self) -> usize {
        let oldest =
            |is_meant: fn(&Payload) -> bool| self.entries.iter().position(|kept| is_meant(&kept.delivery.payload));
        let signal = oldest(|payload| matches!(payload, Payload::Signal(_)));
        signal.or_else(|| oldest(Payload::needs_live_call)).unwrap_or(0)
    }

    /// What was sent after `after`, and every notice that needs its call live.
    pub(super) fn read(&self, after: EventId) -> Vec<Kept> {
        let is_wanted = |kept: &&Kept| kept.delivery.id > after || kept.delivery.payload.is_live_notice();
        self.entries.iter().filter(is_wanted).cloned().collect()
    }

    /// The place of the last message.
    pub(super) fn last(&self) -> EventId {
        self.last
    }

    /// What only matters while `call` lives is let go.
    pub(super) fn close_call(&mut self, call: CallId) {
        self.retain(|kept| kept.delivery.payload.call_id() != call || !kept.delivery.payload.needs_live_call());
    }

    pub(super) fn sweep(&mut self, now: Timestamp, ttl: Duration) {
        self.retain(|kept| now < kept.sent_at.plus(ttl));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn retain(&mut self, keep: impl Fn(&Kept) -> bool) {
        self.entries.retain(keep);
        self.entries.shrink_to(self.entries.len() * 2);
        self.bytes = self.entries.iter().map(|kept| kept.delivery.payload.size()).sum();
    }
}
