//! What is told, in which order, how often and for how long. The feed is that of the embedded backplane, the receiver does as the test
//! says, and the test moves the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backplane::{
    Backplane, Commit, Committed, Delivery, Expected, FeedBounds, Memory, MemoryConfig, Position, Receiver as Line,
    Version,
};
use crate::call::{
    Accepted, Call, CallType, CallerDisplay, EndReason, Milestone, Outcome, Over, Party, Ringing, State, Text,
};
use crate::clock::{Clock, Timestamp};
use crate::ids::{CallId, DeviceId, SessionId, UserId};
use crate::metrics::{Exposition, Metrics, WebhookEvent};
use crate::outbound::StatusCode;
use crate::webhooks::event::Event;
use crate::webhooks::receiver::{Receive, Verdict};
use crate::webhooks::{KEPT, Worker};

const START: Timestamp = Timestamp(1_700_000_000_000);
const TROUBLE: Verdict = Verdict::Later { why: "trouble", after: None };
const REFUSED: Verdict = Verdict::Refused(StatusCode::NOT_FOUND);
const ALL: [WebhookEvent; 4] =
    [WebhookEvent::Started, WebhookEvent::Answered, WebhookEvent::Ended, WebhookEvent::Missed];
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

struct Nobody;

impl Line for Nobody {
    fn deliver(&self, _: &UserId, _: &Delivery) {}
    fn displace(&self, _: &UserId, _: &SessionId) -> Option<Position> {
        None
    }
    fn interrupted(&self) {}
    fn resumed(&self) {}
}

/// A receiver that answers as it is told, and else takes everything.
struct Door {
    clock: Clock,
    answers: Mutex<VecDeque<Verdict>>,
    otherwise: Mutex<Verdict>,
    /// One permit for each request it lets through.
    gate: Semaphore,
    requests: Mutex<Vec<(u64, String)>>,
}

#[async_trait]
impl Receive for Arc<Door> {
    async fn post(&self, event: &Event) -> Verdict {
        let at = u64::try_from(START.until(self.clock.now()).as_millis()).unwrap();
        self.requests.lock().push((at, event.id.clone()));
        self.gate.acquire().await.unwrap().forget();
        let next = self.answers.lock().pop_front();
        next.unwrap_or(*self.otherwise.lock())
    }
}

/// A worker at work.
struct House {
    backplane: Arc<dyn Backplane>,
    door: Arc<Door>,
    metrics: Arc<Metrics>,
    clock: Clock,
    stopping: CancellationToken,
    work: JoinHandle<()>,
}

impl House {
    fn new(events: &[WebhookEvent]) -> Self {
        Self::keeping(KEPT, events)
    }

    fn keeping(feed: FeedBounds, events: &[WebhookEvent]) -> Self {
        let clock = Clock::following_tokio(START);
        let ttl = Duration::from_secs(86_400);
        let config = MemoryConfig {
            inbox_messages: 10,
            inbox_bytes: 10_000,
            inbox_ttl: ttl,
            over_ttl: Duration::from_secs(60),
            feed: Some(feed),
            timelines: None,
        };
        let backplane: Arc<dyn Backplane> = Arc::new(Memory::new(clock, config).node(Arc::new(Nobody)));
        let door = Arc::new(Door {
            clock,
            answers: Mutex::default(),
            otherwise: Mutex::new(Verdict::Taken),
            gate: Semaphore::new(100_000),
            requests: Mutex::default(),
        });
        let metrics = Metrics::new();
        let worker = Worker::with(Box::new(door.clone()), events.to_vec(), backplane.clone(), metrics.clone(), clock);
        let stopping = CancellationToken::new();
        let work = tokio::spawn(worker.run(stopping.clone()));
        Self { backplane, door, metrics, clock, stopping, work }
    }

    fn answers(&self, verdicts: impl IntoIterator<Item = Verdict>) {
        self.door.answers.lock().extend(verdicts);
    }

    async fn commit(&self, before: Option<&Call>, after: &Call, expected: Expected) {
        let milestones = Milestone::of(before, after, None);
        let commit =
            Commit { expected, call: Arc::new(after.clone()), outbox: Vec::new(), milestones, entries: Vec::new() };
        assert_eq!(self.backplane.commit(commit).await, Ok(Committed::Done));
    }

    /// Call number `n` begins.
    async fn begin(&self, n: u128) -> Call {
        let party = |name: &str| Party {
            user: UserId::parse(&format!("{name}-{n}")).unwrap(),
            device: DeviceId::parse("phone").unwrap(),
        };
        let until = self.clock.now().plus(Duration::from_secs(45));
        let call = Call {
            id: CallId::from_u128(n),
            caller: party("alice"),
            callee: party("bob").user,
            call_type: CallType::Audio,
            display: CallerDisplay { name: Text::parse_up_to("MARKER", 10), avatar: None },
            request_id: None,
            created_at: self.clock.now(),
            state: State::Ringing(Ringing { until, caller_given_up_at: None }),
        };
        let prospect = self.backplane.prospect(&call.caller.user, &call.callee, None).await.unwrap();
        let (callee_calls, caller_calls) = (prospect.callee_calls.version, prospect.caller_calls.version);
        self.commit(None, &call, Expected::New { callee_calls, caller_calls }).await;
        call
    }

