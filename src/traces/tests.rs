//! What is told of what: parents, links, and what is left out.

use super::*;
use crate::call::{Actor, CallType, CallerDisplay, Initiation, Outcome, Request, Rules, Transition};
use crate::ids::{DeviceId, UserId};
use crate::traces::span::Value;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

struct House {
    traces: Traces,
    told: mpsc::Receiver<Span>,
    metrics: Arc<Metrics>,
}

impl House {
    fn new(ratio: f64) -> Self {
        let (queue, told) = mpsc::channel(QUEUE);
        let (clock, _) = Clock::set_by_hand(NOW);
        let metrics = Metrics::new();
        let sampler = Sampler::new(ratio);
        let recorder = Recorder { sampler, clock, queue, metrics: metrics.clone() };
        Self { traces: Traces(Some(Arc::new(recorder))), told, metrics }
    }

    fn told(&mut self) -> Vec<Span> {
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }

    fn request(&self, call: Option<CallId>) -> Scope {
        self.traces.request("call_accept", call, NOW).unwrap()
    }

    /// Sends something, and answers with what goes along.
    fn send(&self, call: CallId, begins: bool) -> Option<Context> {
        self.traces.sending("commit", call, begins).map(|sending| sending.context())
    }
}

fn names(spans: &[Span]) -> Vec<&str> {
    spans.iter().map(|span| &*span.name).collect()
}

fn said(span: &Span, key: &str) -> Option<String> {
    let (_, value) = span.attributes.iter().find(|(said, _)| *said == key)?;
    Some(match value {
        Value::Text(text) => text.to_string(),
        Value::Number(number) => number.to_string(),
    })
}

#[tokio::test]
async fn a_message_is_told_below_the_commit_below_the_request_below_the_call() {
    let mut house = House::new(1.0);
    let call = CallId::random();
    let session = SessionId::parse("s1").unwrap();
    let context = house.request(Some(call)).run(async {
        let context = house.send(call, false).unwrap();
        house.traces.delivered(context, call, "call_accept", NOW, &session, None);
        answered("ok", false);
        context
    });
    let context = context.await;
    let told = house.told();
    assert_eq!(names(&told), ["deliver call_accept", "commit", "call_accept"]);
    let [delivery, commit, request] = &told[..] else { unreachable!() };
    assert_eq!(request.parent, Some(Context::of_call(call).span));
    assert_eq!((commit.parent, commit.context), (Some(request.context.span), context));
    assert_eq!(delivery.parent, Some(commit.context.span));
    assert!(told.iter().all(|span| span.context.trace == TraceId::of(call) && span.link.is_none()));
    assert!(told.iter().all(|span| span.start <= span.end && said(span, "call.id") == Some(call.to_string())));
    assert_eq!((said(request, "answer").as_deref(), said(delivery, "session.id").as_deref()), (Some("ok"), Some("s1")));
}

#[tokio::test]
async fn a_request_that_begins_a_call_is_in_its_trace() {
    let mut house = House::new(1.0);
    let (lost, call) = (CallId::random(), CallId::random());
    let scope = house.request(None);
    let contexts = scope.run(async {
        let contexts = [house.send(lost, true), house.send(call, true)];
        about(call);
        contexts
    });
    let contexts = contexts.await;
    assert_eq!(contexts[1].unwrap().trace, TraceId::of(call));
    let told = house.told();
    assert_eq!(names(&told), ["commit", "commit", "call_accept"]);
    assert!(told.iter().all(|span| span.context.trace == TraceId::of(call)), "what came to nothing is told there too");
}

#[tokio::test]
async fn a_request_about_no_call_is_not_told() {
    let mut house = House::new(1.0);
    house.request(None).run(async { answered("E001", false) }).await;
    assert_eq!(house.told().len(), 0);
}

#[tokio::test]
async fn another_call_that_ends_by_a_request_is_linked() {
    let mut house = House::new(1.0);
    let (call, other) = (CallId::random(), CallId::random());
    house.request(Some(call)).run(async { house.send(other, false) }).await;
    // Of this one nobody knows yet which call it is about.
    house.request(None).run(async { house.send(other, false) }).await;
    let told = house.told();
    assert_eq!(names(&told), ["commit", "call_accept", "commit"]);
    assert_eq!((told[0].context.trace, told[0].link), (TraceId::of(call), Some(Context::of_call(other))));
    assert_eq!((told[2].parent, told[2].link), (None, Some(Context::of_call(other))));
}

