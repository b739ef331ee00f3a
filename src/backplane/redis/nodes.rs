//! The other nodes: who is alive, who has died, and what they say to each other when a device moves.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::backplane::redis::Redis;
use crate::backplane::redis::link::Lane;
use crate::backplane::{Abandoned, Position, Unavailable};
use crate::clock::Timestamp;
use crate::ids::{DeviceId, EventId, NodeId, SessionId, UserId};

/// After how many milliseconds without a sign of life a node counts as dead; `scripts/part_alive.lua` has it, too. They are a second
/// apart.
const DEAD_AFTER_MS: u64 = 8_000;
/// Answers to other nodes that wait to be sent; beyond it they are not sent, and the other side does without.
const ANSWERS: usize = 4_096;

/// What is known of the nodes.
pub(super) struct Nodes {
    me: NodeId,
    view: Mutex<View>,
    changed: Notify,
    /// Sessions that wait to hear how far the one before them had come.
    expected: Mutex<HashMap<SessionId, oneshot::Sender<Option<Position>>>>,
    answers: mpsc::Sender<Answer>,
    answers_to_send: Mutex<Option<mpsc::Receiver<Answer>>>,
}

#[derive(Default)]
struct View {
    dead: HashSet<String>,
    grace_until: Timestamp,
    beaten_at: Option<u64>,
    alive: u32,
}

/// Something to be told to another node.
pub(super) struct Answer {
    pub(super) node: String,
    pub(super) text: String,
}

impl Nodes {
    pub(super) fn new(me: &NodeId) -> Self {
        let (answers, to_send) = mpsc::channel(ANSWERS);
        Self {
            me: me.clone(),
            view: Mutex::default(),
            changed: Notify::new(),
            expected: Mutex::default(),
            answers,
            answers_to_send: Mutex::new(Some(to_send)),
        }
    }

    /// Notes what a sign of life was answered with: the time of Redis, until when nobody counts as dead, and all nodes.
    pub(super) fn note(&self, now: u64, grace_until: u64, nodes: &[(String, u64)]) {
        let is_dead =
            |(node, seen): &&(String, u64)| node != self.me.as_str() && now.saturating_sub(*seen) > DEAD_AFTER_MS;
        let dead: HashSet<String> = if now < grace_until {
            HashSet::new()
        } else {
            nodes.iter().filter(is_dead).map(|(node, _)| node.clone()).collect()
        };
        let is_any = !dead.is_empty();
        let alive = u32::try_from(nodes.len() - dead.len()).unwrap_or(u32::MAX);
        let mut view = self.view.lock();
        view.dead = dead;
        view.grace_until = Timestamp(grace_until);
        view.alive = alive;
        drop(view);
        if is_any {
            self.changed.notify_one();
        }
    }

    /// Notes a sign of life of this node, at `now` by the clock of Redis; how many milliseconds after the last one.
    pub(super) fn note_beat(&self, now: u64) -> u64 {
        let before = self.view.lock().beaten_at.replace(now);
        before.map_or(0, |before| now.saturating_sub(before))
    }

    /// Whether this node has ever given a sign of life.
    pub(super) fn has_beaten(&self) -> bool {
        self.view.lock().beaten_at.is_some()
    }

    /// Whether a node is alive, as far as is known.
    pub(super) fn is_alive(&self, node: &str) -> bool {
        !self.view.lock().dead.contains(node)
    }

    /// How many nodes are alive, as far as is known: at least this one.
    pub(super) fn alive(&self) -> u32 {
        self.view.lock().alive.max(1)
    }

    /// Until when everybody is excused, because Redis or all nodes had been away.
    pub(super) fn grace_until(&self) -> Timestamp {
        self.view.lock().grace_until
    }

    fn a_dead_one(&self) -> Option<String> {
        self.view.lock().dead.iter().next().cloned()
    }

    fn let_rest(&self, node: &str) {
        self.view.lock().dead.remove(node);
    }

    /// How far the session had come that `newcomer` takes over from, when its node says so.
    pub(super) fn expect_position(&self, newcomer: &SessionId) -> ExpectedPosition<'_> {
        let (sender, receiver) = oneshot::channel();
        self.expected.lock().insert(newcomer.clone(), sender);
        ExpectedPosition { nodes: self, newcomer: newcomer.clone(), receiver }
    }

    /// The answers that are to be sent; to be taken once.
    pub(super) fn answers(&self) -> mpsc::Receiver<Answer> {
        // A second taker gets an empty one.
        self.answers_to_send.lock().take().unwrap_or_else(|| mpsc::channel(1).1)
    }
}

