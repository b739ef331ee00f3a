//! Calls from end to end on one node: who is told what, and who may do what.

use crate::backplane::Registration;
use crate::call::{Actor, Elsewhere, Refusal, Silence, Verb, Wake};
use crate::ids::{CallId, DeviceId, PushToken, PushTokenKind, PushTokens, SessionId};
use crate::protocol::{Reachability, SignalKind};
use crate::switchboard::Failure;
use crate::switchboard::tests::{
    Exchange, FakeSocket, NOTHING, Phone, new_call, registration, requested, signal_request, talking, user,
};

fn refused(refusal: Refusal) -> Result<(), Failure> {
    Err(Failure::Refused(refusal))
}

#[tokio::test(start_paused = true)]
async fn one_device_answers_and_the_others_stop_ringing() {
    let exchange = Exchange::new();
    let node = exchange.node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let other_alice = Phone::connect(&node, "alice/a2", "s2").await;
    let bobs = [Phone::connect(&node, "bob/b1", "s3").await, Phone::connect(&node, "bob/b2", "s4").await];
    let begun = node.initiate(&alice.actor(), new_call("bob")).await.unwrap();
    assert_eq!(begun.reachability, Reachability::Online);
    let call = begun.call_id;
    for bob in &bobs {
        assert_eq!(bob.events(), ["incoming_call"]);
    }
    bobs[0].accept(call).await.unwrap();
    assert_eq!(
        (alice.events(), bobs[1].events()),
        (vec!["call_accept".to_owned()], vec!["call_cancelled answered_elsewhere".to_owned()])
    );
    alice.signal(call, "bob", SignalKind::Offer, "v=0").await.unwrap();
    bobs[0].signal(call, "alice", SignalKind::Answer, "v=1").await.unwrap();
    alice.end(call).await.unwrap();
    assert_eq!(alice.events(), ["sdp_answer v=1"]);
    assert_eq!(bobs[0].events(), ["sdp_offer v=0", "call_end ended"]);
    assert_eq!(bobs[1].events(), NOTHING);
    assert_eq!(other_alice.events(), NOTHING);
    let stop = Wake::Stop { why: Silence::Elsewhere(Elsewhere::Answered), except: DeviceId::parse("b1") };
    let wakes = [(user("bob"), call, Wake::Ring), (user("bob"), call, stop)];
    assert_eq!(*exchange.push.wakes.lock(), wakes);
}

#[tokio::test(start_paused = true)]
async fn of_two_devices_that_answer_at_once_one_does() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bobs = [Phone::connect(&node, "bob/b1", "s2").await, Phone::connect(&node, "bob/b2", "s3").await];
    let call = alice.call("bob").await;
    let results = tokio::join!(bobs[0].accept(call), bobs[1].accept(call));
    let late = refused(Refusal::WrongState { verb: Verb::Accepted, state: "accepted" });
    assert_eq!(results, (Ok(()), late));
    assert_eq!(alice.events(), ["call_accept"]);
}