    async fn change(&self, before: &Call, state: State) -> Call {
        let after = Call { state, ..before.clone() };
        let Version(version) = self.backplane.load(before.id).await.unwrap().unwrap().version;
        self.commit(Some(before), &after, Expected::Version(Version(version))).await;
        after
    }

    async fn answer(&self, call: &Call) -> Call {
        let at = self.clock.now();
        let accepted = Accepted {
            at,
            until: at.plus(Duration::from_secs(3_600)),
            callee_device: DeviceId::parse("tablet").unwrap(),
            caller_given_up_at: None,
            callee_given_up_at: None,
        };
        self.change(call, State::Accepted(accepted)).await
    }

    async fn end(&self, call: &Call) -> Call {
        let accepted_at = match &call.state {
            State::Accepted(accepted) => Some(accepted.at),
            State::Ringing(_) | State::Over(_) => None,
        };
        let outcome = Outcome::Ended(EndReason::HungUp(Text::parse_up_to("MARKER", 10)));
        self.change(call, State::Over(Over { at: self.clock.now(), accepted_at, outcome })).await
    }

    /// A call from its beginning to its end.
    async fn whole(&self, n: u128) {
        let call = self.begin(n).await;
        let call = self.answer(&call).await;
        self.end(&call).await;
    }

    async fn pass(&self, millis: u64) {
        // In steps, so that whoever waits for a part of it comes in time.
        let step = (millis / 2_000).clamp(10, 5_000);
        let mut left = millis;
        while left > 0 {
            let now = step.min(left);
            tokio::time::advance(Duration::from_millis(now)).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            left -= now;
        }
    }

    /// Which places of call number `n` were told, in order, repeats included.
    fn told(&self, n: u128) -> Vec<u8> {
        let call = format!("{}:", CallId::from_u128(n));
        let requests = self.door.requests.lock();
        requests.iter().filter_map(|(_, id)| id.strip_prefix(&call)?.parse().ok()).collect()
    }

    fn times(&self) -> Vec<u64> {
        self.door.requests.lock().iter().map(|(at, _)| *at).collect()
    }

    fn count(&self, event: &str, outcome: &str) -> u64 {
        self.metric(&format!("switchboard_webhooks_total{{event=\"{event}\",outcome=\"{outcome}\"}}"))
    }

    fn metric(&self, name: &str) -> u64 {
        let text = Exposition::new(self.metrics.clone()).text();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_default()
    }
}

