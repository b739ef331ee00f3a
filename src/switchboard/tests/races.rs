//! Everything at once, over a backplane that takes its time: between any two of its steps somebody else may come first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::backplane::{
    Abandoned, Attached, Backed, Backlog, Backplane, Calls, Commit, Committed, Device, Directory, Due, Feed, Lines,
    LiveCalls, Outgoing, Position, Prospect, Registration, Renewed, Sent, Stored, Timelines, Unavailable, Untold,
    Version,
};
use crate::call::Turn;
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, EventId, PushToken, PushTokenKind, RequestId, SessionId, UserId};
use crate::metrics::Metrics;
use crate::push::Disabled;
use crate::switchboard::tests::{Exchange, FakeSocket, NOTHING, Phone, RULES, device, registration, user};
use crate::switchboard::{CloseReason, Line, Observers, Switchboard};
use crate::timeline::{Entry, Note, Recorder};
use crate::traces::Traces;

/// How many orders of events are tried; each seed is one.
const ORDERS: u64 = 500;
/// A step takes up to this many turns of the others.
const TURNS_MAX: u32 = 4;

/// A backplane whose every step takes a random number of turns, which recalls calls as they were when it saw them last, and
/// which notes what its node is subscribed to.
struct Unhurried {
    backplane: Box<dyn Backplane>,
    seen: Mutex<HashMap<CallId, Stored>>,
    random: Mutex<StdRng>,
    subscribed: Mutex<HashSet<UserId>>,
}

impl Unhurried {
    async fn step(&self) -> &dyn Backplane {
        let turns = self.random.lock().gen_range(0..=TURNS_MAX);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        &*self.backplane
    }

    fn note<'a>(&self, seen: impl IntoIterator<Item = &'a Stored>) {
        self.seen.lock().extend(seen.into_iter().map(|stored| (stored.call.id, stored.clone())));
    }
}

#[async_trait]
impl Calls for Unhurried {
    fn recall(&self, id: CallId) -> Option<Stored> {
        self.seen.lock().get(&id).cloned()
    }

    async fn load(&self, id: CallId) -> Result<Option<Stored>, Unavailable> {
        let loaded = self.step().await.load(id).await?;
        self.note(&loaded);
        Ok(loaded)
    }

    async fn live_calls(&self, user: &UserId) -> Result<LiveCalls, Unavailable> {
        let live = self.step().await.live_calls(user).await?;
        self.note(&live.calls);
        Ok(live)
    }

    async fn prospect(
        &self,
        caller: &UserId,
        callee: &UserId,
        request: Option<&RequestId>,
    ) -> Result<Prospect, Unavailable> {
        self.step().await.prospect(caller, callee, request).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Unavailable> {
        self.step().await.commit(commit).await
    }

    async fn due(&self, limit: usize) -> Result<Vec<Due>, Unavailable> {
        self.step().await.due(limit).await
    }
}

#[async_trait]
impl Directory for Unhurried {
    async fn attach(&self, registration: Registration) -> Result<Attached, Unavailable> {
        self.step().await.attach(registration).await
    }

    async fn forget_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        kind: PushTokenKind,
        token: &PushToken,
    ) -> Result<(), Unavailable> {
        self.step().await.forget_token(user, device, kind, token).await
    }

    async fn note_unregistered(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        self.step().await.note_unregistered(user, session).await
    }

    async fn detach(
        &self,
        user: &UserId,
        session: &SessionId,
        position: Position,
    ) -> Result<Option<DeviceId>, Unavailable> {
        self.step().await.detach(user, session, position).await
    }