/// A position that may be told. Dropped, it is waited for no more.
pub(super) struct ExpectedPosition<'a> {
    nodes: &'a Nodes,
    newcomer: SessionId,
    receiver: oneshot::Receiver<Option<Position>>,
}

impl ExpectedPosition<'_> {
    /// Waits for it.
    pub(super) async fn told(mut self) -> Option<Position> {
        (&mut self.receiver).await.ok()?
    }
}

impl Drop for ExpectedPosition<'_> {
    fn drop(&mut self) {
        self.nodes.expected.lock().remove(&self.newcomer);
    }
}

impl Redis {
    /// Another node has said something: `displace <its id> <newcomer> <session> <user>`, or `position <newcomer> <received>
    /// <described>` in answer to that.
    pub(super) fn spoken_to(&self, text: &str) {
        // What cannot be read is of another release, and nobody waits for ever.
        let _ = match text.split_once(' ') {
            Some(("displace", rest)) => self.displace(rest),
            Some(("position", rest)) => self.position_told(rest),
            _ => None,
        };
    }

    fn displace(&self, text: &str) -> Option<()> {
        let mut parts = text.splitn(4, ' ');
        let (node, newcomer, session) = (parts.next()?, parts.next()?, SessionId::parse(parts.next()?)?);
        let user = UserId::parse(parts.next()?)?;
        let position = match self.receiver.displace(&user, &session) {
            Some(Position { received, described }) => format!("{} {}", received.0, described.0),
            None => "- -".to_owned(),
        };
        let answer = Answer { node: node.to_owned(), text: format!("position {newcomer} {position}") };
        self.nodes.answers.try_send(answer).ok()
    }

    fn position_told(&self, text: &str) -> Option<()> {
        let mut parts = text.splitn(3, ' ');
        let newcomer = SessionId::parse(parts.next()?)?;
        let event = |text: &str| text.parse().ok().map(EventId);
        let (received, described) = (event(parts.next()?), event(parts.next()?));
        let position = received.zip(described).map(|(received, described)| Position { received, described });
        let waiting = self.nodes.expected.lock().remove(&newcomer)?;
        waiting.send(position).ok()
    }

    /// Waits for sessions of nodes that have died.
    pub(super) async fn next_abandoned(&self, limit: usize) -> Result<Vec<Abandoned>, Unavailable> {
        loop {
            let Some(dead) = self.nodes.a_dead_one() else {
                // Waits for a sign of life of this node to find out that another has died.
                self.nodes.changed.notified().await;
                continue;
            };
            let command = |_| {
                let mut command = self.scripts.abandoned.command();
                command.arg(&dead).arg(self.node.as_str()).arg(limit);
                command
            };
            let found: Vec<String> = self.link.run(Lane::House, &self.scripts.abandoned, command).await?;
            let abandoned: Vec<_> = found.chunks_exact(4).filter_map(abandoned).collect();
            if abandoned.is_empty() {
                // All is done, or somebody else is at it; if not, it will be found again.
                self.nodes.let_rest(&dead);
            } else {
                tracing::info!(node = dead, sessions = abandoned.len(), "taking over from a node that has died");
                return Ok(abandoned);
            }
        }
    }

    /// Is heard of no more, unless sessions are left behind.
    pub(super) async fn say_farewell(&self) {
        let command = |_| {
            let mut command = self.scripts.abandoned.command();
            command.arg(self.node.as_str()).arg(self.node.as_str()).arg(0);
            command
        };
        // If nobody hears it, this node will count as dead.
        let _ = self.link.run::<Vec<String>>(Lane::Calls, &self.scripts.abandoned, command).await;
    }
}

fn abandoned(parts: &[String]) -> Option<Abandoned> {
    Some(Abandoned {
        session: SessionId::parse(&parts[0])?,
        user: UserId::parse(&parts[1])?,
        device: DeviceId::parse(&parts[2])?,
        has_calls: parts[3] == "1",
    })
}