#[tokio::test]
async fn what_nobody_asked_for_is_a_trace_of_its_own_if_it_changes_anything() {
    let mut house = House::new(1.0);
    let call = CallId::random();
    house.traces.act("deadline", call, async {}).await;
    assert_eq!(house.told().len(), 0);
    house.traces.act("deadline", call, async { house.send(call, false) }).await;
    house.traces.push(call, "ring", "fcm").unwrap().note("sent", false);
    let told = house.told();
    assert_eq!(names(&told), ["commit", "deadline", "push ring"]);
    assert_eq!(told[0].parent, Some(told[1].context.span));
    assert_eq!(told[0].context.trace, told[1].context.trace);
    assert!(told.iter().all(|span| span.context.trace != TraceId::of(call)));
    assert!(told.iter().all(|span| span.link == Some(Context::of_call(call))));
    assert!(told[1..].iter().all(|span| span.parent.is_none()));
}

#[tokio::test]
async fn of_a_call_that_is_not_sampled_nothing_is_told() {
    let mut house = House::new(0.5);
    let call = CallId::from_u128(7);
    assert!(house.traces.request("call_accept", Some(call), NOW).is_none());
    assert!(house.traces.push(call, "ring", "fcm").is_none());
    house.traces.act("deadline", call, async { assert_eq!(house.send(call, false), None) }).await;
    let begun = house.request(None).run(async {
        let context = house.send(call, true);
        about(call);
        context
    });
    assert_eq!(begun.await, None);
    house.traces.call_ended(&ringing(call), &over(), "busy");
    assert_eq!(house.told().len(), 0);
}

#[tokio::test]
async fn what_was_given_up_is_told_and_no_more_than_fits() {
    let mut house = House::new(1.0);
    let call = CallId::random();
    let given_up = house.request(Some(call)).run(async {
        for _ in 0..100 {
            house.send(call, false);
        }
        std::future::pending::<()>().await;
    });
    let mut given_up = Box::pin(given_up);
    assert!(futures_util::poll!(given_up.as_mut()).is_pending());
    drop(given_up);
    let told = house.told();
    assert_eq!(told.len(), 65);
    assert_eq!(told[0].failure, Some("given_up"), "nobody has said what came of it");
}

#[tokio::test]
async fn what_finds_no_room_is_dropped_and_counted() {
    let mut house = House::new(1.0);
    for _ in 0..QUEUE + 3 {
        house.traces.call_ended(&ringing(CallId::random()), &over(), "busy");
    }
    assert_eq!(house.metrics.trace_spans.value(Traced::QueueFull), 3);
    assert_eq!(house.told().len(), QUEUE);
}

#[test]
fn the_whole_call_is_told_without_what_is_nobodys_business() {
    let mut house = House::new(1.0);
    let call = ringing(CallId::random());
    let over = Over { accepted_at: Some(Timestamp(NOW.0 + 2_000)), ..over() };
    house.traces.call_ended(&call, &over, "hung_up");
    let told = house.told();
    let [span] = &told[..] else { panic!("{told:?}") };
    assert_eq!((span.context, span.parent), (Context::of_call(call.id), None));
    assert_eq!((span.start, span.end), (nanos(NOW), nanos(Timestamp(NOW.0 + 5_001))));
    let said = |key| said(span, key).unwrap();
    assert_eq!((said("call.ring_ms"), said("call.talk_ms")), ("2000".into(), "3000".into()));
    assert_eq!((said("call.end_reason"), said("call.type")), ("hung_up".into(), "video".into()));
    assert!(!format!("{told:?}").contains("Wonderland"));
}

fn ringing(id: CallId) -> Call {
    let (user, device) = (UserId::parse("alice").unwrap(), DeviceId::parse("a1").unwrap());
    let request = Request {
        id,
        caller: Actor { user, device, registered: true },
        callee: UserId::parse("bob").unwrap(),
        call_type: CallType::Video,
        display: CallerDisplay { name: crate::call::Text::parse("Wonderland"), avatar: None },
        request_id: None,
    };
    let second = std::time::Duration::from_secs(1);
    let rules = Rules {
        ring_timeout: second,
        caller_away_timeout: second,
        away_timeout: second,
        max_duration: second,
        busy_window: second,
    };
    match Call::initiate(request, &[], &[], NOW, &rules) {
        Ok(Initiation::Ring(Transition { call, .. })) => call,
        other => panic!("it does not ring: {other:?}"),
    }
}

fn over() -> Over {
    Over { at: Timestamp(NOW.0 + 5_000), accepted_at: None, outcome: Outcome::Rejected }
}