    async fn forget(&self, user: &UserId, session: &SessionId) -> Result<Option<DeviceId>, Unavailable> {
        self.step().await.forget(user, session).await
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, Unavailable> {
        self.step().await.devices(user).await
    }

    async fn renew(&self, of: &Registration, device: &DeviceId, at: Position) -> Result<Renewed, Unavailable> {
        self.step().await.renew(of, device, at).await
    }

    async fn abandoned(&self, limit: usize) -> Result<Vec<Abandoned>, Unavailable> {
        self.step().await.abandoned(limit).await
    }

    async fn bury(&self, abandoned: &Abandoned) -> Result<(), Unavailable> {
        self.step().await.bury(abandoned).await
    }

    fn may_count_absence(&self) -> bool {
        self.backplane.may_count_absence()
    }
}

#[async_trait]
impl Lines for Unhurried {
    async fn subscribe(&self, user: &UserId) -> Result<(), Unavailable> {
        self.step().await.subscribe(user).await?;
        self.subscribed.lock().insert(user.clone());
        Ok(())
    }

    async fn unsubscribe(&self, user: &UserId) {
        self.step().await.unsubscribe(user).await;
        self.subscribed.lock().remove(user);
    }

    async fn send(&self, outgoing: Outgoing, upon: Option<(CallId, Version)>) -> Result<Sent, Unavailable> {
        self.step().await.send(outgoing, upon).await
    }

    async fn read(&self, user: &UserId, after: EventId) -> Result<Backlog, Unavailable> {
        self.step().await.read(user, after).await
    }
}

#[async_trait]
impl Feed for Unhurried {
    async fn take_untold(&self, limit: usize, lease: Duration) -> Result<Vec<Untold>, Unavailable> {
        self.step().await.take_untold(limit, lease).await
    }

    async fn told(&self, call: CallId, through: Turn) -> Result<(), Unavailable> {
        self.step().await.told(call, through).await
    }

    async fn put_off(&self, call: CallId, until: Timestamp) -> Result<(), Unavailable> {
        self.step().await.put_off(call, until).await
    }

    async fn untold(&self) -> Result<Backed, Unavailable> {
        self.step().await.untold().await
    }
}

#[async_trait]
impl Timelines for Unhurried {
    async fn note(&self, notes: Vec<Note>) -> Result<usize, Unavailable> {
        self.step().await.note(notes).await
    }

    async fn timeline(&self, call: CallId) -> Result<Vec<Entry>, Unavailable> {
        self.step().await.timeline(call).await
    }
}

impl Exchange {
    fn unhurried_node(&self, seed: u64) -> Arc<Switchboard> {
        self.noted_node(seed).0
    }

