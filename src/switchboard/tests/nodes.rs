//! Two nodes over one backplane behave as one.

use crate::protocol::SignalKind;
use crate::switchboard::CloseReason;
use crate::switchboard::tests::{Exchange, NOTHING, Phone, RULES, talking};

#[tokio::test(start_paused = true)]
async fn a_call_from_one_node_to_another() {
    let exchange = Exchange::new();
    let (one, two) = (exchange.node(), exchange.node());
    let (alice, bob, call) = talking(&one, &two).await;
    alice.signal(call, "bob", SignalKind::Offer, "v=0").await.unwrap();
    for index in 1..=3 {
        alice.signal(call, "bob", SignalKind::Candidate, &index.to_string()).await.unwrap();
    }
    bob.signal(call, "alice", SignalKind::Answer, "v=1").await.unwrap();
    bob.end(call).await.unwrap();
    assert_eq!(bob.events(), ["sdp_offer v=0", "ice_candidate 1", "ice_candidate 2", "ice_candidate 3"]);
    assert_eq!(alice.events(), ["sdp_answer v=1", "call_end ended"]);
}

#[tokio::test(start_paused = true)]
async fn the_devices_of_a_user_ring_on_every_node() {
    let exchange = Exchange::new();
    let (one, two) = (exchange.node(), exchange.node());
    let alice = Phone::connect(&one, "alice/a1", "s1").await;
    let bobs = [Phone::connect(&one, "bob/b1", "s2").await, Phone::connect(&two, "bob/b2", "s3").await];
    let call = alice.call("bob").await;
    let results = tokio::join!(bobs[1].accept(call), bobs[0].accept(call));
    assert!(results.0.is_ok() && results.1.is_err());
    assert_eq!(alice.events(), ["call_accept"]);
    assert_eq!(bobs[0].events(), ["incoming_call", "call_cancelled answered_elsewhere"]);
    assert_eq!(bobs[1].events(), ["incoming_call"]);
}

#[tokio::test(start_paused = true)]
async fn a_device_moves_to_another_node_without_losing_anything() {
    let exchange = Exchange::new();
    let (one, two) = (exchange.node(), exchange.node());
    let (alice, old, call) = talking(&one, &one).await;
    alice.signal(call, "bob", SignalKind::Candidate, "1").await.unwrap();
    old.confirm().await;
    alice.signal(call, "bob", SignalKind::Candidate, "2").await.unwrap();
    let new = Phone::connect(&two, "bob/b1", "s-new").await;
    assert_eq!(old.socket.closed(), [CloseReason::Displaced]);
    assert_eq!(new.events(), ["ice_candidate 2"], "the first was confirmed on the old node");
    alice.signal(call, "bob", SignalKind::Candidate, "3").await.unwrap();
    old.leave().await;
    alice.signal(call, "bob", SignalKind::Candidate, "4").await.unwrap();
    assert_eq!(old.events(), ["ice_candidate 1", "ice_candidate 2"]);
    assert_eq!(new.events(), ["ice_candidate 3", "ice_candidate 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_seat_that_is_given_up_leaves_the_others_of_its_user_connected() {
    let exchange = Exchange::new();
    let (one, two) = (exchange.node(), exchange.node());
    let alice = Phone::connect(&one, "alice/a1", "s1").await;
    let bobs = [Phone::connect(&two, "bob/b1", "s2").await, Phone::connect(&two, "bob/b2", "s3").await];
    bobs[0].leave().await;
    let call = alice.call("bob").await;
    assert_eq!((bobs[0].events(), bobs[1].events()), (vec![], vec!["incoming_call".to_owned()]));
    alice.end(call).await.unwrap();
    bobs[1].events();
    bobs[1].confirm().await;
    bobs[1].leave().await;
    alice.call("bob").await;
    assert_eq!(bobs[1].events(), NOTHING);
    assert_eq!(Phone::connect(&one, "bob/b2", "s4").await.events(), ["incoming_call"]);
}

#[tokio::test(start_paused = true)]
async fn any_node_acts_on_the_deadlines_of_all() {
    let exchange = Exchange::new();
    let one = exchange.node();
    let (_two, watch) = exchange.watched_node();
    let alice = Phone::connect(&one, "alice/a1", "s1").await;
    let bob = Phone::connect(&one, "bob/b1", "s2").await;
    alice.call("bob").await;
    tokio::time::advance(RULES.ring_timeout).await;
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(alice.events(), ["call_timeout No answer from callee"]);
    assert_eq!(bob.events(), ["incoming_call", "call_timeout Call timeout"]);
    watch.end().await;
}
