//! Takes what is to be told of calls out of the feed and tells it, call by call, for as long as it takes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::backplane::{Backed, Feed, FeedBounds, Unavailable, Untold};
use crate::call::Turn;
use crate::clock::{Clock, Timestamp};
use crate::config::WebhookConfig;
use crate::ids::CallId;
use crate::metrics::{Label, Metrics, WebhookEvent, WebhookOutcome};
use crate::outbound::StatusCode;
use crate::webhooks::alarm::{Alarm, Count};
use crate::webhooks::event::{Event, kind};
use crate::webhooks::pace::{Pace, Room, pause};
use crate::webhooks::receiver::{Receive, Receiver, Verdict};

/// What is older than this is given up.
const RETENTION: Duration = Duration::from_secs(86_400);
/// What the feed is to keep: a little longer than that, so that it is said when something is given up.
pub const KEPT: FeedBounds = FeedBounds { calls: 100_000, ttl: RETENTION.saturating_add(Duration::from_secs(3_600)) };
/// For how long a call is taken: longer than three requests and what is noted of them take, unless Redis needs seconds for each answer, as
/// `REDIS_TIMEOUT` may allow. Then another node may take a call that is not noted yet, and an event comes twice, with the same id.
const LEASE: Duration = Duration::from_secs(30);
/// How long a node that stops waits for what is under way: as long as a request may take.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// While the feed cannot be reached it is asked again after this.
const FEED_PAUSE: Duration = Duration::from_secs(1);
/// Notes that something was told, or is put off. One that cannot be made is made up for by the end of the lease.
const NOTES: usize = 3;
/// How long a refusal is doubted: a receiver that is being deployed, or has got another secret, refuses everything for a while.
const REFUSAL_DOUBTED: Duration = Duration::from_secs(300);
/// Calls whose event is refused, or fails otherwise. The one looked at longest ago is doubted anew, and tried again as soon as at first.
const FAILING_CALLS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// How often it is looked how much waits.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What has to run for webhooks.
pub struct Worker(Arc<Desk>);

struct Desk {
    feed: Arc<dyn Feed>,
    receiver: Box<dyn Receive>,
    events: Vec<WebhookEvent>,
    pace: Mutex<Pace>,
    /// Since when the next event of a call is refused.
    refused: Mutex<LruCache<CallId, Timestamp>>,
    /// Since when it fails, refused or not, as far as it was tried here.
    failing: Mutex<LruCache<CallId, Timestamp>>,
    refusals: Alarm,
    gone: Alarm,
    late: Alarm,
    full: Alarm,
    /// Events that were not kept, as was seen last.
    dropped: Count,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// What becomes of an event.
enum Fate {
    /// It is over with, and the next event of its call may come.
    Passed,
    /// It is tried again then.
    PutOff(Timestamp),
}

impl Worker {
    /// A worker that tells what `feed` keeps.
    pub fn new(config: &WebhookConfig, feed: Arc<dyn Feed>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let receiver = Box::new(Receiver::new(config, clock));
        let events = config.events.iter().filter_map(|word| WebhookEvent::of(word)).collect();
        Self::with(receiver, events, feed, metrics, clock)
    }

    pub(super) fn with(
        receiver: Box<dyn Receive>,
        events: Vec<WebhookEvent>,
        feed: Arc<dyn Feed>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        for label in events.iter().flat_map(|event| WebhookOutcome::all().into_iter().map(|outcome| (*event, outcome)))
        {
            // Each is there from the start, so that the first one that is lost is seen to be one more.
            metrics.webhooks.raise_to(label, 0);
        }
        Self(Arc::new(Desk {
            feed,
            receiver,
            events,
            pace: Mutex::default(),
            refused: Mutex::new(LruCache::new(FAILING_CALLS)),
            failing: Mutex::new(LruCache::new(FAILING_CALLS)),
            refusals: Alarm::default(),
            gone: Alarm::default(),
            late: Alarm::default(),
            full: Alarm::default(),
            dropped: Count::default(),
            metrics,
            clock,
        }))
    }

