//! Calls that are due. Truth is the sorted set of deadlines, from which any node takes what has passed, for a second at a time.
//! It is looked at when a deadline passes that was set here, and by and by for those of others: twenty times a second by all
//! nodes together. Where Redis says which
//! keys have expired, the nodes elect who acts on a timer at once; nothing depends on it, as such notices come late, or never.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backplane::redis::Redis;
use crate::backplane::redis::link::Lane;
use crate::backplane::{Due, Unavailable};
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::metrics::FoundBy;

/// How often the deadlines of all nodes are looked at by each of two. With more nodes each looks less often, so that looking costs
/// no more; but at least once a second, as a node may have died with its deadlines.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The shortest wait for a deadline of this node: the clock of Redis may be a little behind.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// A deadline further away than this is not remembered here: looking ten times a second finds it.
const HORIZON: Duration = Duration::from_secs(600);
/// Expired timers that wait for an election; beyond it they wait to be found.
const MAX_EXPIRED: usize = 4_096;

/// What this node knows of deadlines.
#[derive(Default)]
pub(super) struct Deadlines {
    own: Mutex<BTreeSet<(Timestamp, CallId)>>,
    expired: Mutex<VecDeque<CallId>>,
    /// An earlier deadline was set, or a timer has expired.
    changed: Notify,
    probe: Notify,
    /// How often the deadlines of all were looked at.
    sweeps: AtomicU64,
    /// How many wait for calls that are due.
    waiting: AtomicUsize,
}

impl Deadlines {
    /// A deadline was set here.
    pub(super) fn set(&self, at: Timestamp, call: CallId, now: Timestamp) {
        if at > now.plus(HORIZON) {
            return;
        }
        let is_first = {
            let mut own = self.own.lock();
            own.insert((at, call));
            own.first().is_some_and(|(first, id)| *first == at && *id == call)
        };
        if is_first {
            self.changed.notify_one();
        }
    }

    /// A timer has expired.
    pub(super) fn note_expired(&self, call: CallId) {
        let mut expired = self.expired.lock();
        if expired.len() < MAX_EXPIRED {
            expired.push_back(call);
            drop(expired);
            self.changed.notify_one();
        }
    }

    /// The key has expired that was set to see whether Redis says so.
    fn note_probe(&self) {
        self.probe.notify_one();
    }

    /// Waits for that.
    pub(super) async fn probe_heard(&self) {
        self.probe.notified().await;
    }

    fn next_expired(&self) -> Option<CallId> {
        self.expired.lock().pop_front()
    }

    /// Takes out the deadlines that have passed.
    fn take_passed(&self, now: Timestamp) -> BTreeSet<(Timestamp, CallId)> {
        let mut own = self.own.lock();
        let later = own.split_off(&(Timestamp(now.0 + 1), CallId::from_u128(0)));
        std::mem::replace(&mut *own, later)
    }

    /// Puts back those that have not passed yet by the clock of Redis, a little behind ours.
    fn put_back(&self, taken: BTreeSet<(Timestamp, CallId)>, redis_now: Timestamp) {
        let early = taken.into_iter().filter(|(at, _)| *at > redis_now);
        self.own.lock().extend(early);
    }

    /// How long it is until the next deadline of this node.
    fn until_next(&self, now: Timestamp) -> Option<Duration> {
        self.own.lock().first().map(|(at, _)| now.until(*at).max(SHORTEST_WAIT))
    }

    /// How often the deadlines were looked at, if anybody waits for calls that are due.
    #[cfg(test)]
    pub(super) fn sweeps(&self) -> Option<u64> {
        (self.waiting.load(Ordering::SeqCst) > 0).then(|| self.sweeps.load(Ordering::SeqCst))
    }
}

/// Counts one who waits.
struct Waiting<'a>(&'a Deadlines);

impl<'a> Waiting<'a> {
    fn new(deadlines: &'a Deadlines) -> Self {
        deadlines.waiting.fetch_add(1, Ordering::SeqCst);
        Self(deadlines)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How this node knows of a call that is due: those of `passed` it had set itself.
fn found_by(call: CallId, passed: &BTreeSet<(Timestamp, CallId)>) -> FoundBy {
    if passed.iter().any(|(_, own)| *own == call) { FoundBy::Timer } else { FoundBy::Sweep }
}

impl Redis {
    /// Waits for calls that are due, and takes at most `limit` of them for a second. Does not fail while Redis is away: it waits.
    pub(super) async fn next_due(&self, limit: usize) -> Result<Vec<Due>, Unavailable> {
        let _waiting = Waiting::new(&self.deadlines);
        loop {
            self.link.up().await;
            let passed = self.deadlines.take_passed(self.clock.now());
            let elected = self.elected(limit).await;
            if !elected.is_empty() {
                // What else has passed is found in the next round.
                self.deadlines.put_back(passed, Timestamp(0));
                return Ok(elected.into_iter().map(|call| Due { call, found_by: FoundBy::Event }).collect());
            }
            // If it fails Redis is away, or has nothing for whoever asks at this moment: it is asked again.
            if let Ok((redis_now, due)) = self.claim(limit).await {
                let found = |call| Due { call, found_by: found_by(call, &passed) };
                let due: Vec<_> = due.into_iter().map(found).collect();
                self.deadlines.put_back(passed, redis_now);
                if !due.is_empty() {
                    return Ok(due);
                }
            } else {
                self.deadlines.put_back(passed, Timestamp(0));
            }
            self.deadlines.sweeps.fetch_add(1, Ordering::SeqCst);
            let interval = (SWEEP_INTERVAL * self.nodes.alive().max(2) / 2).min(LONGEST_SWEEP_INTERVAL);
            let sweep = tokio::time::sleep(interval);
            tokio::pin!(sweep);
            // Waits for the next look, for a deadline of this node, and for a timer to expire.
            while self.deadlines.expired.lock().is_empty() {
                let own = self.deadlines.until_next(self.clock.now());
                tokio::select! {
                    () = &mut sweep => break,
                    () = tokio::time::sleep(own.unwrap_or(interval)), if own.is_some() => break,
                    // Perhaps for something earlier.
                    () = self.deadlines.changed.notified() => {}
                }
            }
        }
    }

    /// A key has expired; if it is the timer of a call, somebody has to act.
    pub(super) fn timer_expired(&self, key: &str) {
        if let Some(call) = self.keys.timed_call(key) {
            self.deadlines.note_expired(call);
        } else if key == self.keys.probe(self.node.as_str()) {
            self.deadlines.note_probe();
        }
    }

    async fn elected(&self, limit: usize) -> Vec<CallId> {
        let mut won = Vec::new();
        while won.len() < limit
            && let Some(call) = self.deadlines.next_expired()
        {
            let command = |_| {
                let mut command = self.scripts.elect.command();
                command.arg(call.to_string()).arg(self.node.as_str());
                command
            };
            // A lost election is as good as none: the deadline is found all the same.
            if self.link.run::<u8>(Lane::Calls, &self.scripts.elect, command).await == Ok(1) {
                won.push(call);
            }
        }
        won
    }

    async fn claim(&self, limit: usize) -> Result<(Timestamp, Vec<CallId>), Unavailable> {
        let command = |_| {
            let mut command = self.scripts.claim.command();
            command.arg(limit);
            command
        };
        let (now, due): (u64, Vec<String>) = self.link.run(Lane::Calls, &self.scripts.claim, command).await?;
        Ok((Timestamp(now), due.iter().filter_map(|id| CallId::parse(id)).collect()))
    }
}
