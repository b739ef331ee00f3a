//! Takes what devices are to be told, without ever keeping a call waiting, and tells them: by which service, in which order, and
//! what follows when a token turns out to be dead.
//!
//! ```text
//! wake ──► queue ──► look the devices up ──► each device: first service that carries it and has a token ──► lane ──► service
//!          4096      64 at once              (the next one, if that did not reach it)     16384, 64 at once
//! ```

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::call::Wake;
use crate::clock::{Clock, Timestamp};
use crate::ids::{CallId, PushTokens};
use crate::push::alarm::Alarm;
use crate::push::backoff::pause;
use crate::push::counts::{Count, Fate};
use crate::push::lane::{End, Errand, Lane, Surroundings};
use crate::push::underway::{Efforts, Ringing, Underway};
use crate::push::{Kind, Message, Provider, Push, Recipient, Recipients, StatusToken, Wakeup};
use crate::timeline::What;
use crate::traces::Traces;

/// Wakeups that wait to be looked at. What comes beyond that is dropped.
const QUEUE: usize = 4096;
/// Users whose devices are looked up at once.
const LOOKUPS: usize = 64;
/// That is tried again for as long as the message is of use, after pauses that stop growing here: a failover takes seconds.
const LOOKUP_PAUSES_GROW: u32 = 2;
/// How long a node that stops waits for the answers of services.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What an operator may choose.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a call rings.
    pub ring_timeout: Duration,
    /// Whether devices that are connected are left out.
    pub skip_online: bool,
}

/// Wakes devices by push services.
pub struct Dispatcher {
    queue: mpsc::Sender<Job>,
    desk: Arc<Desk>,
}

/// What works the queue off.
pub struct Worker {
    queue: mpsc::Receiver<Job>,
    desk: Arc<Desk>,
}

/// How many messages there were, and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// By provider, kind and outcome.
    pub messages: Vec<Count>,
    /// Wakeups that found the queue full.
    pub queue_full: u64,
    /// Wakeups whose devices could not be looked up.
    pub not_looked_up: u64,
}

struct Job {
    wakeup: Wakeup,
    /// When it was so.
    at: Timestamp,
    /// Of a ring: it is under way.
    ringing: Option<Ringing>,
    /// Of everything else: the ring that has to be at its end before, if that is under way here.
    after: Option<Efforts>,
}

/// What is known to both ends of the queue.
struct Desk {
    /// The services, those first that are to be tried first.
    lanes: Vec<Lane>,
    around: Surroundings,
    settings: Settings,
    status_token: StatusToken,
    underway: Underway,
    queue_full: AtomicU64,
    not_looked_up: AtomicU64,
}

impl Dispatcher {
    /// A dispatcher for `providers`, those first that are to be tried first, and what has to run for it.
    pub fn new(
        settings: Settings,
        providers: Vec<Arc<dyn Provider>>,
        recipients: Arc<dyn Recipients>,
        status_token: StatusToken,
        clock: Clock,
        traces: Traces,
    ) -> (Arc<Self>, Worker) {
        let desk = Arc::new(Desk {
            lanes: providers.into_iter().map(Lane::new).collect(),
            around: Surroundings { recipients, alarm: Alarm::default(), clock, traces },
            settings,
            status_token,
            underway: Underway::default(),
            queue_full: AtomicU64::default(),
            not_looked_up: AtomicU64::default(),
        });
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Arc::new(Self { queue: sender, desk: desk.clone() }), Worker { queue: receiver, desk })
    }

    /// How many messages are on the way to services.
    pub fn on_the_way(&self) -> usize {
        self.desk.lanes.iter().map(Lane::on_the_way).sum()
    }

    /// How many wakeups wait.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// The counts so far.
    pub fn snapshot(&self) -> Snapshot {
        let Desk { lanes, queue_full, not_looked_up, .. } = &*self.desk;
        Snapshot {
            messages: lanes.iter().flat_map(|lane| lane.counts.snapshot(lane.provider.name())).collect(),
            queue_full: queue_full.load(Ordering::Relaxed),
            not_looked_up: not_looked_up.load(Ordering::Relaxed),
        }
    }
}

impl Push for Dispatcher {
    fn can_reach(&self, tokens: &PushTokens) -> bool {
        self.desk.lanes_for(Kind::Ring).any(|lane| tokens.of(lane.provider.token_kind()).is_some())
    }

    fn wake(&self, wakeup: Wakeup) {
        let call = wakeup.call.id;
        let (kind, ringing, after) = match &wakeup.wake {
            Wake::Ring => (Kind::Ring, Some(self.desk.underway.begin(call)), None),
            Wake::Stop { .. } => (Kind::Stop, None, self.desk.underway.stop(call)),
            Wake::Missed => (Kind::Missed, None, self.desk.underway.stop(call)),
        };
        match self.queue.try_send(Job { wakeup, at: self.desk.around.clock.now(), ringing, after }) {
            // Closed when the node has stopped.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.desk.queue_full.fetch_add(1, Ordering::Relaxed);
                self.desk.say_not_tried(call, kind, "too many wakeups wait");
                self.desk.complain("the queue is full; some devices are not woken");
            }
        }
    }
}