#[tokio::test(start_paused = true)]
async fn a_declined_call_is_over_for_everybody() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bobs = [Phone::connect(&node, "bob/b1", "s2").await, Phone::connect(&node, "bob/b2", "s3").await];
    let call = alice.call("bob").await;
    bobs[0].reject(call).await.unwrap();
    assert_eq!(bobs[1].reject(call).await, refused(Refusal::WrongState { verb: Verb::Rejected, state: "rejected" }));
    assert_eq!((alice.end(call).await, bobs[1].end(call).await), (Ok(()), Ok(())), "ending twice is no mistake");
    assert_eq!(alice.events(), ["call_reject declined"]);
    assert_eq!(bobs[0].events(), ["incoming_call"]);
    assert_eq!(bobs[1].events(), ["incoming_call", "call_cancelled declined_elsewhere"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_else_touches_a_call() {
    let node = Exchange::new().node();
    let (alice, bob, call) = talking(&node, &node).await;
    let mallory = Phone::connect(&node, "mallory/m1", "s9").await;
    let other_bob = Phone::connect(&node, "bob/b2", "s8").await;
    assert_eq!(mallory.accept(call).await, refused(Refusal::NotTheCallee));
    assert_eq!(mallory.reject(call).await, refused(Refusal::NotTheCallee));
    assert_eq!(mallory.end(call).await, refused(Refusal::NotAParticipant));
    for (phone, to) in
        [(&mallory, "bob"), (&mallory, "alice"), (&other_bob, "alice"), (&alice, "mallory"), (&bob, "bob")]
    {
        let said = phone.signal(call, to, SignalKind::Candidate, "1").await;
        assert_eq!(said, refused(Refusal::NotAParticipant), "to {to}");
    }
    for phone in [&alice, &bob, &mallory, &other_bob] {
        assert_eq!(phone.events(), NOTHING);
    }
}

#[tokio::test(start_paused = true)]
async fn signals_are_for_accepted_calls() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let call = alice.call("bob").await;
    let offer = || alice.signal(call, "bob", SignalKind::Offer, "v=0");
    assert_eq!(offer().await, refused(Refusal::NotActive));
    bob.reject(call).await.unwrap();
    assert_eq!(offer().await, refused(Refusal::NotActive));
    assert_eq!(bob.events(), ["incoming_call"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_nobody_knows_cannot_be_answered_and_is_hung_up_already() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let unknown = CallId::random();
    assert_eq!(alice.accept(unknown).await, Err(Failure::NotFound));
    assert_eq!(alice.reject(unknown).await, Err(Failure::NotFound));
    assert_eq!(alice.end(unknown).await, Ok(()));
    assert_eq!(alice.signal(unknown, "bob", SignalKind::Offer, "v=0").await, Err(Failure::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_busy_callee_is_left_alone() {
    let node = Exchange::new().node();
    let (alice, bob, call) = talking(&node, &node).await;
    let carol = Phone::connect(&node, "carol/c1", "s3").await;
    let refused = carol.call("bob").await;
    assert_ne!(refused, call);
    assert_eq!(carol.events(), ["call_reject busy"]);
    assert_eq!((alice.events(), bob.events()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn of_two_who_call_each_other_one_rings() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let (first, _) = tokio::join!(alice.call("bob"), bob.call("alice"));
    assert_eq!(bob.events(), ["incoming_call", "call_reject busy"]);
    assert_eq!(alice.events(), NOTHING);
    bob.accept(first).await.unwrap();
    assert_eq!(alice.events(), ["call_accept"]);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_finds_the_first_call() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let initiate = |new| async { node.initiate(&alice.actor(), new).await.unwrap().call_id };
    let (first, second) = tokio::join!(initiate(requested("bob", "r1")), initiate(requested("bob", "r1")));
    assert_eq!(first, second);
    assert_eq!(initiate(new_call("bob")).await, first, "the same call, whatever it is called");
    assert_eq!(bob.events(), ["incoming_call"]);
    bob.accept(first).await.unwrap();
    assert_eq!(alice.events(), ["call_accept"]);
    assert_eq!(initiate(requested("bob", "r1")).await, first);
    assert_eq!(alice.events(), ["call_accept"], "it may have been lost like the first answer");
    bob.end(first).await.unwrap();
    let told = alice.events();
    assert_eq!(initiate(requested("bob", "r1")).await, first);
    assert_eq!(alice.events(), told, "so may its end");
    assert_ne!(initiate(requested("bob", "r2")).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_device_is_in_one_call_at_a_time() {
    let node = Exchange::new().node();
    let (alice, bob, first) = talking(&node, &node).await;
    let carol = Phone::connect(&node, "carol/c1", "s3").await;
    let dave = Phone::connect(&node, "dave/d1", "s4").await;
    let second = alice.call("carol").await;
    assert_eq!(
        (bob.events(), carol.events()),
        (vec!["call_end replaced".to_owned()], vec!["incoming_call".to_owned()])
    );
    assert_eq!(bob.signal(first, "alice", SignalKind::Candidate, "1").await, refused(Refusal::NotActive));

    // Bob dials, and answers somebody else instead.
    let dialing = bob.call("dave").await;
    assert_eq!(dave.events(), ["incoming_call"]);
    carol.end(second).await.unwrap();
    let third = Phone::connect(&node, "bob/b2", "s5").await.call("alice").await;
    alice.events();
    assert!(node.is_in_call(&bob.actor()).await.unwrap());
    alice.accept(third).await.unwrap();
    assert_eq!(dave.events(), NOTHING, "another device of Bob has nothing to do with it");
    bob.end(dialing).await.unwrap();
    assert!(!node.is_in_call(&bob.actor()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_ringing_callee_that_answers_leaves_the_call_it_dials() {
    let node = Exchange::new().node();
    let carol = Phone::connect(&node, "carol/c1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let alice = Phone::connect(&node, "alice/a1", "s3").await;
    let call = alice.call("bob").await;
    bob.call("carol").await;
    assert_eq!(carol.events(), ["incoming_call"]);
    bob.accept(call).await.unwrap();
    assert_eq!(carol.events(), ["call_end replaced"]);
    assert_eq!(alice.events(), ["call_accept"]);
}

#[tokio::test(start_paused = true)]
async fn it_says_how_the_callee_can_be_reached() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let reach = async || node.initiate(&alice.actor(), new_call("bob")).await.unwrap().reachability;
    assert_eq!(reach().await, Reachability::None);
    let with_token = Registration {
        tokens: PushTokens::from_iter([(PushTokenKind::Fcm, PushToken::parse("token").unwrap())]),
        ..registration(&node, "bob/b1", "s2")
    };
    let arrival = node.register(with_token, None, FakeSocket::new(node.clock)).await.unwrap();
    let seat = node.go_live(arrival).await.unwrap();
    assert_eq!(reach().await, Reachability::Online);
    node.leave(&seat).await.unwrap();
    assert_eq!(reach().await, Reachability::Push);
    let arrival = node.register(registration(&node, "bob/b1", "s3"), None, FakeSocket::new(node.clock)).await.unwrap();
    node.unregister(&arrival.seat).await.unwrap();
    assert_eq!(reach().await, Reachability::None, "signed out: neither rung nor woken");
}

#[tokio::test(start_paused = true)]
async fn a_socket_acts_before_it_registers_and_keeps_what_it_did() {
    let node = Exchange::new().node();
    let session = SessionId::parse("s-bob").unwrap();
    let unregistered = |name: &str, device| Actor { user: user(name), device, registered: false };
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let call = alice.call("bob").await;
    node.accept(call, &unregistered("bob", session.unnamed_device())).await.unwrap();
    assert_eq!(alice.events(), ["call_accept"]);
    alice.signal(call, "bob", SignalKind::Offer, "v=0").await.unwrap();
    // It registers by name, and its offer is there.
    let bob = Phone::connect(&node, "bob/b1", "s-bob").await;
    assert_eq!(bob.events(), ["sdp_offer v=0"]);
    bob.signal(call, "alice", SignalKind::Answer, "v=1").await.unwrap();
    assert_eq!(alice.events(), ["sdp_answer v=1"]);
    // A new socket speaks for it before it registers again.
    let buffered = signal_request(call, "alice", SignalKind::Candidate, "1");
    let new_socket = SessionId::parse("s-new").unwrap().unnamed_device();
    node.signal(buffered, &unregistered("bob", new_socket)).await.unwrap();
    assert_eq!(alice.events(), ["ice_candidate 1"]);
}
