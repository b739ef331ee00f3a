//! What time does to calls, through the task that watches it.

use std::time::Duration;

use crate::call::{Actor, Refusal, Verb};
use crate::ids::SessionId;
use crate::protocol::SignalKind;
use crate::switchboard::Failure;
use crate::switchboard::tests::{A_MOMENT, Exchange, NOTHING, Phone, RULES, device, just_before, talking, user};

/// Lets time pass, and whoever waited for it act.
async fn pass(by: Duration) {
    tokio::time::advance(by).await;
    // The watching task wakes, loads, decides and commits; each of its steps is ready at once.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_answers_and_both_sides_are_told_once() {
    let exchange = Exchange::new();
    let ((node, watch), (_, second_watch)) = (exchange.watched_node(), exchange.watched_node());
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bobs = [Phone::connect(&node, "bob/b1", "s2").await, Phone::connect(&node, "bob/b2", "s3").await];
    let call = alice.call("bob").await;
    pass(just_before(RULES.ring_timeout)).await;
    assert_eq!(alice.events(), NOTHING);
    pass(A_MOMENT).await;
    assert_eq!(alice.events(), ["call_timeout No answer from callee"]);
    for bob in &bobs {
        assert_eq!(bob.events(), ["incoming_call", "call_timeout Call timeout"]);
    }
    let late = Refusal::WrongState { verb: Verb::Accepted, state: "timeout" };
    assert_eq!(bobs[0].accept(call).await, Err(Failure::Refused(late)));
    pass(Duration::from_secs(10)).await;
    assert_eq!(alice.events(), NOTHING);
    watch.end().await;
    second_watch.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_with_the_deadline_is_too_late_for_all() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let call = alice.call("bob").await;
    tokio::time::advance(RULES.ring_timeout).await;
    let late = Refusal::WrongState { verb: Verb::Accepted, state: "timeout" };
    assert_eq!(bob.accept(call).await, Err(Failure::Refused(late)));
    assert_eq!(alice.events(), ["call_timeout No answer from callee"]);
    assert_eq!(bob.events(), ["incoming_call", "call_timeout Call timeout"]);
}

#[tokio::test(start_paused = true)]
async fn an_answered_call_is_not_timed_out() {
    let exchange = Exchange::new();
    let (node, watch) = exchange.watched_node();
    let (alice, bob, call) = talking(&node, &node).await;
    pass(RULES.ring_timeout * 2).await;
    assert_eq!((alice.events(), bob.events()), (vec![], vec![]));
    pass(RULES.max_duration).await;
    assert_eq!(alice.events(), ["call_end max_duration"]);
    assert_eq!(bob.events(), ["call_end max_duration"]);
    assert_eq!(alice.end(call).await, Ok(()));
    watch.end().await;
}

#[tokio::test(start_paused = true)]
async fn away_and_back_and_away_counts_from_the_last_time() {
    let exchange = Exchange::new();
    let (node, watch) = exchange.watched_node();
    let (alice, bob, _) = talking(&node, &node).await;
    bob.leave().await;
    pass(just_before(RULES.away_timeout)).await;
    let back = Phone::connect(&node, "bob/b1", "s3").await;
    pass(RULES.away_timeout).await;
    assert_eq!(alice.events(), NOTHING);
    back.leave().await;
    pass(just_before(RULES.away_timeout)).await;
    assert_eq!(alice.events(), NOTHING);
    pass(A_MOMENT).await;
    assert_eq!(alice.events(), ["call_end connection_lost"]);
    let returned = Phone::connect(&node, "bob/b1", "s4").await;
    assert_eq!(returned.events(), ["call_end connection_lost"]);
    watch.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_vanishes_stops_the_ringing() {
    let exchange = Exchange::new();
    let (node, watch) = exchange.watched_node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    alice.call("bob").await;
    alice.leave().await;
    pass(just_before(RULES.caller_away_timeout)).await;
    assert_eq!(bob.events(), ["incoming_call"]);
    pass(A_MOMENT).await;
    assert_eq!(bob.events(), ["call_end connection_lost"]);
    let back = Phone::connect(&node, "alice/a1", "s3").await;
    assert_eq!(back.events(), ["call_end connection_lost"]);
    watch.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_party_that_is_connected_after_all_is_not_given_up() {
    let exchange = Exchange::new();
    let (node, watch) = exchange.watched_node();
    let (alice, bob, call) = talking(&node, &node).await;
    // The departure of an old socket is written down after the arrival of the new one.
    node.away(&user("bob"), &device("b1")).await.unwrap();
    pass(RULES.away_timeout * 2).await;
    assert_eq!((alice.events(), bob.events()), (vec![], vec![]));
    alice.signal(call, "bob", SignalKind::Candidate, "1").await.unwrap();
    assert_eq!(bob.events(), ["ice_candidate 1"]);
    bob.leave().await;
    pass(RULES.away_timeout).await;
    assert_eq!(alice.events(), ["call_end connection_lost"]);
    watch.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_displaced_socket_that_leaves_is_no_departure() {
    let exchange = Exchange::new();
    let (node, watch) = exchange.watched_node();
    let (alice, old, _) = talking(&node, &node).await;
    let _new = Phone::connect(&node, "bob/b1", "s3").await;
    old.leave().await;
    pass(RULES.away_timeout * 2).await;
    assert_eq!(alice.events(), NOTHING);
    watch.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_never_registered_is_missed_too() {
    let exchange = Exchange::new();
    let (node, watch) = exchange.watched_node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let call = alice.call("bob").await;
    let session = SessionId::parse("s7").unwrap();
    let socket = Actor { user: user("bob"), device: session.unnamed_device(), registered: false };
    node.accept(call, &socket).await.unwrap();
    node.leave_unregistered(&user("bob"), &session).await.unwrap();
    pass(RULES.away_timeout).await;
    assert_eq!(alice.events(), ["call_accept", "call_end connection_lost"]);
    assert_eq!(bob.events(), ["incoming_call", "call_cancelled answered_elsewhere"]);
    watch.end().await;
}

#[tokio::test(start_paused = true)]
async fn signing_out_is_a_departure() {
    let exchange = Exchange::new();
    let (node, watch) = exchange.watched_node();
    let (alice, bob, _) = talking(&node, &node).await;
    node.unregister(&bob.seat).await.unwrap();
    pass(RULES.away_timeout).await;
    assert_eq!(alice.events(), ["call_end connection_lost"]);
    watch.end().await;
}
