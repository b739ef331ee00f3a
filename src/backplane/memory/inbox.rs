//! The inbox of one user: bounded, in order, short-lived.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::backplane::memory::MemoryConfig;
use crate::backplane::{Delivery, Outgoing, Payload};
use crate::clock::Timestamp;
use crate::ids::{CallId, EventId};

pub(super) struct Inbox {
    last: EventId,
    entries: VecDeque<(Timestamp, Delivery)>,
    bytes: usize,
}

impl Inbox {
    /// Ids begin at the time of day, so that they go on rising when a user was forgotten and comes back.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { last: EventId(now.0), entries: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn append(&mut self, outgoing: Outgoing, now: Timestamp, config: &MemoryConfig) -> Delivery {
        self.last = EventId(self.last.0 + 1);
        let delivery = Delivery { id: self.last, audience: outgoing.audience, payload: Arc::new(outgoing.payload) };
        self.bytes += delivery.payload.size();
        self.entries.push_back((now, delivery.clone()));
        while self.entries.len() > config.inbox_messages || self.bytes > config.inbox_bytes {
            let Some((_, dropped)) = self.entries.remove(self.most_expendable()) else { break };
            self.bytes -= dropped.payload.size();
        }
        delivery
    }

    /// Signals go first, the oldest before the others: without a candidate a call may still connect. Ends go last: without its
    /// end a phone would ring for ever.
    fn most_expendable(&self) -> usize {
        let oldest =
            |is_meant: fn(&Payload) -> bool| self.entries.iter().position(|(_, delivery)| is_meant(&delivery.payload));
        let signal = oldest(|payload| matches!(payload, Payload::Signal(_)));
        signal.or_else(|| oldest(Payload::needs_live_call)).unwrap_or(0)
    }

    pub(super) fn read(&self, after: EventId) -> Vec<Delivery> {
        let from = self.entries.partition_point(|(_, delivery)| delivery.id <= after);
        self.entries.range(from..).map(|(_, delivery)| delivery.clone()).collect()
    }

    /// What only matters while `call` lives is let go.
    pub(super) fn close_call(&mut self, call: CallId) {
        self.retain(|_, delivery| delivery.payload.call_id() != call || !delivery.payload.needs_live_call());
    }

    pub(super) fn sweep(&mut self, now: Timestamp, ttl: Duration) {
        self.retain(|at, _| now < at.plus(ttl));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn retain(&mut self, keep: impl Fn(Timestamp, &Delivery) -> bool) {
        self.entries.retain(|(at, delivery)| keep(*at, delivery));
        self.entries.shrink_to(self.entries.len() * 2);
        self.bytes = self.entries.iter().map(|(_, delivery)| delivery.payload.size()).sum();
    }
}
