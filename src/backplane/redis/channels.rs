//! The channels a node listens to: that of each user it holds, its own, and the expiry notifications. They have connections of
//! their own, each with at most a hundred thousand channels: measured, Redis stalls for 0.1 s when one with so many breaks.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use redis::aio::{AsyncPushSender, MultiplexedConnection, SendError};
use redis::{Client, PushInfo, PushKind, RedisError, Value};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::backplane::Unavailable;
use crate::backplane::redis::address::{ANSWER_TIMEOUT, connection_config};
use crate::backplane::redis::keys::Keys;
use crate::ids::UserId;

/// Most channels of one connection.
const MAX_CHANNELS: usize = 100_000;
/// Most channels of one command: measured, a thousand block Redis for 1.7 ms.
const BATCH: usize = 500;
/// Changes that wait for their turn; who makes one more waits, too.
const QUEUE: usize = 8_192;

/// Takes what is published, and hears of the end of a connection. Must not block.
pub(super) trait Listener: Send + Sync {
    /// Something was published.
    fn published(&self, channel: &str, payload: &str);

    /// Nothing comes any more.
    fn ended(&self);
}

/// The users that are listened to, and over which connection each; outlives the connections.
pub(super) struct Wanted {
    /// Most users of one connection.
    most: usize,
    state: Mutex<WantedState>,
}

#[derive(Default)]
struct WantedState {
    users: HashMap<UserId, usize>,
    counts: Vec<usize>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self::new(MAX_CHANNELS)
    }
}

impl Wanted {
    /// At most so many users of one connection.
    pub(super) fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Adds a user; names the connection for their channel.
    fn add(&self, user: &UserId) -> usize {
        let WantedState { users, counts } = &mut *self.state.lock();
        if let Some(lane) = users.get(user) {
            return *lane;
        }
        let lane = counts.iter().position(|count| *count < self.most).unwrap_or(counts.len());
        if lane == counts.len() {
            counts.push(0);
        }
        counts[lane] += 1;
        users.insert(user.clone(), lane);
        lane
    }

    fn remove(&self, user: &UserId) -> Option<usize> {
        let WantedState { users, counts } = &mut *self.state.lock();
        let lane = users.remove(user)?;
        counts[lane] -= 1;
        if users.len() * 4 < users.capacity() {
            users.shrink_to_fit();
        }
        Some(lane)
    }

    /// Whether a user is listened to.
    pub(super) fn contains(&self, user: &UserId) -> bool {
        self.state.lock().users.contains_key(user)
    }

    /// The channels of each connection; there is at least one.
    fn by_lane(&self, keys: &Keys) -> Vec<Vec<String>> {
        let state = self.state.lock();
        let mut lanes = vec![Vec::new(); state.counts.len().max(1)];
        for (user, lane) in &state.users {
            lanes[*lane].push(keys.user_channel(user));
        }
        lanes
    }
}

/// The connections that listen.
pub(super) struct Channels {
    client: Client,
    keys: Keys,
    wanted: Arc<Wanted>,
    listener: Arc<dyn Listener>,
    lanes: tokio::sync::Mutex<Vec<Lane>>,
}

struct Lane {
    connection: MultiplexedConnection,
    changes: mpsc::Sender<Change>,
    _worker: AbortOnDropHandle<()>,
}

/// A channel to listen to, or not any more, and who waits for that.
struct Change {
    kind: Kind,
    channel: String,
    done: oneshot::Sender<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Subscribe,
    Unsubscribe,
}

impl Channels {
    /// Opens the connections, and listens to `own` channels and to everybody wanted.
    pub(super) async fn open(
        client: Client,
        keys: Keys,
        wanted: Arc<Wanted>,
        listener: Arc<dyn Listener>,
        own: Vec<String>,
    ) -> Result<Self, RedisError> {
        let channels = Self { client, keys, wanted, listener, lanes: tokio::sync::Mutex::default() };
        {
            let mut lanes = channels.lanes.lock().await;
            // Whoever is added from here on asks for it, and waits at the lock.
            let mut by_lane = channels.wanted.by_lane(&channels.keys);
            by_lane[0].extend(own);
            for names in by_lane {
                let mut lane = channels.open_lane().await?;
                for batch in names.chunks(BATCH) {
                    lane.connection.subscribe(batch).await?;
                }
                lanes.push(lane);
            }
        }
        Ok(channels)
    }

