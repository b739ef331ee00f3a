//! How a call begins: who rings, who is busy, and what is the same call again.

use crate::call::tests::{
    RULES, Trace, accept, away, by, call_id, device, end, missed, others_declined, reject, rings, talks, text,
    unregistered, user,
};
use crate::call::{
    Actor, Audience, Call, CallType, CallerDisplay, Decision, Effect, EndReason, Event, Initiation, Notice, Outcome,
    Refusal, Request, State, Transition, Wake, calls_to_leave,
};
use crate::clock::Timestamp;
use crate::ids::{CallId, RequestId};

const NEW: u128 = 9;

fn request(caller: Actor, callee: &str) -> Request {
    Request {
        id: CallId::from_u128(NEW),
        caller,
        callee: user(callee),
        call_type: CallType::Video,
        display: CallerDisplay { name: text("Carol"), avatar: text("https://example.org/c.png") },
        request_id: RequestId::parse("r1"),
    }
}

/// The beginning at `now`, given the calls each side has.
fn begin(request: Request, caller_calls: &[Call], callee_calls: &[Call], now: u64) -> Initiation {
    Call::initiate(request, caller_calls, callee_calls, Timestamp(now), &RULES).unwrap()
}

/// Whether Carol, who calls `callee` at `now`, finds them busy with `call`.
fn is_busy(callee: &str, call: &Call, now: u64) -> bool {
    match begin(request(by("carol/c1"), callee), &[], std::slice::from_ref(call), now) {
        Initiation::Busy(_) => true,
        Initiation::Ring(_) => false,
        Initiation::Same(call) => panic!("{call:?} is not Carol's"),
    }
}

fn told(at: u64, name: &str, audience: Audience, event: Event) -> Effect {
    let notice = Notice { call_id: CallId::from_u128(NEW), at: Timestamp(at), event };
    Effect::Tell { user: user(name), audience, notice }
}

#[test]
fn every_device_of_the_callee_rings_and_the_sleeping_ones_are_woken() {
    let Initiation::Ring(Transition { call, effects }) = begin(request(by("carol/c1"), "bob"), &[], &[], 7_000) else {
        panic!("it does not ring");
    };
    let incoming = Event::Incoming {
        caller: user("carol"),
        display: request(by("carol/c1"), "bob").display,
        call_type: CallType::Video,
    };
    let wake = Effect::Wake { user: user("bob"), wake: Wake::Ring };
    assert_eq!(effects, [told(7_000, "bob", Audience::All, incoming), wake]);
    assert_eq!(call.state, rings(52_000, None));
    assert_eq!(call.created_at, Timestamp(7_000));
    assert_eq!((call.caller.user.as_str(), call.caller.device.as_str()), ("carol", "c1"));
    assert_eq!((call.callee, call.request_id), (user("bob"), RequestId::parse("r1")));
}

#[test]
fn nobody_calls_themselves() {
    for actor in [by("bob/b1"), unregistered("bob/s7")] {
        let refused = Call::initiate(request(actor, "bob"), &[], &[], Timestamp(0), &RULES);
        assert_eq!(refused.unwrap_err(), Refusal::SelfCall);
    }
}

#[test]
fn a_busy_callee_is_not_disturbed() {
    let ringing = Trace::ringing().call;
    let begun = begin(request(by("carol/c1"), "bob"), &[], &[ringing], 7_000);
    let Initiation::Busy(Transition { call, effects }) = begun else { panic!("Bob is not busy") };
    let only_caller = Audience::Only(device("c1"));
    let declined = Event::Rejected { callee: user("bob"), reason: text("busy") };
    assert_eq!(effects, [told(7_000, "carol", only_caller, declined)]);
    let State::Over(over) = call.state else { panic!("a busy call is over at once") };
    assert_eq!((over.at, over.accepted_at, over.outcome), (Timestamp(7_000), None, Outcome::Rejected));
}

#[test]
fn both_parties_of_a_ringing_call_are_busy() {
    let ringing = Trace::ringing().call;
    assert!(is_busy("bob", &ringing, 1_000) && is_busy("alice", &ringing, 1_000));
}

#[test]
fn a_call_whose_caller_is_away_makes_nobody_busy() {
    let waiting = Trace::ringing().changes(away("alice/a1"), vec![]).call;
    assert!(!is_busy("bob", &waiting, 1_000) && !is_busy("alice", &waiting, 1_000));
}

#[test]
fn talking_makes_busy_for_a_while() {
    let accepted = Trace::accepted().call;
    for name in ["alice", "bob"] {
        assert!(is_busy(name, &accepted, 300_999));
        assert!(!is_busy(name, &accepted, 301_000));
    }
}

#[test]
fn a_call_that_lost_a_party_makes_nobody_busy() {
    for who in ["alice/a1", "bob/b1"] {
        let broken = Trace::accepted().changes(away(who), vec![]).call;
        assert!(!is_busy("alice", &broken, 2_000) && !is_busy("bob", &broken, 2_000));
    }
}

