//! What one call costs, piece by piece and as a whole: time, allocations and bytes, without sockets and without a network.
//!
//! `cargo bench --bench micro`

use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use serde_json::value::RawValue;
use switchboard::backplane::{Memory, MemoryConfig, MeteredReceiver, Payload, Registration};
use switchboard::call::{Actor, Call, CallType, CallerDisplay, Command, Initiation, Request, Rules, Text, Transition};
use switchboard::clock::{Clock, Timestamp};
use switchboard::config::TracesConfig;
use switchboard::ids::{CallId, DeviceId, EventId, NodeId, PushTokens, SessionId, UserId};
use switchboard::metrics::Metrics;
use switchboard::protocol::{Bounds, Media, ServerEvent, Signal, SignalKind, SignalRequest, decode};
use switchboard::push::Disabled;
use switchboard::switchboard::{CloseReason, Heard, Line, NewCall, Observers, Outlet, Seat, Switchboard, Unsent};
use switchboard::timeline::Recorder;
use switchboard::traces::{Exporter, Traces};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

/// The server's own allocator, counting.
#[global_allocator]
static ALLOCATOR: AllocProfiler<Jemalloc> = AllocProfiler::new(Jemalloc);

const RULES: Rules = Rules {
    ring_timeout: Duration::from_secs(45),
    caller_away_timeout: Duration::from_secs(15),
    away_timeout: Duration::from_secs(60),
    max_duration: Duration::from_secs(86_400),
    busy_window: Duration::from_secs(300),
};
const BOUNDS: Bounds = Bounds { sdp_bytes: 131_072, candidate_bytes: 8_192 };
/// A browser's offer of sound and picture is about this large.
const SDP_BYTES: usize = 3_000;
const CANDIDATES_PER_CALL: usize = 16;

fn main() {
    divan::main();
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("it is printable")
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).expect("it is printable")
}

fn actor(user_name: &str, device_name: &str) -> Actor {
    Actor { user: user(user_name), device: device(device_name), registered: true }
}