    fn noted_node(&self, seed: u64) -> (Arc<Switchboard>, Arc<Unhurried>) {
        let line = Arc::new(Line::default());
        let recorder = Arc::new(Recorder::off(self.clock));
        let unhurried = Arc::new(Unhurried {
            backplane: Box::new(self.memory.node(line.clone())),
            seen: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            subscribed: Mutex::default(),
        });
        let push = Arc::new(Disabled);
        let observers = Observers { metrics: Metrics::new(), recorder, traces: Traces::off() };
        let switchboard = Switchboard::new(unhurried.clone(), line, push, self.clock, RULES, observers);
        (switchboard, unhurried)
    }
}

/// Connects a socket of Bob's device `b1`, and is given it also if it is closed at once.
async fn connect(node: &Arc<Switchboard>, session: &str) -> Arc<FakeSocket> {
    let socket = FakeSocket::new(node.clock);
    let arrival = node.register(registration(node, "bob/b1", session), None, socket.clone()).await.unwrap();
    node.go_live(arrival).await.unwrap();
    socket
}

#[tokio::test(start_paused = true)]
async fn of_two_sockets_of_a_device_that_register_at_once_one_is_closed() {
    for seed in 0..ORDERS {
        let node = Exchange::new().unhurried_node(seed);
        let sockets: [_; 2] = tokio::join!(connect(&node, "s1"), connect(&node, "s2")).into();
        assert_eq!(sockets.map(|socket| socket.closed()).concat(), [CloseReason::Displaced], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_comes_back_while_it_leaves_is_told_what_it_missed() {
    for seed in 0..ORDERS {
        let node = Exchange::new().unhurried_node(seed);
        let alice = Phone::connect(&node, "alice/a1", "s1").await;
        let old = Phone::connect(&node, "bob/b1", "s2").await;
        let call = alice.call("bob").await;
        // Sent into a connection that is dead already.
        alice.end(call).await.unwrap();
        let ((), back) = tokio::join!(old.leave(), connect(&node, "s3"));
        assert_eq!(back.events(), ["call_end ended"], "seed {seed}");
        let again = alice.call("bob").await;
        assert_eq!(back.events(), ["incoming_call"], "seed {seed}");
        let devices = node.backplane.devices(&user("bob")).await.unwrap();
        assert!(devices.iter().any(|bob| bob.id == device("b1") && bob.is_connected), "seed {seed}");
        alice.end(again).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_is_subscribed_while_it_has_a_seat_and_no_longer() {
    for seed in 0..ORDERS {
        let (node, noted) = Exchange::new().noted_node(seed);
        let phones = [Phone::connect(&node, "bob/b1", "s1").await, Phone::connect(&node, "bob/b2", "s2").await];
        let ((), (), third) = tokio::join!(phones[0].leave(), phones[1].leave(), Phone::connect(&node, "bob/b3", "s3"));
        assert!(noted.subscribed.lock().contains(&user("bob")), "seed {seed}");
        third.leave().await;
        assert!(noted.subscribed.lock().is_empty(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_registers_while_a_call_begins_rings_once() {
    for seed in 0..ORDERS {
        let node = Exchange::new().unhurried_node(seed);
        let alice = Phone::connect(&node, "alice/a1", "s1").await;
        let (bob, call) = tokio::join!(connect(&node, "s2"), alice.call("bob"));
        assert_eq!(bob.events(), ["incoming_call"], "seed {seed}");
        alice.end(call).await.unwrap();
        assert_eq!(bob.events(), ["call_end ended"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_one_outcome_and_every_device_knows_it() {
    for seed in 0..ORDERS {
        let exchange = Exchange::new();
        let (one, two) = (exchange.unhurried_node(seed), exchange.unhurried_node(seed + ORDERS));
        let alice = Phone::connect(&one, "alice/a1", "s1").await;
        let first = Phone::connect(&one, "bob/b1", "s2").await;
        let second = Phone::connect(&two, "bob/b2", "s3").await;
        let idle = Phone::connect(&two, "bob/b3", "s4").await;
        let call = alice.call("bob").await;
        tokio::time::advance(RULES.ring_timeout / 2).await;
        let (accepted, rejected, hung_up, late) =
            tokio::join!(first.accept(call), second.reject(call), alice.end(call), idle.accept(call));
        assert_eq!(hung_up, Ok(()));
        let answers = [accepted.is_ok(), rejected.is_ok(), late.is_ok()];
        assert!(answers.into_iter().filter(|is_ok| *is_ok).count() <= 1, "seed {seed}: {answers:?}");

        // The caller hung up, and so hears at most what came before that.
        let heard_by_alice = alice.events();
        let is_answered = answers[0] || answers[2];
        let expected: &[&str] = match (is_answered, answers[1]) {
            (true, _) => &["call_accept"],
            (false, true) => &["call_reject declined"],
            (false, false) => &[],
        };
        assert_eq!(heard_by_alice, expected, "seed {seed}");
        for (phone, acted) in [(&first, answers[0]), (&second, answers[1]), (&idle, answers[2])] {
            let heard = phone.events();
            let ends = heard.len() - 1;
            assert_eq!(heard[0], "incoming_call");
            let is_spared = acted && answers[1];
            assert_eq!(ends, usize::from(!is_spared), "seed {seed}: {heard:?}");
        }
        assert_eq!(one.backplane.live_calls(&user("bob")).await.unwrap().calls.len(), 0);
        assert_eq!(alice.events(), NOTHING);
    }
}