#[test]
fn a_call_that_is_over_makes_nobody_busy() {
    let over = Trace::over(Outcome::Rejected).call;
    assert!(!is_busy("alice", &over, 2_000) && !is_busy("bob", &over, 2_000));
}

#[test]
fn calls_of_others_make_nobody_busy() {
    assert!(!is_busy("dave", &Trace::accepted().call, 2_000));
}

#[test]
fn when_two_call_each_other_the_second_finds_the_first_busy() {
    let ringing = Trace::ringing().call;
    let calls = std::slice::from_ref(&ringing);
    let begun = begin(request(by("bob/b1"), "alice"), calls, calls, 1_000);
    assert!(matches!(begun, Initiation::Busy(_)));
}

#[test]
fn the_same_device_calling_again_gets_the_same_call() {
    let ringing = Trace::ringing().call;
    let calls = std::slice::from_ref(&ringing);
    let Initiation::Same(same) = begin(request(by("alice/a1"), "bob"), calls, calls, 2_000) else {
        panic!("a new call has begun");
    };
    assert_eq!(same, ringing);
}

#[test]
fn what_differs_is_another_call() {
    let ringing = Trace::ringing().call;
    let accepted = Trace::accepted().call;
    let audio = Request { call_type: CallType::Audio, ..request(by("alice/a1"), "bob") };
    for (request, call) in [
        (audio, &ringing),
        (request(by("alice/a2"), "bob"), &ringing),
        (request(unregistered("alice/s7"), "bob"), &ringing),
        (request(by("alice/a1"), "bob"), &accepted),
    ] {
        let calls = std::slice::from_ref(call);
        let begun = begin(request, calls, calls, 2_000);
        assert!(matches!(begun, Initiation::Busy(_)), "{begun:?}");
    }
    let calls = std::slice::from_ref(&ringing);
    assert!(matches!(begin(request(by("alice/a1"), "dave"), calls, &[], 2_000), Initiation::Ring(_)));
}

#[test]
fn one_who_asks_again_is_told_where_the_call_stands() {
    let now = Timestamp(9_000);
    let repeat = |trace: Trace| trace.call.repeat(now);
    assert_eq!(repeat(Trace::ringing()), None);
    let callee = user("bob");
    let ended = Event::Ended { ended_by: None, reason: EndReason::ConnectionLost };
    for (trace, event) in [
        (Trace::accepted(), Event::Accepted { callee: callee.clone() }),
        (Trace::over(Outcome::Rejected), Event::Rejected { callee, reason: None }),
        (Trace::over(Outcome::TimedOut), Event::NoAnswer),
        (Trace::over(Outcome::Ended(EndReason::ConnectionLost)), ended),
    ] {
        let notice = Notice { call_id: call_id(), at: now, event };
        let told = Effect::Tell { user: user("alice"), audience: Audience::Only(device("a1")), notice };
        assert_eq!(repeat(trace), Some(told));
    }
}

#[test]
fn a_device_leaves_the_calls_it_dials_or_talks_in() {
    let (ringing, accepted) = (Trace::ringing().call, Trace::accepted().call);
    let over = Trace::over(Outcome::Rejected).call;
    let leaves = |actor: Actor, call: &Call| !calls_to_leave(&actor, std::slice::from_ref(call), None).is_empty();
    assert!(leaves(by("alice/a1"), &ringing));
    assert!(leaves(by("alice/a1"), &accepted));
    assert!(leaves(by("bob/b1"), &accepted));
    for who in ["bob/b1", "alice/a2", "mallory/a1"] {
        assert!(!leaves(by(who), &ringing), "{who} only rings, or is not in it");
    }
    for who in ["bob/b2", "alice/a2", "mallory/a1", "mallory/b1"] {
        assert!(!leaves(by(who), &accepted), "{who}");
    }
    for who in ["alice/a1", "bob/b1"] {
        assert!(!leaves(by(who), &over), "{who}");
    }
}

#[test]
fn the_call_that_is_turned_to_is_kept() {
    let first = Trace::accepted().call;
    let second = Call { id: CallId::from_u128(2), ..Trace::accepted().call };
    let calls = [first, second];
    assert_eq!(calls_to_leave(&by("bob/b1"), &calls, None), [call_id(), CallId::from_u128(2)]);
    assert_eq!(calls_to_leave(&by("bob/b1"), &calls, Some(call_id())), [CallId::from_u128(2)]);
}

#[test]
fn a_new_call_can_be_answered_declined_and_hung_up() {
    let Initiation::Ring(Transition { call, .. }) = begin(request(by("alice/a1"), "bob"), &[], &[], 1_000) else {
        panic!("it does not ring");
    };
    let decide = |command| match call.decide(command, Timestamp(2_000), &RULES) {
        Ok(Decision::Changed(transition)) => transition,
        other => panic!("{other:?}"),
    };
    assert_eq!(decide(accept(by("bob/b1"))).call.state, talks(2_000, "b1", None, None));
    for (transition, last) in
        [(decide(reject(by("bob/b1"))), others_declined("b1")), (decide(end(by("alice/a1"))), missed())]
    {
        assert!(!transition.call.is_live());
        assert_eq!(transition.effects.last(), Some(&last));
    }
}