/// An SDP of about [`SDP_BYTES`] as its JSON text, escapes and all.
fn sdp() -> String {
    let lines = "a=rtpmap:96 VP8/90000\\r\\n".repeat(SDP_BYTES / 25);
    format!(r#"{{"type":"offer","sdp":"v=0\r\n{lines}"}}"#)
}

fn candidate() -> String {
    let line = "candidate:842163049 1 udp 1677729535 203.0.113.7 54321 typ srflx raddr 0.0.0.0 rport 0 generation 0";
    format!(r#"{{"candidate":"{line}","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"EsAw"}}"#)
}

fn media(json: String) -> Media {
    Media::new(&RawValue::from_string(json).expect("it is JSON"), &[])
}

fn ringing_call() -> Call {
    let request = Request {
        id: CallId::from_u128(1),
        caller: actor("alice", "a1"),
        callee: user("bob"),
        call_type: CallType::Video,
        display: CallerDisplay { name: Text::parse("Alice"), avatar: None },
        request_id: None,
    };
    match Call::initiate(request, &[], &[], Timestamp(0), &RULES) {
        Ok(Initiation::Ring(Transition { call, .. })) => call,
        other => panic!("it does not ring: {other:?}"),
    }
}

#[divan::bench(sample_count = 100, sample_size = 100)]
fn decide_accept(bencher: Bencher<'_, '_>) {
    let call = ringing_call();
    let command = Command::Accept { by: actor("bob", "b1") };
    bencher.bench_local(|| black_box(&call).decide(command.clone(), Timestamp(1_000), &RULES));
}

#[divan::bench(args = ["sdp_offer", "ice_candidate"], sample_count = 100, sample_size = 100)]
fn decode_signal(bencher: Bencher<'_, '_>, name: &str) {
    let (field, json) = if name == "sdp_offer" { ("sdp", sdp()) } else { ("candidate", candidate()) };
    let call = CallId::from_u128(1);
    let packet = format!(r#"["{name}",{{"callId":"{call}","to":"bob","{field}":{json}}}]"#);
    bencher.bench_local(|| decode(black_box(&packet), &[], BOUNDS).expect("it is a request"));
}

#[divan::bench(sample_count = 100, sample_size = 100)]
fn render_offer(bencher: Bencher<'_, '_>) {
    let signal = Signal {
        call_id: CallId::from_u128(1),
        from: user("alice"),
        at: Timestamp(1_700_000_000_000),
        kind: SignalKind::Offer,
        media: media(sdp()),
    };
    bencher.bench_local(|| {
        let event = ServerEvent::signal(EventId(7), black_box(&signal));
        serde_json::to_string(&event.body).expect("it can be written")
    });
}

/// A socket that takes everything and keeps nothing.
struct Nowhere;

impl Outlet for Nowhere {
    fn send(&self, _: EventId, payload: &Payload) -> Result<(), Unsent> {
        black_box(payload);
        Ok(())
    }

    fn heard(&self) -> Heard {
        Heard::default()
    }

    fn close(self: Arc<Self>, _: CloseReason) {}
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("the runtime starts")
}

fn switchboard() -> Arc<Switchboard> {
    with_traces(Metrics::new(), Traces::off())
}

/// One that traces every call, and what it tells: to nobody, which costs the same.
fn traced_switchboard() -> (Arc<Switchboard>, Option<Exporter>) {
    let config = TracesConfig {
        endpoint: "http://localhost:9".parse().expect("it is a URL"),
        headers: Vec::new(),
        service_name: "switchboard".into(),
        resource: Vec::new(),
        ratio: 1.0,
    };
    let metrics = Metrics::new();
    let (traces, exporter) =
        Traces::new(Some(&config), &NodeId::random(), Clock::system(), &metrics).expect("an exporter");
    (with_traces(metrics, traces), exporter)
}

fn with_traces(metrics: Arc<Metrics>, traces: Traces) -> Arc<Switchboard> {
    let config = MemoryConfig {
        inbox_messages: 1_024,
        inbox_bytes: 1 << 20,
        inbox_ttl: Duration::from_secs(86_400),
        over_ttl: Duration::from_secs(300),
        feed: None,
        timelines: None,
    };
    let (clock, line) = (Clock::system(), Arc::new(Line::default()));
    let receiver = Arc::new(MeteredReceiver::new(line.clone(), metrics.clone(), clock));
    let node = Arc::new(Memory::new(clock, config).node(receiver));
    let observers = Observers { metrics, recorder: Recorder::off(clock).into(), traces };
    Switchboard::new(node, line, Arc::new(Disabled), clock, RULES, observers)
}

async fn register(node: &Switchboard, user_name: &str, device_name: &str) -> Arc<Seat> {
    let registration = Registration {
        user: user(user_name),
        device: Some(device(device_name)),
        session: SessionId::parse(device_name).expect("it is printable"),
        platform: None,
        tokens: PushTokens::default(),
        at: Timestamp(0),
    };
    let arrival = node.register(registration, None, Arc::new(Nowhere)).await.expect("it is reachable");
    node.go_live(arrival).await.expect("it is reachable")
}

fn new_call() -> NewCall {
    NewCall { callee: user("bob"), call_type: CallType::Video, display: CallerDisplay::default(), request_id: None }
}

/// Everything a call is: both register, one calls, the other answers, they agree and hang up.
async fn whole_call(node: &Switchboard, sdp: &Media, candidate: &Media) {
    let (_alice_seat, _bob_seat) = (register(node, "alice", "a1").await, register(node, "bob", "b1").await);
    let (alice, bob) = (actor("alice", "a1"), actor("bob", "b1"));
    let call_id = request(node, None, node.initiate(&alice, new_call())).await.expect("it rings").call_id;
    request(node, Some(call_id), node.accept(call_id, &bob)).await.expect("it is answered");
    let say = async |by: &Actor, to: &str, kind, media: &Media| {
        let said = SignalRequest { call_id, to: user(to), kind, media: media.clone() };
        request(node, Some(call_id), node.signal(said, by)).await.expect("it is said");
    };
    say(&alice, "bob", SignalKind::Offer, sdp).await;
    say(&bob, "alice", SignalKind::Answer, sdp).await;
    for _ in 0..CANDIDATES_PER_CALL / 2 {
        say(&alice, "bob", SignalKind::Candidate, candidate).await;
        say(&bob, "alice", SignalKind::Candidate, candidate).await;
    }
    request(node, Some(call_id), node.end(call_id, &alice, None)).await.expect("it ends");
}

/// Does something as a socket has it done: told of, if calls are traced.
async fn request<T>(node: &Switchboard, call: Option<CallId>, what: impl Future<Output = T>) -> T {
    match node.traces().request("request", call, Timestamp(0)) {
        Some(scope) => scope.run(what).await,
        None => what.await,
    }
}

#[divan::bench(sample_count = 200, sample_size = 10)]
fn call_from_register_to_end(bencher: Bencher<'_, '_>) {
    let (runtime, sdp, candidate) = (runtime(), media(sdp()), media(candidate()));
    bencher.with_inputs(switchboard).bench_local_values(|node| {
        runtime.block_on(whole_call(&node, &sdp, &candidate));
        node
    });
}

/// The same, with every call traced.
#[divan::bench(sample_count = 200, sample_size = 10)]
fn call_from_register_to_end_traced(bencher: Bencher<'_, '_>) {
    let (runtime, sdp, candidate) = (runtime(), media(sdp()), media(candidate()));
    bencher.with_inputs(traced_switchboard).bench_local_values(|traced| {
        runtime.block_on(whole_call(&traced.0, &sdp, &candidate));
        traced
    });
}

/// One `incoming_call` to every device of the callee.
#[divan::bench(args = [1, 10, 100], sample_count = 100, sample_size = 5)]
fn ring(bencher: Bencher<'_, '_>, devices: usize) {
    let runtime = runtime();
    let ready = || {
        runtime.block_on(async {
            let node = switchboard();
            let mut seats = vec![register(&node, "alice", "a1").await];
            for index in 0..devices {
                seats.push(register(&node, "bob", &format!("b{index}")).await);
            }
            (node, seats)
        })
    };
    let alice = actor("alice", "a1");
    bencher.with_inputs(ready).bench_local_values(|(node, seats)| {
        runtime.block_on(node.initiate(&alice, new_call())).expect("it rings");
        (node, seats)
    });
}