    async fn open_lane(&self) -> Result<Lane, RedisError> {
        let config = connection_config(ANSWER_TIMEOUT).set_push_sender(Ear(self.listener.clone()));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let (changes, queue) = mpsc::channel(QUEUE);
        let worker = tokio::spawn(work(connection.clone(), queue, self.listener.clone()));
        Ok(Lane { connection, changes, _worker: AbortOnDropHandle::new(worker) })
    }

    /// From here on, what is published for `user` comes.
    pub(super) async fn subscribe(&self, user: &UserId) -> Result<(), Unavailable> {
        let index = self.wanted.add(user);
        let (done, subscribed) = oneshot::channel();
        let changes = {
            let mut lanes = self.lanes.lock().await;
            while lanes.len() <= index {
                let lane = self.open_lane().await.map_err(|_| Unavailable)?;
                lanes.push(lane);
            }
            lanes[index].changes.clone()
        };
        let change = Change { kind: Kind::Subscribe, channel: self.keys.user_channel(user), done };
        changes.send(change).await.map_err(|_| Unavailable)?;
        subscribed.await.map_err(|_| Unavailable)
    }

    /// Ends [`Channels::subscribe`].
    pub(super) async fn unsubscribe(&self, user: &UserId, index: usize) {
        let changes = self.lanes.lock().await.get(index).map(|lane| lane.changes.clone());
        let (done, unsubscribed) = oneshot::channel();
        // If the connection is gone, so is the subscription.
        if let Some(changes) = changes
            && changes
                .send(Change { kind: Kind::Unsubscribe, channel: self.keys.user_channel(user), done })
                .await
                .is_ok()
        {
            let _ = unsubscribed.await;
        }
    }

    /// Asks every connection for a sign of life.
    pub(super) async fn ping(&self) -> Result<(), RedisError> {
        let connections: Vec<_> = self.lanes.lock().await.iter().map(|lane| lane.connection.clone()).collect();
        for mut connection in connections {
            redis::cmd("PING").exec_async(&mut connection).await?;
        }
        Ok(())
    }
}

/// Takes a user out of those wanted; names the connection their channel was on.
pub(super) fn give_up(wanted: &Wanted, user: &UserId) -> Option<usize> {
    wanted.remove(user)
}

/// Makes changes in the order in which they come, as many at once as have gathered.
async fn work(mut connection: MultiplexedConnection, mut queue: mpsc::Receiver<Change>, listener: Arc<dyn Listener>) {
    let mut batch = Vec::with_capacity(BATCH);
    // Waits for changes; ends with the lane.
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let mut changes = batch.drain(..).peekable();
        while let Some(change) = changes.next() {
            let kind = change.kind;
            let (mut channels, mut waiting) = (Vec::new(), Vec::new());
            let alike = std::iter::from_fn(|| changes.next_if(|next| next.kind == kind));
            for Change { channel, done, .. } in std::iter::once(change).chain(alike) {
                channels.push(channel);
                waiting.push(done);
            }
            let changed = match kind {
                Kind::Subscribe => connection.subscribe(&channels).await,
                Kind::Unsubscribe => connection.unsubscribe(&channels).await,
            };
            if changed.is_err() {
                return listener.ended();
            }
            for done in waiting {
                // Whoever has stopped waiting needs no answer.
                let _ = done.send(());
            }
        }
    }
}

/// Hears what comes over a connection, in the task that reads it.
struct Ear(Arc<dyn Listener>);

impl AsyncPushSender for Ear {
    fn send(&self, info: PushInfo) -> Result<(), SendError> {
        match info.kind {
            PushKind::Disconnection => self.0.ended(),
            PushKind::Message => {
                if let [Value::BulkString(channel), Value::BulkString(payload)] = info.data.as_slice()
                    && let (Ok(channel), Ok(payload)) = (str::from_utf8(channel), str::from_utf8(payload))
                {
                    self.0.published(channel, payload);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_a_bounded_number_of_channels_and_room_is_used_again() {
        let (wanted, user) = (Wanted::default(), |n: usize| UserId::parse(&format!("user-{n}")).unwrap());
        for n in 0..MAX_CHANNELS {
            assert_eq!(wanted.add(&user(n)), 0);
        }
        assert_eq!(wanted.add(&user(MAX_CHANNELS)), 1);
        assert_eq!(wanted.add(&user(7)), 0, "it has its place");
        assert_eq!(wanted.remove(&user(7)), Some(0));
        assert_eq!(wanted.add(&user(MAX_CHANNELS + 1)), 0);
        let lanes = wanted.by_lane(&Keys::new("", 0));
        assert_eq!(lanes.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_CHANNELS, 1]);
    }
}
