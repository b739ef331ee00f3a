//! The other nodes: who is alive, who has died, and what they say to each other when a device moves.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::backplane::redis::link::Lane;
use crate::backplane::redis::{Redis, millis};
use crate::backplane::{Abandoned, Position, Unavailable};
use crate::clock::Timestamp;
use crate::ids::{DeviceId, EventId, NodeId, SessionId, UserId};

/// After how many milliseconds without a sign of life a node counts as dead; `scripts/part_alive.lua` has it, too. They are a second
/// apart.
pub(super) const DEAD_AFTER_MS: u64 = 8_000;
/// For how long after Redis had lost everything a call may still be put back by one of the nodes.
const PUT_BACK_WITHIN_MS: u64 = 3_000;
/// How much earlier than a node's last sign of life the last news of a call may have come.
const NEWS_MAY_BE_OLDER_BY_MS: u64 = 10_000;
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
    silence: Silence,
    beaten_at: Option<u64>,
    alive: u32,
}

/// The last time for which no node gave a sign of life, because Redis or all of them were away; by the clock of Redis, in ms.
#[derive(Clone, Copy, Default)]
pub(super) struct Silence {
    /// The last sign of life before it, as far as anybody knows.
    pub(super) from: u64,
    /// The first one after it.
    pub(super) to: u64,
    /// Whether Redis was empty at its end.
    pub(super) was_empty: bool,
}

/// What a sign of life was answered with.
pub(super) struct Beat {
    /// The time.
    pub(super) now: u64,
    /// Until when nobody counts as dead.
    pub(super) grace_until: u64,
    /// Every node, with its last sign of life.
    pub(super) nodes: Vec<(String, u64)>,
    pub(super) silence: Silence,
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

    /// Notes a sign of life of this node, and what it was answered with.
    pub(super) fn note(&self, beat: &Beat) {
        let Beat { now, grace_until, ref nodes, silence } = *beat;
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
        view.silence = silence;
        view.beaten_at = Some(now);
        drop(view);
        if is_any {
            self.changed.notify_one();
        }
    }

    /// The last sign of life of this node, by the clock of Redis, in ms.
    pub(super) fn beaten_at(&self) -> Option<u64> {
        self.view.lock().beaten_at
    }

    /// Whether Redis has lost everything so short a time ago that what is not there may be about to be put back.
    pub(super) fn may_be_put_back(&self, now: Timestamp) -> bool {
        let silence = self.view.lock().silence;
        silence.was_empty && now.0 < silence.to + PUT_BACK_WITHIN_MS
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

/// Whether something may have been changed, and the change forgotten after `kept`, without a node hearing of it that gave its last
/// sign of life at `before`. What everybody was away for does not count: nothing changes then.
pub(super) fn is_out_of_date(before: u64, now: u64, silence: Silence, kept: Duration) -> bool {
    let missed_at_most = millis(kept).saturating_sub(NEWS_MAY_BE_OLDER_BY_MS);
    let has_missed = |from: u64, to: u64| to.saturating_sub(from) >= missed_at_most;
    let was_away_with_all = !has_missed(before, silence.from) && !has_missed(silence.to, now);
    has_missed(before, now) && !was_away_with_all
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
            let abandoned: Vec<_> = found.chunks_exact(4).filter_map(|parts| abandoned(parts, &dead)).collect();
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

fn abandoned(parts: &[String], node: &str) -> Option<Abandoned> {
    Some(Abandoned {
        session: SessionId::parse(&parts[0])?,
        user: UserId::parse(&parts[1])?,
        device: DeviceId::parse(&parts[2])?,
        has_calls: parts[3] == "1",
        node: Some(NodeId::parse(node)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_missed_what_others_could_do_is_out_of_date() {
        let kept = Duration::from_secs(60);
        let none = Silence::default();
        let at = |from, to| Silence { from, to, was_empty: false };
        assert!(!is_out_of_date(100_000, 149_000, none, kept));
        assert!(is_out_of_date(100_000, 150_000, none, kept), "the others went on");
        assert!(!is_out_of_date(100_000, 700_000, at(100_500, 699_000), kept), "all were away");
        assert!(
            !is_out_of_date(100_000, 700_000, at(0, 699_000), kept),
            "nobody knows of anybody who was there longer"
        );
        assert!(
            is_out_of_date(100_000, 700_000, at(150_000, 699_000), kept),
            "the others went on before they were away, too"
        );
        assert!(is_out_of_date(100_000, 700_000, at(100_500, 650_000), kept), "the others were back earlier");
    }
}
