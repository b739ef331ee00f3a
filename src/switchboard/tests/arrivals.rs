//! What a socket is sent when it registers: what its device still needs, and nothing twice that it has (P7).

use crate::protocol::SignalKind;
use crate::switchboard::CloseReason;
use crate::switchboard::tests::{Exchange, NOTHING, Phone, registration, talking};

#[tokio::test(start_paused = true)]
async fn a_device_that_registers_late_rings() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let call = alice.call("bob").await;
    let late = [Phone::connect(&node, "bob/b1", "s2").await, Phone::connect(&node, "bob/b2", "s3").await];
    for bob in &late {
        assert_eq!(bob.events(), ["incoming_call"]);
    }
    late[0].accept(call).await.unwrap();
    assert_eq!(late[1].events(), ["call_cancelled answered_elsewhere"]);
    let too_late = Phone::connect(&node, "bob/b3", "s4").await;
    assert_eq!(too_late.events(), NOTHING);
    alice.end(call).await.unwrap();
    assert_eq!(Phone::connect(&node, "bob/b4", "s5").await.events(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_ringing_call_rings_again_after_a_restart_of_the_app() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    alice.call("bob").await;
    let (last, _) = bob.socket.numbered_events().pop().unwrap();
    bob.confirm().await;
    bob.leave().await;
    let restarted = Phone::connect(&node, "bob/b1", "s3").await;
    assert_eq!(restarted.events(), ["incoming_call"], "the app may know nothing");
    restarted.leave().await;
    let knowing = Phone::connect_after(&node, "bob/b1", "s4", Some(last)).await;
    assert_eq!(knowing.events(), NOTHING, "it says it knows");
}

#[tokio::test(start_paused = true)]
async fn of_a_call_that_ended_meanwhile_the_end_alone_comes() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let call = alice.call("bob").await;
    bob.events();
    bob.leave().await;
    alice.end(call).await.unwrap();
    let back = Phone::connect(&node, "bob/b1", "s3").await;
    assert_eq!(back.events(), ["call_end ended"]);
    back.confirm().await;
    back.leave().await;
    assert_eq!(Phone::connect(&node, "bob/b1", "s4").await.events(), NOTHING, "it has it");
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_was_away_learns_of_the_answer_and_the_offer_comes_after_it() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let call = alice.call("bob").await;
    alice.leave().await;
    bob.accept(call).await.unwrap();
    bob.signal(call, "alice", SignalKind::Candidate, "1").await.unwrap();
    let back = Phone::connect(&node, "alice/a1", "s3").await;
    assert_eq!(back.events(), ["call_accept", "ice_candidate 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_into_a_dead_connection_comes_again_and_a_description_that_was_answered_does_not() {
    let node = Exchange::new().node();
    let (alice, bob, call) = talking(&node, &node).await;
    bob.confirm().await;
    alice.signal(call, "bob", SignalKind::Offer, "v=0").await.unwrap();
    alice.signal(call, "bob", SignalKind::Candidate, "1").await.unwrap();
    bob.leave().await;
    // Nothing had come back after the offer: it was lost with the connection.
    let back = Phone::connect(&node, "bob/b1", "s3").await;
    assert_eq!(back.events(), ["sdp_offer v=0", "ice_candidate 1"]);
    back.socket.say();
    back.leave().await;
    // The client has spoken after the offer, too soon after the candidate to be sure of that one.
    let again = Phone::connect(&node, "bob/b1", "s4").await;
    assert_eq!(again.events(), ["ice_candidate 1"]);
    again.confirm().await;
    again.leave().await;
    assert_eq!(Phone::connect(&node, "bob/b1", "s5").await.events(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_counts_is_sent_what_comes_after() {
    let node = Exchange::new().node();
    let (alice, bob, call) = talking(&node, &node).await;
    for index in 1..=4 {
        alice.signal(call, "bob", SignalKind::Candidate, &index.to_string()).await.unwrap();
    }
    let (second, _) = bob.socket.numbered_events().swap_remove(1);
    bob.confirm().await;
    bob.leave().await;
    let back = Phone::connect_after(&node, "bob/b1", "s3", Some(second)).await;
    assert_eq!(back.events(), ["ice_candidate 3", "ice_candidate 4"]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_socket_of_the_device_takes_over() {
    let node = Exchange::new().node();
    let (alice, old, call) = talking(&node, &node).await;
    old.confirm().await;
    alice.signal(call, "bob", SignalKind::Candidate, "1").await.unwrap();
    let new = Phone::connect(&node, "bob/b1", "s-new").await;
    assert_eq!(old.socket.closed(), [CloseReason::Displaced]);
    assert_eq!(new.events(), ["ice_candidate 1"], "not known to have arrived");
    old.events();
    alice.signal(call, "bob", SignalKind::Candidate, "2").await.unwrap();
    assert_eq!((old.events(), new.events()), (vec![], vec!["ice_candidate 2".to_owned()]));
    old.leave().await;
    alice.signal(call, "bob", SignalKind::Candidate, "3").await.unwrap();
    assert_eq!(new.events(), ["ice_candidate 3"], "the old one took nothing along");
    assert_eq!(new.socket.closed(), []);
}

#[tokio::test(start_paused = true)]
async fn an_old_position_does_not_outlast_the_new_socket() {
    let node = Exchange::new().node();
    let (alice, old, call) = talking(&node, &node).await;
    let new = Phone::connect(&node, "bob/b1", "s-new").await;
    new.events();
    alice.signal(call, "bob", SignalKind::Candidate, "1").await.unwrap();
    new.confirm().await;
    new.leave().await;
    old.leave().await;
    assert_eq!(Phone::connect(&node, "bob/b1", "s-newest").await.events(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn an_unnamed_device_finds_its_call_again() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/", "s2").await;
    assert_eq!(bob.seat.device().as_str(), "s2");
    let call = alice.call("bob").await;
    bob.accept(call).await.unwrap();
    bob.confirm().await;
    bob.leave().await;
    alice.signal(call, "bob", SignalKind::Offer, "v=0").await.unwrap();
    let back = Phone::connect(&node, "bob/", "s3").await;
    assert_eq!(back.seat.device().as_str(), "s2");
    assert_eq!(back.events(), ["sdp_offer v=0"]);
    back.signal(call, "alice", SignalKind::Answer, "v=1").await.unwrap();
    assert_eq!(alice.events(), ["call_accept", "sdp_answer v=1"]);
}

#[tokio::test(start_paused = true)]
async fn registering_again_displaces_nobody() {
    let node = Exchange::new().node();
    let (alice, bob, call) = talking(&node, &node).await;
    node.register_again(&bob.seat, registration(&node, "bob/b1", "s-b1")).await.unwrap();
    assert_eq!(bob.socket.closed(), []);
    alice.end(call).await.unwrap();
    assert_eq!(bob.events(), ["call_end ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_signed_out_is_not_rung() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let (bob, other) = (Phone::connect(&node, "bob/b1", "s2").await, Phone::connect(&node, "bob/b2", "s3").await);
    node.unregister(&bob.seat).await.unwrap();
    alice.call("bob").await;
    assert_eq!((bob.events(), other.events()), (vec![], vec!["incoming_call".to_owned()]));
}
