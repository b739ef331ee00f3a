//! Keeps the connections to Redis: makes them, watches them, and after a loss brings everything up to date.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::Rng;
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::backplane::redis::address::{self, AddressError};
use crate::backplane::redis::cache::Seen;
use crate::backplane::redis::calls::ACCEPTED_TTL;
use crate::backplane::redis::channels::{Channels, Listener};
use crate::backplane::redis::checks::{self, Findings, Unfit};
use crate::backplane::redis::connection::{Connection, RunError};
use crate::backplane::redis::lines::Ears;
use crate::backplane::redis::link::{Lane, plain};
use crate::backplane::redis::nodes::{Answer, Beat, Silence, is_out_of_date};
use crate::backplane::redis::{Redis, millis, record};
use crate::call::State;
use crate::clock::{Stopwatch, Timestamp};

/// How long making all connections may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause before the second attempt to connect. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a sign of life is given, and asked for.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// When a Redis that does not answer counts as silent, and how much later its connections are given up.
const SILENT_AFTER: Duration = Duration::from_secs(1);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(4);
/// A node that gave no sign of life for this long may count as dead with the others.
const MISSED_FOR_MS: u64 = 6_000;
/// How far a clock may be from that of Redis before it is corrected, and before it is worth a warning.
const CORRECTED_FROM_MS: u64 = 5;
const WARNED_FROM_MS: u64 = 1_000;
/// How often the documented records of calls are renewed.
const TOUCH_INTERVAL: Duration = Duration::from_secs(600);
/// How many calls are put back, or renewed, at a time.
const BATCH: usize = 64;
/// How long Redis may take to say that a key has expired, before it counts as silent about that.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What `beat.lua` answers.
type BeatAnswer = (u64, u64, Vec<(String, u64)>, (u64, u64, u8), u8);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("{}", told(.0))]
    Failed(#[from] redis::RedisError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{0}")]
    Unfit(#[from] Unfit),
    #[error("it does not answer in time")]
    TimedOut,
}

/// What Redis says to one who connects: of that, nothing comes from a client.
fn told(error: &redis::RedisError) -> String {
    if error.code() == Some("ERR") { error.to_string() } else { plain(error) }
}

impl Redis {
    /// Keeps the connections until `stop`, which is for when nobody needs Redis any more.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut answers = self.nodes.answers();
        let mut told = String::new();
        let mut found: Option<Findings> = None;
        let mut pause = Duration::ZERO;
        let mut patience: Pin<Box<Sleep>> = Box::pin(tokio::time::sleep(self.link.timeout()));
        let mut lost: Option<Stopwatch> = None;
        for generation in 1.. {
            // Whatever is heard from here on of the end of earlier connections is old.
            self.link.report_broken(generation - 1, || ());
            let opened = tokio::select! {
                opened = self.open_after(pause, generation) => opened,
                () = self.lose_patience(&mut patience) => unreachable!("patience is lost for good"),
                () = stop.cancelled() => return,
            };
            match opened {
                Ok((connection, findings)) => {
                    if found.as_ref() != Some(&findings) || !told.is_empty() {
                        findings.tell();
                    }
                    found = Some(findings);
                    told.clear();
                    pause = Duration::ZERO;
                    let connection = Arc::new(connection);
                    self.link.set_up(connection.clone());
                    self.restore_calls().await;
                    self.receiver.resumed();
                    if let Some(lost) = lost.take() {
                        self.metrics.redis_reconnects.inc();
                        self.metrics.redis_outage.observe(lost.elapsed());
                    }
                    self.attend(&connection, &mut answers, &stop).await;
                    if stop.is_cancelled() {
                        return self.say_farewell().await;
                    }
                    lost = Some(Stopwatch::start());
                    self.link.set_shaken();
                    self.receiver.interrupted();
                    patience = Box::pin(tokio::time::sleep(self.link.timeout()));
                }
                Err(error) => {
                    let why = error.to_string();
                    if why != told {
                        tracing::warn!(why, "Redis cannot be used; trying on");
                        told = why;
                    }
                    let longer = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    pause = longer.mul_f64(rand::thread_rng().gen_range(0.75..1.0));
                }
            }
        }
    }

    /// Once Redis has been away for longer than anybody is to wait, those who ask for something are refused at once.
    async fn lose_patience(&self, patience: &mut Pin<Box<Sleep>>) {
        if !patience.is_elapsed() {
            patience.await;
            self.link.set_down();
        }
        std::future::pending::<()>().await;
    }

    async fn open_after(
        self: &Arc<Self>,
        pause: Duration,
        generation: u64,
    ) -> Result<(Connection, Findings), OpenError> {
        tokio::time::sleep(pause).await;
        tokio::time::timeout(OPEN_TIMEOUT, self.open(generation)).await.unwrap_or(Err(OpenError::TimedOut))
    }

    async fn open(self: &Arc<Self>, generation: u64) -> Result<(Connection, Findings), OpenError> {
        let config = self.config.read().clone();
        let client = address::client(&config).await?;
        let listener: Arc<dyn Listener> = Arc::new(Ears { node: self.clone(), generation });
        let own = vec![self.keys.node_channel(self.node.as_str()), self.keys.expired_channel().to_owned()];
        let channels = Channels::open(client.clone(), self.keys.clone(), self.wanted.clone(), listener, own);
        let channels = Box::pin(self.metrics.redis_subscribing.time(channels));
        let connection = Connection::open(generation, &client, self.link.timeout(), channels, &self.scripts).await?;
        let findings = checks::check(&mut connection.commands()).await?;
        self.beat(&connection).await?;
        Ok((connection, findings))
    }

    /// Watches a connection until it fails, or until `stop`.
    async fn attend(
        &self,
        connection: &Arc<Connection>,
        answers: &mut mpsc::Receiver<Answer>,
        stop: &CancellationToken,
    ) {
        let mut beats = tokio::time::interval(BEAT_INTERVAL);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut touches = tokio::time::interval(TOUCH_INTERVAL);
        let probe = self.probe(connection);
        tokio::pin!(probe);
        let mut is_probed = false;
        // Waits for the connection to fail or to be doubted, for the moments at which something is to be done, and for the stop.
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.link.broken(connection.generation()) => return,
                () = self.link.doubted() => if !self.has_pulse(connection).await { return },
                _ = beats.tick() => if !self.has_pulse(connection).await { return },
                _ = touches.tick() => self.touch_calls(connection).await,
                () = &mut probe, if !is_probed => is_probed = true,
                Some(Answer { node, text }) = answers.recv() => {
                    let channel = self.keys.node_channel(&node);
                    let published: Result<(), _> =
                        redis::cmd("PUBLISH").arg(channel).arg(text).query_async(&mut connection.commands()).await;
                    if published.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Whether every connection answers. One that is only slow is not given up: what was sent over it is on its way.
    async fn has_pulse(&self, connection: &Arc<Connection>) -> bool {
        let answered = async {
            let (pinged, beaten) = tokio::join!(connection.channels().ping(), self.beat(connection));
            pinged.is_ok() && beaten.is_ok()
        };
        tokio::pin!(answered);
        // Waits for both answers; at first without a word, then with everybody else refused.
        if let Ok(is_alive) = tokio::time::timeout(SILENT_AFTER, &mut answered).await {
            return is_alive;
        }
        self.link.set_silent(connection.clone());
        tracing::warn!("Redis does not answer");
        let is_alive = tokio::time::timeout(GIVEN_UP_AFTER, answered).await.unwrap_or(false);
        if is_alive {
            tracing::info!("Redis answers again");
            self.link.set_up(connection.clone());
        }
        is_alive
    }

    /// Gives a sign of life, hears of the other nodes, and sets the clock.
    async fn beat(&self, connection: &Connection) -> Result<(), RunError> {
        let mut command = self.scripts.beat.command();
        let before = self.nodes.beaten_at();
        command.arg(self.node.as_str()).arg(before.map(|at| at.to_string()).unwrap_or_default());
        let asked_at = self.clock.now();
        let (now, grace_until, nodes, (from, to, was_empty), is_missing): BeatAnswer =
            connection.run(Lane::Calls, &self.scripts.beat, command).await?;
        self.set_clock(asked_at, Timestamp(now));
        let silence = Silence { from, to, was_empty: was_empty == 1 };
        self.nodes.note(&Beat { now, grace_until, nodes, silence });
        let Some(before) = before else { return Ok(()) };
        let has_missed = now.saturating_sub(before) > MISSED_FOR_MS;
        if is_out_of_date(before, now, silence, self.retention.over_ttl) {
            // Calls that have ended meanwhile must not come back to life.
            self.cache.clear();
        }
        // One that was away may only have been given up by the others.
        let has_lost = is_missing == 1 && !has_missed;
        if has_lost {
            tracing::warn!("Redis has lost what it knew");
        }
        if has_missed || has_lost {
            if self.link.is_current(connection) {
                self.restore_calls().await;
            }
            // The others may have given this node up, or nobody knows of it any more.
            self.receiver.interrupted();
            self.receiver.resumed();
        }
        Ok(())
    }

    /// Nodes go by the clock of Redis, so that they agree with each other.
    fn set_clock(&self, asked_at: Timestamp, redis: Timestamp) {
        let Some(correction) = &self.correction else { return };
        // The script ran somewhere between the question and the answer: what is within that is no difference.
        let answered_at = self.clock.now();
        let here = asked_at.0.midpoint(answered_at.0);
        if here.abs_diff(redis.0) < CORRECTED_FROM_MS + answered_at.0.saturating_sub(asked_at.0) / 2 {
            return;
        }
        let ahead = i64::try_from(redis.0).unwrap_or_default() - i64::try_from(here).unwrap_or_default();
        correction.set(correction.millis() + ahead);
        if ahead.unsigned_abs() >= WARNED_FROM_MS {
            tracing::warn!(ahead_ms = ahead, "the clock of Redis differs from the one of this machine; Redis' counts");
        }
    }

    /// Puts back the calls of users who are here, as far as Redis has lost them or knows an older state.
    async fn restore_calls(&self) {
        let now = self.clock.now();
        let is_ours = |seen: &Seen| {
            let is_recent = match &seen.call.state {
                State::Ringing(_) | State::Accepted(_) => true,
                State::Over(over) => now < over.at.plus(self.retention.over_ttl),
            };
            is_recent && (self.wanted.contains(&seen.call.caller.user) || self.wanted.contains(&seen.call.callee))
        };
        let calls: Vec<_> = self.cache.all().into_iter().filter(is_ours).collect();
        for batch in calls.chunks(BATCH) {
            let restored = join_all(batch.iter().map(|seen| self.restore(seen))).await;
            for seen in batch.iter().zip(restored).filter_map(|(seen, is_restored)| is_restored.then_some(seen)) {
                tracing::warn!(call_id = %seen.call.id, "Redis had lost a call; it was put back");
            }
        }
    }

    async fn restore(&self, seen: &Seen) -> bool {
        let Seen { call, revision, foreign } = seen;
        let text = record::write(call, *revision, &self.token(), foreign.clone());
        let command = |_| {
            let mut command = self.scripts.restore.command();
            command.arg(call.id.to_string()).arg(*revision).arg(&text).arg(u8::from(call.is_live()));
            command.arg(call.deadline().map(|at| at.0.to_string()).unwrap_or_default());
            command.arg(millis(self.documented_ttl(call))).arg(call.caller.user.as_str()).arg(call.callee.as_str());
            command
        };
        let is_restored = self.link.run::<u8>(Lane::Calls, &self.scripts.restore, command).await == Ok(1);
        if is_restored && let Some(at) = call.deadline() {
            self.deadlines.set(at, call.id, self.clock.now());
        }
        is_restored
    }

    /// Keeps the documented records of calls that go on. One node does it for all.
    async fn touch_calls(&self, connection: &Connection) {
        let touched = async {
            let mut commands = connection.commands();
            let lock = format!("{}touch", self.keys.prefix());
            let mut command = redis::cmd("SET");
            command.arg(lock).arg(self.node.as_str()).arg("NX").arg("PX").arg(millis(TOUCH_INTERVAL) / 2);
            let is_mine: Option<String> = command.query_async(&mut commands).await?;
            if is_mine.is_none() {
                return Ok(());
            }
            let deadlines = format!("{}deadlines", self.keys.prefix());
            for from in (0..).step_by(BATCH) {
                let mut command = redis::cmd("ZRANGE");
                command.arg(&deadlines).arg(from).arg(from + BATCH - 1);
                let calls: Vec<String> = command.query_async(&mut commands).await?;
                if calls.is_empty() {
                    break;
                }
                let mut command = self.scripts.touch.command();
                command.arg(millis(ACCEPTED_TTL)).arg(&calls);
                connection.run::<u64>(Lane::House, &self.scripts.touch, command).await?;
            }
            Ok::<_, RunError>(())
        };
        if let Err(error) = touched.await {
            tracing::warn!(%error, "the records of calls could not be renewed, and will be again");
        }
    }

    /// Finds out, once, whether Redis says which keys have expired.
    async fn probe(&self, connection: &Connection) {
        let key = self.keys.probe(self.node.as_str());
        let mut commands = connection.commands();
        let mut command = redis::cmd("SET");
        command.arg(&key).arg("").arg("PX").arg(1);
        let heard = async {
            command.exec_async(&mut commands).await?;
            // Looking at a key that has run out is what makes Redis notice.
            while redis::cmd("EXISTS").arg(&key).query_async::<bool>(&mut commands).await? {
                tokio::time::sleep(FIRST_PAUSE).await;
            }
            self.deadlines.probe_heard().await;
            Ok::<_, redis::RedisError>(())
        };
        match tokio::time::timeout(PROBE_TIMEOUT, heard).await {
            Ok(Ok(())) => tracing::info!("Redis says when timers expire: deadlines are acted on at once"),
            Ok(Err(_)) => {}
            Err(_) => tracing::info!(
                "Redis does not say when timers expire (notify-keyspace-events lacks Ex): deadlines are looked for by and by"
            ),
        }
    }
}
