//! The sockets of this node, by user: where the backplane's messages come out.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::backplane::{Delivery, Position, Receiver};
use crate::ids::{SessionId, UserId};
use crate::switchboard::seat::{CloseReason, Seat};

/// How many parts the sockets are divided into, so that users do not wait for each other.
const SHARDS: usize = 64;
/// The same for what takes longer.
const TURNS: usize = 4096;

type Shard = RwLock<HashMap<UserId, Vec<Arc<Seat>>>>;

/// The seats of this node.
pub struct Line {
    shards: Vec<Shard>,
    hasher: RandomState,
    turns: Vec<tokio::sync::Mutex<()>>,
    /// Sessions whose seat is not here yet, and whether a newer one has displaced them already.
    expected: Mutex<HashMap<SessionId, bool>>,
    resumed: Notify,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hasher: RandomState::new(),
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
            expected: Mutex::default(),
            resumed: Notify::new(),
        }
    }
}

impl Line {
    fn index(&self, user: &UserId, of: usize) -> usize {
        usize::try_from(self.hasher.hash_one(user) % of as u64).unwrap_or_default()
    }

    fn shard(&self, user: &UserId) -> &Shard {
        &self.shards[self.index(user, SHARDS)]
    }

    /// Held while a user's first seat is taken or the last one given up, so that neither undoes the other's subscription.
    pub(super) async fn turn(&self, user: &UserId) -> tokio::sync::MutexGuard<'_, ()> {
        self.turns[self.index(user, TURNS)].lock().await
    }

    /// A seat for `session` will be added, unless the answer is dropped before: it may be displaced by then.
    pub(super) fn expect(&self, session: &SessionId) -> Expected<'_> {
        self.expected.lock().insert(session.clone(), false);
        Expected { line: self, session: session.clone() }
    }

    pub(super) fn add(&self, seat: &Arc<Seat>, expected: Expected<'_>) {
        {
            let mut shard = self.shard(seat.user()).write();
            let seats = shard.entry(seat.user().clone()).or_default();
            seats.reserve_exact(1);
            seats.push(seat.clone());
        }
        let is_displaced = self.expected.lock().get(seat.session()).copied().unwrap_or_default();
        drop(expected);
        if is_displaced {
            seat.close(CloseReason::Displaced);
        }
    }

    /// Whether `user` has a seat here.
    pub(super) fn holds(&self, user: &UserId) -> bool {
        self.shard(user).read().contains_key(user)
    }

    /// How many users have a seat here, and how many seats there are.
    pub fn count(&self) -> (usize, usize) {
        let of_shard = |shard: &Shard| {
            let shard = shard.read();
            (shard.len(), shard.values().map(Vec::len).sum::<usize>())
        };
        self.shards.iter().map(of_shard).fold((0, 0), |sum, shard| (sum.0 + shard.0, sum.1 + shard.1))
    }

    /// Every seat of this node.
    pub(super) fn seats(&self) -> Vec<Arc<Seat>> {
        self.shards.iter().flat_map(|shard| shard.read().values().flatten().cloned().collect::<Vec<_>>()).collect()
    }

    /// Waits until messages come again after an interruption.
    pub(super) async fn resumption(&self) {
        self.resumed.notified().await;
    }

    /// Takes `seat` out, and no other. Says whether its user has none left.
    pub(super) fn remove(&self, seat: &Seat) -> bool {
        let mut shard = self.shard(seat.user()).write();
        let Some(seats) = shard.get_mut(seat.user()) else { return true };
        seats.retain(|other| !std::ptr::eq(&raw const **other, seat));
        let is_last = seats.is_empty();
        if is_last {
            shard.remove(seat.user());
            let in_use = shard.len();
            shard.shrink_to(in_use * 2);
        }
        is_last
    }
}

impl Receiver for Line {
    fn deliver(&self, user: &UserId, delivery: &Delivery) {
        if let Some(seats) = self.shard(user).read().get(user) {
            for seat in seats {
                seat.offer(delivery);
            }
        }
    }

    fn displace(&self, user: &UserId, session: &SessionId) -> Option<Position> {
        if let Some(is_displaced) = self.expected.lock().get_mut(session) {
            *is_displaced = true;
        }
        let shard = self.shard(user).read();
        let seat = shard.get(user)?.iter().find(|seat| seat.session() == session)?;
        Some(seat.close(CloseReason::Displaced))
    }

    fn interrupted(&self) {
        for seat in self.seats() {
            seat.interrupt();
        }
    }

    fn resumed(&self) {
        self.resumed.notify_one();
    }
}

/// A seat that is to come. Dropped, it is expected no more.
pub(super) struct Expected<'a> {
    line: &'a Line,
    session: SessionId,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.line.expected.lock().remove(&self.session);
    }
}