    /// Tells what there is to be told until `stopping`, then waits for what is under way, not for long.
    pub async fn run(self, stopping: CancellationToken) {
        let Self(desk) = self;
        let overdue = async {
            stopping.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        // Waits for the end of the work, or until the node has waited for that long enough.
        tokio::select! {
            () = desk.clone().work(&stopping) => {}
            () = desk.watch() => {}
            () = overdue => {}
        }
    }
}

impl Desk {
    async fn work(self: Arc<Self>, stopping: &CancellationToken) {
        // Ended with this, wherever they are.
        let mut under_way = JoinSet::new();
        loop {
            while under_way.try_join_next().is_some() {}
            let room = self.pace.lock().room(under_way.len(), self.clock.now());
            // Waits for something to tell, or for room, or for the end of the node.
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                Some(_) = under_way.join_next(), if room == Room::None => {}
                untold = self.next(room) => {
                    for untold in untold {
                        under_way.spawn(self.clone().tell(untold));
                    }
                }
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    async fn next(&self, room: Room) -> Vec<Untold> {
        match room {
            Room::For(calls) => match self.feed.take_untold(calls, LEASE).await {
                Ok(untold) => return untold,
                Err(Unavailable) => tokio::time::sleep(FEED_PAUSE).await,
            },
            Room::Rest(rest) => tokio::time::sleep(rest).await,
            Room::None => std::future::pending().await,
        }
        Vec::new()
    }

    /// Tells what there is to be told of one call, in order, as far as it is taken.
    async fn tell(self: Arc<Self>, untold: Untold) {
        let mut through = None;
        let mut put_off = None;
        for milestone in &untold.milestones {
            if self.events.contains(&kind(milestone))
                && let Fate::PutOff(until) = self.deliver(untold.call, &Event::of(milestone)).await
            {
                put_off = Some(until);
                break;
            }
            through = Some(milestone.turn);
        }
        for _ in 0..NOTES {
            if self.note_told(untold.call, through, put_off).await.is_ok() {
                break;
            }
            tokio::time::sleep(FEED_PAUSE).await;
        }
    }

    async fn note_told(
        &self,
        call: CallId,
        through: Option<Turn>,
        put_off: Option<Timestamp>,
    ) -> Result<(), Unavailable> {
        if let Some(through) = through {
            self.feed.told(call, through).await?;
        }
        // What is left would be due at once.
        if let Some(until) = put_off {
            self.feed.put_off(call, until).await?;
        }
        Ok(())
    }

    async fn deliver(&self, call: CallId, event: &Event) -> Fate {
        let fate = self.attempt(call, event).await;
        if matches!(fate, Fate::Passed) {
            self.failing.lock().pop(&call);
        }
        fate
    }

    async fn attempt(&self, call: CallId, event: &Event) -> Fate {
        let verdict = self.receiver.post(event).await;
        let now = self.clock.now();
        self.note(verdict, now);
        let kind = event.kind;
        tracing::debug!(webhook_id = event.id, event = kind.words()[0], ?verdict, "a webhook");
        let refused_since = match verdict {
            Verdict::Refused(_) => *self.refused.lock().get_or_insert(call, || now),
            Verdict::Taken | Verdict::Gone | Verdict::Later { .. } => {
                self.refused.lock().pop(&call);
                now
            }
        };
        let after = match verdict {
            Verdict::Taken => {
                self.metrics.webhook_delay.observe(event.at.until(now));
                return self.passed(kind, WebhookOutcome::Taken);
            }
            Verdict::Gone => return self.passed(kind, WebhookOutcome::Refused),
            Verdict::Refused(status) if now >= refused_since.plus(REFUSAL_DOUBTED) => {
                self.refused.lock().pop(&call);
                self.say_refused(status, now);
                return self.passed(kind, WebhookOutcome::Refused);
            }
            Verdict::Refused(_) => None,
            Verdict::Later { after, .. } => after,
        };
        // Not since it happened: it may have waited for the event before it.
        let since = *self.failing.lock().get_or_insert(call, || now);
        let until = now.plus(pause(since.until(now), after, rand::random()));
        if until >= event.at.plus(RETENTION) {
            if let Some(times) = self.late.raise(now) {
                tracing::error!(times, "webhooks were not taken for so long that they are given up");
            }
            return self.passed(kind, WebhookOutcome::GivenUp);
        }
        self.metrics.webhook_retries.inc(kind);
        Fate::PutOff(until)
    }

    fn passed(&self, event: WebhookEvent, outcome: WebhookOutcome) -> Fate {
        self.metrics.webhooks.inc((event, outcome));
        Fate::Passed
    }

    fn say_refused(&self, status: StatusCode, now: Timestamp) {
        if let Some(times) = self.refusals.raise(now) {
            tracing::error!(times, %status, "the receiver of webhooks goes on refusing some; they are passed over");
        }
    }

    /// Draws the consequences of a verdict for the receiver as a whole.
    fn note(&self, verdict: Verdict, now: Timestamp) {
        match verdict {
            Verdict::Taken | Verdict::Refused(_) | Verdict::Gone => {
                if self.pace.lock().succeeded() {
                    tracing::info!("the receiver of webhooks answers again");
                }
            }
            Verdict::Later { why, after } => {
                if self.pace.lock().failed(now, after, rand::random()) {
                    tracing::warn!(why, "the receiver of webhooks takes none; they wait");
                }
            }
        }
        if verdict == Verdict::Gone
            && let Some(times) = self.gone.raise(now)
        {
            tracing::error!(
                times,
                "the receiver of webhooks says that it is gone (410); unset WEBHOOK_URL, or mend it"
            );
        }
    }

    /// Looks how much waits, for as long as this is waited for.
    async fn watch(&self) {
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        loop {
            if let Ok(Backed { calls, since, dropped }) = self.feed.untold().await {
                let oldest = since.map_or(Duration::ZERO, |since| since.until(self.clock.now()));
                self.metrics.webhooks_waiting.set(count(calls));
                self.metrics.webhooks_oldest.set(count(oldest.as_secs()));
                self.metrics.webhooks_dropped.set(count(dropped));
                // Also when there is nothing new, so that what came after the last word is said.
                if let Some(times) = self.full.raise_by(self.dropped.rise(dropped), self.clock.now()) {
                    tracing::error!(
                        times,
                        calls,
                        "too many calls wait for the receiver of webhooks; of others some is not told"
                    );
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