#[tokio::test(start_paused = true)]
async fn each_event_of_a_call_waits_for_the_one_before() {
    let house = House::new(&ALL);
    house.answers([TROUBLE, TROUBLE]);
    house.whole(1).await;
    house.pass(10).await;
    assert_eq!(house.told(1), [0]);
    house.pass(3_000).await;
    assert_eq!(house.told(1), [0, 0, 0, 1, 2]);
    for event in ["call.started", "call.answered", "call.ended"] {
        assert_eq!(house.count(event, "taken"), 1, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_not_told_again_when_the_next_is_not() {
    let house = House::new(&ALL);
    house.answers([Verdict::Taken, Verdict::Taken, TROUBLE, TROUBLE]);
    house.whole(1).await;
    house.pass(120_000).await;
    assert_eq!(house.told(1), [0, 1, 2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_had_to_wait_begins_with_short_pauses_of_its_own() {
    let house = House::new(&ALL);
    house.answers([TROUBLE, TROUBLE, TROUBLE, TROUBLE, TROUBLE, TROUBLE, Verdict::Taken, TROUBLE]);
    house.whole(1).await;
    while house.told(1).len() < 9 {
        house.pass(100).await;
    }
    assert_eq!(house.told(1)[5..9], [0, 0, 1, 1]);
    let times = house.times();
    let pause = times[8] - times[7];
    assert!((250..=700).contains(&pause), "{pause}");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_chosen_is_told() {
    let house = House::new(&[WebhookEvent::Missed, WebhookEvent::Answered]);
    house.whole(1).await;
    let call = house.begin(2).await;
    house.end(&call).await;
    house.pass(1_000).await;
    assert_eq!((house.told(1), house.told(2)), (vec![1], vec![2]));
    assert_eq!(house.count("call.missed", "taken"), 1);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_a_minute_and_end_after_a_day() {
    let house = House::new(&ALL);
    *house.door.otherwise.lock() = TROUBLE;
    house.begin(1).await;
    house.pass(10_000).await;
    house.pass(26 * HOUR).await;
    let times = house.times();
    let pauses: Vec<_> = times.windows(2).map(|two| two[1] - two[0]).collect();
    assert!((250..=600).contains(&pauses[0]), "{}", pauses[0]);
    assert!(pauses.iter().all(|pause| *pause <= MINUTE + 10_000));
    assert!(pauses.iter().rev().take(100).all(|pause| *pause >= 30_000));
    // Time passes in steps of seconds, at whose end what was due during one of them happens.
    assert!((24 * HOUR - 2 * MINUTE..=24 * HOUR).contains(times.last().unwrap()), "{:?}", times.last());
    assert_eq!(house.count("call.started", "given_up"), 1);
    *house.door.otherwise.lock() = Verdict::Taken;
    let call = house.begin(2).await;
    house.end(&call).await;
    house.pass(MINUTE).await;
    assert_eq!(house.told(2), [0, 2], "others are told as soon as they can be");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_believed_after_five_minutes_and_the_next_event_told() {
    let house = House::new(&ALL);
    house.answers([TROUBLE; 3]);
    let call = house.begin(1).await;
    house.pass(20 * MINUTE).await;
    *house.door.otherwise.lock() = REFUSED;
    let call = house.answer(&call).await;
    let refused_at = house.times().len();
    assert_eq!(house.told(1), [0, 0, 0, 0]);
    house.pass(4 * MINUTE).await;
    assert!(house.times().len() > refused_at + 4, "it is tried again");
    assert_eq!(house.count("call.answered", "refused"), 0);
    house.pass(3 * MINUTE).await;
    assert_eq!(house.count("call.answered", "refused"), 1);
    *house.door.otherwise.lock() = Verdict::Taken;
    house.end(&call).await;
    house.pass(10).await;
    assert_eq!(house.told(1).last(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_what_has_waited_for_long_is_doubted_as_well() {
    let house = House::new(&ALL);
    *house.door.otherwise.lock() = TROUBLE;
    house.begin(1).await;
    house.pass(HOUR).await;
    *house.door.otherwise.lock() = REFUSED;
    house.pass(3 * MINUTE).await;
    *house.door.otherwise.lock() = Verdict::Taken;
    house.pass(2 * MINUTE).await;
    assert_eq!(house.count("call.started", "taken"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_is_believed_at_once() {
    let house = House::new(&ALL);
    house.answers([Verdict::Gone]);
    house.whole(1).await;
    house.pass(10).await;
    assert_eq!(house.told(1), [0, 1, 2]);
    assert_eq!((house.count("call.started", "refused"), house.count("call.ended", "taken")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_is_asked_for_so_many_calls_at_once_and_no_more() {
    let house = House::new(&ALL);
    house.door.gate.forget_permits(usize::MAX);
    for n in 0..100 {
        house.begin(n).await;
    }
    house.pass(1_000).await;
    assert_eq!(house.times().len(), 32);
    house.door.gate.add_permits(100_000);
    house.pass(1_000).await;
    assert_eq!(house.times().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_in_trouble_is_spared_and_told_everything_when_it_is_well() {
    let house = House::new(&ALL);
    *house.door.otherwise.lock() = TROUBLE;
    for n in 0..500 {
        house.begin(n).await;
    }
    house.pass(10 * MINUTE).await;
    let asked = house.times().len();
    assert!((60..200).contains(&asked), "{asked} in ten minutes");
    *house.door.otherwise.lock() = Verdict::Taken;
    house.pass(2 * MINUTE).await;
    assert_eq!(house.count("call.started", "taken"), 500);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_ends_before_the_node_does_but_is_not_waited_for_for_ever() {
    for (answers_after, is_taken) in [(4_000, 1), (6_000, 0)] {
        let house = House::new(&ALL);
        house.door.gate.forget_permits(usize::MAX);
        house.whole(1).await;
        house.pass(10).await;
        house.stopping.cancel();
        house.pass(answers_after).await;
        assert_eq!(house.work.is_finished(), is_taken == 0);
        house.door.gate.add_permits(1);
        house.pass(10).await;
        assert_eq!(house.count("call.started", "taken"), is_taken, "{answers_after} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_counted_and_what_is_not_kept() {
    let house = House::keeping(FeedBounds { calls: 2, ..KEPT }, &ALL);
    *house.door.otherwise.lock() = TROUBLE;
    let metrics = |house: &House| {
        ["waiting", "oldest_seconds", "dropped"].map(|name| house.metric(&format!("switchboard_webhooks_{name}")))
    };
    house.begin(1).await;
    house.pass(11_000).await;
    assert_eq!(metrics(&house), [1, 10, 0]);
    house.begin(2).await;
    house.begin(3).await;
    house.pass(10_000).await;
    assert_eq!(metrics(&house), [2, 20, 1]);
}

#[tokio::test(start_paused = true)]
async fn bodies_hold_nothing_that_people_are_called_or_have_said() {
    let house = House::new(&ALL);
    let call = house.begin(1).await;
    let over = house.end(&call).await;
    for milestone in Milestone::of(Some(&call), &over, None) {
        let event = Event::of(&milestone);
        assert!(!String::from_utf8(event.body).unwrap().contains("MARKER"));
    }
}