impl Worker {
    /// Works the queue off until `stopping`, then what is left of it, without waiting for services that do not answer.
    pub async fn run(self, stopping: CancellationToken) {
        let overdue = async {
            stopping.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        // Waits for everything to be told, or until the node has waited for that long enough.
        tokio::select! {
            () = self.work(stopping.clone()) => {}
            () = overdue => {}
        }
    }

    async fn work(mut self, stopping: CancellationToken) {
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        // Ended with this, wherever they are.
        let mut tasks = JoinSet::new();
        loop {
            // Waits for a wakeup, or for the end; at the end the queue is emptied.
            let job = tokio::select! {
                biased;
                Some(_) = tasks.join_next() => continue,
                job = self.queue.recv() => job,
                () = stopping.cancelled() => None,
            };
            // Closed by nobody.
            let (Some(job), Ok(lookup)) = (job, lookups.clone().acquire_owned().await) else {
                break;
            };
            tasks.spawn(self.desk.clone().serve(job, lookup, stopping.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }
}

impl Desk {
    async fn serve(self: Arc<Self>, job: Job, lookup: OwnedSemaphorePermit, stopping: CancellationToken) {
        let Job { wakeup, at, ringing, after } = job;
        let Settings { ring_timeout, skip_online } = self.settings;
        let now = self.around.clock.now();
        let over = ringing.as_ref().map(|ringing| ringing.over().clone());
        let Some(message) = Message::new(&wakeup, now, ring_timeout, &self.status_token) else {
            return;
        };
        let errand = Errand { message, user: wakeup.user.clone(), at, over, after, stopping };
        let mut recipients = match self.look_up(&errand).await {
            Ok(recipients) => recipients,
            // Nobody is to be woken any more.
            Err(Fate::CalledOff) => return,
            Err(_) => {
                self.not_looked_up.fetch_add(1, Ordering::Relaxed);
                self.say_not_tried(errand.message.call, errand.message.kind, "the devices could not be looked up");
                self.complain("devices cannot be looked up; some are not woken");
                return;
            }
        };
        drop(lookup);
        let except = match &wakeup.wake {
            Wake::Stop { except, .. } => except.as_ref(),
            Wake::Ring | Wake::Missed => None,
        };
        recipients.retain(|recipient| Some(&recipient.device) != except && !(skip_online && recipient.is_connected));
        let guards =
            ringing.as_ref().map(|ringing| ringing.rings(recipients.iter().map(|recipient| &recipient.device)));
        let guards = guards.into_iter().flatten().map(Some).chain(iter::repeat_with(|| None));
        join_all(recipients.iter().zip(guards).map(|(recipient, guard)| {
            let told = self.tell(&errand, recipient);
            async {
                told.await;
                // From here on this device may be told of the end.
                drop(guard);
            }
        }))
        .await;
        // Ends here, or wherever this is given up: from then on its end may be told.
        drop(ringing);
    }

    /// Tells one device, by the first service that can; by the next one if that certainly did not reach it.
    async fn tell(&self, errand: &Errand, recipient: &Recipient) {
        for lane in self.lanes_for(errand.message.kind) {
            let kind = lane.provider.token_kind();
            let Some(token) = recipient.tokens.of(kind) else {
                continue;
            };
            let End { fate, token, since } = lane.deliver(errand, &recipient.device, token, &self.around).await;
            match fate {
                Fate::TokenDead if since.is_none_or(|since| recipient.seen_at < since) => {
                    self.around.recipients.forget(&errand.user, &recipient.device, kind, &token).await;
                }
                Fate::TokenDead | Fate::Refused => {}
                Fate::Sent | Fate::Retried | Fate::GivenUp | Fate::CalledOff | Fate::Dropped => return,
            }
        }
    }

    fn lanes_for(&self, kind: Kind) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().filter(move |lane| lane.provider.carries(kind))
    }

    /// The devices of the user, or why this is not tried any more.
    async fn look_up(&self, errand: &Errand) -> Result<Vec<Recipient>, Fate> {
        let mut attempt = 0;
        loop {
            if let Ok(recipients) = self.around.recipients.of(&errand.user).await {
                return Ok(recipients);
            }
            let pause = pause(attempt.min(LOOKUP_PAUSES_GROW), None, rand::random());
            errand.patiently(tokio::time::sleep(pause), self.around.clock).await?;
            attempt += 1;
        }
    }

    /// Notes that no device was told of a call.
    fn say_not_tried(&self, call: CallId, kind: Kind, why: &'static str) {
        let what = What::NotPushed { kind: kind.word().to_owned(), why: why.to_owned() };
        self.around.recipients.note(call, what);
    }

    fn complain(&self, why: &'static str) {
        if let Some(times) = self.around.alarm.raise("all", why, self.around.clock.now()) {
            tracing::warn!(times, "push: {why}");
        }
    }
}

#[cfg(test)]
mod tests;
