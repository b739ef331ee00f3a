//! A switchboard over the embedded backplane, with sockets and a push service that only take notes.

mod arrivals;
mod calls;
mod deadlines;
mod nodes;
mod notes;
mod order;
mod races;
mod seat;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backplane::{Memory, MemoryConfig, Payload, Registration, TimelineBounds};
use crate::call::{Actor, CallType, CallerDisplay, Rules, Wake};
use crate::clock::{Clock, Timestamp};
use crate::ids::{CallId, DeviceId, EventId, PushTokens, RequestId, SessionId, UserId};
use crate::metrics::Metrics;
use crate::protocol::{Media, ServerEvent, SignalKind, SignalRequest};
use crate::push::{Push, Wakeup};
use crate::switchboard::{CloseReason, Failure, Heard, Line, NewCall, Observers, Outlet, Seat, Switchboard, Unsent};
use crate::timeline::Recorder;
use crate::traces::Traces;

const RULES: Rules = Rules {
    ring_timeout: Duration::from_secs(45),
    caller_away_timeout: Duration::from_secs(15),
    away_timeout: Duration::from_secs(60),
    max_duration: Duration::from_secs(3_600),
    busy_window: Duration::from_secs(300),
};
const NOTHING: [&str; 0] = [];
const A_MOMENT: Duration = Duration::from_millis(1);
/// After this long, what was sent before and is heard from counts as received.
const UNTIL_CONFIRMED: Duration = Duration::from_secs(1);

fn just_before(duration: Duration) -> Duration {
    duration.saturating_sub(A_MOMENT)
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

/// The sending side of a socket that takes as much as there is room for.
struct FakeSocket {
    clock: Clock,
    state: Mutex<SocketState>,
}

#[derive(Default)]
struct SocketState {
    events: Vec<(EventId, String)>,
    room: usize,
    is_gone: bool,
    heard: Heard,
    closed: Vec<CloseReason>,
}

impl FakeSocket {
    fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::new(SocketState { room: usize::MAX, ..SocketState::default() }) })
    }

    /// What has come since the last time: the name of each event, with its reason or its media.
    fn events(&self) -> Vec<String> {
        self.numbered_events().into_iter().map(|(_, event)| event).collect()
    }

    fn numbered_events(&self) -> Vec<(EventId, String)> {
        std::mem::take(&mut self.state.lock().events)
    }

    fn set_room(&self, messages: usize) {
        self.state.lock().room = messages;
    }

    fn go(&self) {
        self.state.lock().is_gone = true;
    }

    /// Something comes from the client.
    fn say(&self) {
        let mut state = self.state.lock();
        state.heard = Heard { times: state.heard.times + 1, at: self.clock.now() };
    }

    fn closed(&self) -> Vec<CloseReason> {
        self.state.lock().closed.clone()
    }
}

impl Outlet for FakeSocket {
    fn send(&self, id: EventId, payload: &Payload) -> Result<(), Unsent> {
        let mut state = self.state.lock();
        if state.is_gone {
            return Err(Unsent::Gone);
        }
        state.room = state.room.checked_sub(1).ok_or(Unsent::Full)?;
        state.events.push((id, spelled(id, payload)));
        Ok(())
    }

    fn heard(&self) -> Heard {
        self.state.lock().heard
    }

    fn close(self: Arc<Self>, reason: CloseReason) {
        self.state.lock().closed.push(reason);
    }
}

fn spelled(id: EventId, payload: &Payload) -> String {
    let (event, detail) = match payload {
        Payload::Notice(notice) => (ServerEvent::notice(id, notice), "reason"),
        Payload::Signal(signal) => (ServerEvent::signal(id, signal), "sdp"),
    };
    let body = serde_json::to_value(&event.body).unwrap();
    let detail = body.get(detail).or(body.get("candidate")).and_then(|detail| detail.as_str());
    format!("{} {}", event.name, detail.unwrap_or_default()).trim_end().to_owned()
}

/// A push service that reaches every device with a token.
#[derive(Default)]
struct FakePush {
    wakes: Mutex<Vec<(UserId, CallId, Wake)>>,
}

impl Push for FakePush {
    fn can_reach(&self, tokens: &PushTokens) -> bool {
        !tokens.is_empty()
    }

    fn wake(&self, wakeup: Wakeup) {
        let Wakeup { user, call, wake } = wakeup;
        self.wakes.lock().push((user, call.id, wake));
    }
}

/// Nodes over one backplane.
struct Exchange {
    memory: Arc<Memory>,
    clock: Clock,
    push: Arc<FakePush>,
}

