//! A dispatcher at work, between services that answer as they are told and devices that are where they are said to be.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::call::Wake;
use crate::clock::Clock;
use crate::ids::{CallId, DeviceId, PushToken, PushTokenKind, UserId};
use crate::push::testing::{RING_TIMEOUT, START, call, device, tokens, wakeup};
use crate::push::{
    Count, Dispatcher, Kind, Message, Outcome, Provider, Push, Recipient, Recipients, Settings, Trouble, Unknown,
};
use crate::traces::Traces;

pub(super) const TROUBLE: Outcome = Outcome::Retry { after: None, trouble: Trouble::Service("trouble") };

/// A service that answers as it is told, and else takes everything.
pub(super) struct Service {
    name: &'static str,
    kind: PushTokenKind,
    carried: &'static [Kind],
    clock: Clock,
    answers: Mutex<VecDeque<Outcome>>,
    /// What it answers when there is none left.
    pub(super) otherwise: Mutex<Outcome>,
    /// One permit for each request it lets through.
    pub(super) gate: Semaphore,
    requests: Mutex<Vec<(u64, Kind, String)>>,
}

#[async_trait]
impl Provider for Service {
    fn name(&self) -> &'static str {
        self.name
    }

    fn token_kind(&self) -> PushTokenKind {
        self.kind
    }

    fn carries(&self, kind: Kind) -> bool {
        self.carried.contains(&kind)
    }

    async fn send(&self, message: &Message, token: &PushToken) -> Outcome {
        let at = START.until(self.clock.now()).as_millis();
        self.requests.lock().push((u64::try_from(at).unwrap(), message.kind, token.expose().to_owned()));
        self.gate.acquire().await.unwrap().forget();
        let next = self.answers.lock().pop_front();
        next.unwrap_or(*self.otherwise.lock())
    }
}

impl Service {
    pub(super) fn new(name: &'static str, kind: PushTokenKind, carried: &'static [Kind], clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            name,
            kind,
            carried,
            clock,
            answers: Mutex::default(),
            otherwise: Mutex::new(Outcome::Sent),
            gate: Semaphore::new(10_000),
            requests: Mutex::default(),
        })
    }

    pub(super) fn answers(&self, outcomes: impl IntoIterator<Item = Outcome>) {
        self.answers.lock().extend(outcomes);
    }

    /// From here on it answers only what it is let.
    pub(super) fn hang(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    /// What was sent so far, in some order: what about, and to whom.
    pub(super) fn sent(&self) -> Vec<(Kind, String)> {
        let mut sent: Vec<_> = self.requests.lock().iter().map(|(_, kind, token)| (*kind, token.clone())).collect();
        sent.sort_by_key(|(kind, token)| (*kind as usize, token.clone()));
        sent
    }

    /// When, in milliseconds since the start.
    pub(super) fn times(&self) -> Vec<u64> {
        self.requests.lock().iter().map(|(at, ..)| *at).collect()
    }
}

#[derive(Default)]
pub(super) struct Devices {
    pub(super) all: Mutex<Vec<Recipient>>,
    pub(super) is_over: Mutex<bool>,
    pub(super) is_away: Mutex<bool>,
    pub(super) asked: AtomicU64,
    pub(super) forgotten: Mutex<Vec<String>>,
}

#[async_trait]
impl Recipients for Devices {
    async fn of(&self, _: &UserId) -> Result<Vec<Recipient>, Unknown> {
        if *self.is_away.lock() { Err(Unknown) } else { Ok(self.all.lock().clone()) }
    }

    async fn is_ringing(&self, _: CallId) -> Result<bool, Unknown> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if *self.is_away.lock() { Err(Unknown) } else { Ok(!*self.is_over.lock()) }
    }

    async fn forget(&self, _: &UserId, device: &DeviceId, _: PushTokenKind, token: &PushToken) {
        self.forgotten.lock().push(format!("{device} {}", token.expose()));
    }
}

/// A dispatcher at work for bob, who is called.
pub(super) struct House {
    pub(super) fcm: Arc<Service>,
    pub(super) apns: Arc<Service>,
    pub(super) devices: Arc<Devices>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) stopping: CancellationToken,
    pub(super) worker: JoinHandle<()>,
}

impl House {
    pub(super) fn new(devices: &[(&str, Option<&str>, Option<&str>)]) -> Self {
        Self::with(devices, false)
    }

    pub(super) fn with(devices: &[(&str, Option<&str>, Option<&str>)], skip_online: bool) -> Self {
        let clock = Clock::following_tokio(START);
        let fcm = Service::new("fcm", PushTokenKind::Fcm, &[Kind::Ring, Kind::Stop, Kind::Missed], clock);
        let apns = Service::new("apns", PushTokenKind::ApnsVoip, &[Kind::Ring], clock);
        let recipient = |&(name, fcm, apns_voip): &(&str, Option<&str>, Option<&str>)| Recipient {
            device: device(name),
            is_connected: name.starts_with("online"),
            tokens: tokens(fcm, apns_voip),
            seen_at: START,
        };
        let known = Arc::new(Devices::default());
        known.all.lock().extend(devices.iter().map(recipient));
        let (dispatcher, worker) = Dispatcher::new(
            Settings { ring_timeout: RING_TIMEOUT, skip_online },
            vec![apns.clone(), fcm.clone()],
            known.clone(),
            Arc::new(|_, _| String::new()),
            clock,
            Traces::off(),
        );
        let stopping = CancellationToken::new();
        let worker = tokio::spawn(worker.run(stopping.clone()));
        Self { fcm, apns, devices: known, dispatcher, stopping, worker }
    }

    pub(super) fn wake(&self, wake: Wake) {
        self.dispatcher.wake(wakeup(call(Some("Alice"), None), wake));
    }

    /// Lets everything happen that happens by itself within so many milliseconds.
    pub(super) async fn pass(&self, millis: u64) {
        // In steps: whoever is woken by one may set the next.
        for _ in 0..millis.div_ceil(10) {
            tokio::time::advance(Duration::from_millis(10)).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
    }

    pub(super) fn count(&self, provider: &str, kind: &str, outcome: &str) -> u64 {
        let is_it = |count: &&Count| (count.provider, count.kind, count.outcome) == (provider, kind, outcome);
        self.dispatcher.snapshot().messages.iter().find(is_it).unwrap().count
    }
}
