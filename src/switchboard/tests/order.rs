//! Answers before their consequences (P2), and what one side says in the order it was said (P1).

use crate::protocol::SignalKind;
use crate::switchboard::tests::{Exchange, FakeSocket, NOTHING, Phone, registration, talking};

#[tokio::test(start_paused = true)]
async fn a_caller_has_its_answer_before_it_hears_of_the_call() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    alice.seat.hold();
    let call = alice.call("bob").await;
    bob.accept(call).await.unwrap();
    bob.end(call).await.unwrap();
    assert_eq!(alice.events(), NOTHING);
    alice.seat.release();
    assert_eq!(alice.events(), ["call_accept", "call_end ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_callee_has_its_answer_before_it_hears_the_offer() {
    let node = Exchange::new().node();
    let alice = Phone::connect(&node, "alice/a1", "s1").await;
    let bob = Phone::connect(&node, "bob/b1", "s2").await;
    let call = alice.call("bob").await;
    assert_eq!(bob.events(), ["incoming_call"]);
    bob.seat.hold();
    bob.accept(call).await.unwrap();
    assert_eq!(alice.events(), ["call_accept"]);
    alice.signal(call, "bob", SignalKind::Offer, "v=0").await.unwrap();
    alice.signal(call, "bob", SignalKind::Candidate, "1").await.unwrap();
    assert_eq!(bob.events(), NOTHING);
    bob.seat.release();
    alice.signal(call, "bob", SignalKind::Candidate, "2").await.unwrap();
    assert_eq!(bob.events(), ["sdp_offer v=0", "ice_candidate 1", "ice_candidate 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_comes_back_during_a_call_hears_it_in_order() {
    let exchange = Exchange::new();
    let (one, two) = (exchange.node(), exchange.node());
    let (alice, bob, call) = talking(&one, &two).await;
    bob.confirm().await;
    bob.leave().await;
    let say = async |index: u32| {
        let kind = if index == 0 { SignalKind::Offer } else { SignalKind::Candidate };
        alice.signal(call, "bob", kind, &index.to_string()).await.unwrap();
    };
    for index in 0..3 {
        say(index).await;
    }
    let socket = FakeSocket::new(one.clock);
    let arrival = one.register(registration(&one, "bob/b1", "s-new"), None, socket.clone()).await.unwrap();
    for index in 3..6 {
        say(index).await;
    }
    assert_eq!(socket.events(), NOTHING, "not before the answer to register");
    one.go_live(arrival).await.unwrap();
    say(6).await;
    let candidates = (1..=6).map(|index| format!("ice_candidate {index}"));
    assert_eq!(socket.events(), ["sdp_offer 0".to_owned()].into_iter().chain(candidates).collect::<Vec<_>>());
}