impl Exchange {
    fn new() -> Self {
        let clock = Clock::following_tokio(Timestamp(1_700_000_000_000));
        let config = MemoryConfig {
            inbox_messages: 1024,
            inbox_bytes: 1 << 20,
            inbox_ttl: Duration::from_secs(86_400),
            over_ttl: Duration::from_secs(300),
            feed: None,
            timelines: Some(TimelineBounds { calls: 100, ttl: Duration::from_secs(86_400) }),
        };
        Self { memory: Memory::new(clock, config), clock, push: Arc::default() }
    }

    fn node(&self) -> Arc<Switchboard> {
        let line = Arc::new(Line::default());
        let backplane = Arc::new(self.memory.node(line.clone()));
        let recorder = Arc::new(Recorder::off(self.clock));
        let observers = Observers { metrics: Metrics::new(), recorder, traces: Traces::off() };
        Switchboard::new(backplane, line, self.push.clone(), self.clock, RULES, observers)
    }

    /// A node that acts on deadlines for as long as the answer is kept.
    fn watched_node(&self) -> (Arc<Switchboard>, Watch) {
        let node = self.node();
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (node, stop) = (node.clone(), stop.clone());
            async move { node.watch_deadlines(stop).await }
        });
        (node, Watch { stop, task })
    }
}

/// The task that acts on deadlines.
struct Watch {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watch {
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// A client on a socket of its own.
struct Phone {
    node: Arc<Switchboard>,
    socket: Arc<FakeSocket>,
    seat: Arc<Seat>,
}

impl Phone {
    /// `who` is user and device, `session` the socket.
    async fn connect(node: &Arc<Switchboard>, who: &str, session: &str) -> Self {
        Self::connect_after(node, who, session, None).await
    }

    /// Connects with the last event the client has dealt with.
    async fn connect_after(node: &Arc<Switchboard>, who: &str, session: &str, last_event: Option<EventId>) -> Self {
        let socket = FakeSocket::new(node.clock);
        let arrival = node.register(registration(node, who, session), last_event, socket.clone()).await.unwrap();
        let seat = node.go_live(arrival).await.unwrap();
        Self { node: node.clone(), socket, seat }
    }

    fn actor(&self) -> Actor {
        Actor { user: self.seat.user().clone(), device: self.seat.device().clone(), registered: true }
    }

    async fn call(&self, callee: &str) -> CallId {
        self.node.initiate(&self.actor(), new_call(callee)).await.unwrap().call_id
    }

    async fn accept(&self, call: CallId) -> Result<(), Failure> {
        self.node.accept(call, &self.actor()).await
    }

    async fn reject(&self, call: CallId) -> Result<(), Failure> {
        self.node.reject(call, &self.actor(), None).await
    }

    async fn end(&self, call: CallId) -> Result<(), Failure> {
        self.node.end(call, &self.actor(), None).await
    }

    async fn signal(&self, call: CallId, to: &str, kind: SignalKind, media: &str) -> Result<(), Failure> {
        self.node.signal(signal_request(call, to, kind, media), &self.actor()).await
    }

    /// The connection is gone.
    async fn leave(&self) {
        self.node.leave(&self.seat).await.unwrap();
    }

    /// The client answers a ping, long enough after what it was sent.
    async fn confirm(&self) {
        tokio::time::advance(UNTIL_CONFIRMED).await;
        self.socket.say();
    }

    fn events(&self) -> Vec<String> {
        self.socket.events()
    }
}

fn registration(node: &Switchboard, who: &str, session: &str) -> Registration {
    let (user_name, device_name) = who.split_once('/').unwrap();
    Registration {
        user: user(user_name),
        device: DeviceId::parse(device_name),
        session: SessionId::parse(session).unwrap(),
        platform: None,
        tokens: PushTokens::default(),
        at: node.clock.now(),
    }
}

fn new_call(callee: &str) -> NewCall {
    NewCall { callee: user(callee), call_type: CallType::Audio, display: CallerDisplay::default(), request_id: None }
}

fn requested(callee: &str, request: &str) -> NewCall {
    NewCall { request_id: RequestId::parse(request), ..new_call(callee) }
}

fn signal_request(call_id: CallId, to: &str, kind: SignalKind, media: &str) -> SignalRequest {
    let json = RawValue::from_string(format!("\"{media}\"")).unwrap();
    SignalRequest { call_id, to: user(to), kind, media: Media::new(&json, &[]) }
}

/// Alice's `a1` and Bob's `b1` in a call that was just accepted, with nothing left to read.
async fn talking(alice_at: &Arc<Switchboard>, bob_at: &Arc<Switchboard>) -> (Phone, Phone, CallId) {
    let alice = Phone::connect(alice_at, "alice/a1", "s-a1").await;
    let bob = Phone::connect(bob_at, "bob/b1", "s-b1").await;
    let call = alice.call("bob").await;
    bob.accept(call).await.unwrap();
    assert_eq!((alice.events(), bob.events()), (vec!["call_accept".to_owned()], vec!["incoming_call".to_owned()]));
    (alice, bob, call)
}
