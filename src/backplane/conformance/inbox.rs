//! What is kept for a user: in order, within bounds, for a while.

use crate::backplane::conformance::{
    LIMITS, Lab, PATIENCE, TestNode, accepted, end_of, far, incoming, notice, over, ringing, signal, user,
};
use crate::backplane::{Delivery, Payload};
use crate::call::{Audience, Event};
use crate::ids::{CallId, EventId};

fn ids(inbox: &[Delivery]) -> Vec<EventId> {
    inbox.iter().map(|delivery| delivery.id).collect()
}

fn is_rising(ids: &[EventId]) -> bool {
    ids.windows(2).all(|pair| pair[0] < pair[1])
}

pub(crate) async fn messages_are_kept_in_order(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let bob = user("bob");
    let call = CallId::random();
    let sent = [incoming(call, &bob), signal(call, &bob, 10), signal(call, &bob, 20), end_of(call, &bob)];
    for outgoing in &sent {
        one.send(outgoing.clone()).await;
    }
    let inbox = two.inbox(&bob).await;
    let kept: Vec<_> = inbox.iter().map(|delivery| (&delivery.audience, &*delivery.payload)).collect();
    let expected: Vec<_> = sent.iter().map(|outgoing| (&outgoing.audience, &outgoing.payload)).collect();
    assert_eq!(kept, expected);
    assert!(is_rising(&ids(&inbox)));
    for (index, delivery) in inbox.iter().enumerate() {
        let is_wanted = |at: usize| at > index || at == 0;
        let expected: Vec<_> =
            inbox.iter().enumerate().filter(|(at, _)| is_wanted(*at)).map(|(_, kept)| kept.clone()).collect();
        assert_eq!(two.inbox_after(&bob, delivery.id).await, expected, "what came after it, and the invitation");
    }
    assert_eq!(two.inbox_after(&bob, EventId(u64::MAX)).await, inbox[..1]);
    let last = two.backplane.read(&bob, EventId(0)).await.unwrap().last;
    one.send(end_of(call, &bob)).await;
    let next = two.inbox(&bob).await[4].id;
    assert!(inbox[3].id <= last && last < next, "{last:?} is between {:?} and {next:?}", inbox[3].id);
    assert_eq!(two.inbox(&user("alice")).await, []);
}

pub(crate) async fn event_ids_rise_even_when_a_user_was_forgotten(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let bob = user("bob");
    let mut seen = Vec::new();
    for _ in 0..3 {
        for _ in 0..LIMITS.inbox_messages * 2 {
            node.send(end_of(CallId::random(), &bob)).await;
        }
        seen.extend(ids(&node.inbox(&bob).await));
        node.pass(&lab, LIMITS.inbox_ttl + PATIENCE).await;
        assert_eq!(node.inbox(&bob).await, []);
    }
    assert!(is_rising(&seen), "{seen:?}");
}

pub(crate) async fn signals_go_first_when_there_are_too_many(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let bob = user("bob");
    let (ended, live) = (CallId::random(), CallId::random());
    node.send(incoming(live, &bob)).await;
    node.send(end_of(ended, &bob)).await;
    for size in 0..LIMITS.inbox_messages * 3 {
        node.send(signal(live, &bob, size)).await;
    }
    let inbox = node.inbox(&bob).await;
    assert_eq!(inbox.len(), LIMITS.inbox_messages);
    assert_eq!(*inbox[0].payload, incoming(live, &bob).payload, "the invitation outlasts the signals");
    assert_eq!(*inbox[1].payload, end_of(ended, &bob).payload);
    let newest = signal(live, &bob, LIMITS.inbox_messages * 3 - 1);
    assert_eq!(*inbox[LIMITS.inbox_messages - 1].payload, newest.payload, "the oldest signals went");

    for _ in 0..LIMITS.inbox_messages - 1 {
        node.send(incoming(CallId::random(), &bob)).await;
    }
    let inbox = node.inbox(&bob).await;
    assert_eq!(inbox.len(), LIMITS.inbox_messages);
    assert_eq!(*inbox[0].payload, end_of(ended, &bob).payload, "an end outlasts the invitations");
    assert!(inbox.iter().all(|delivery| matches!(*delivery.payload, Payload::Notice(_))));
}

pub(crate) async fn the_oldest_end_goes_first_when_there_are_only_ends(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let bob = user("bob");
    let calls: Vec<_> = (0..LIMITS.inbox_messages + 3).map(|_| CallId::random()).collect();
    for call in &calls {
        node.send(end_of(*call, &bob)).await;
    }
    assert_eq!(node.inbox_calls(&bob).await, calls[3..]);
}

pub(crate) async fn what_is_kept_is_bounded_in_bytes(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let bob = user("bob");
    let (ended, live) = (CallId::random(), CallId::random());
    node.send(end_of(ended, &bob)).await;
    for _ in 0..8 {
        node.send(signal(live, &bob, LIMITS.inbox_bytes / 4)).await;
    }
    let inbox = node.inbox(&bob).await;
    let bytes: usize = inbox.iter().map(|delivery| delivery.payload.size()).sum();
    assert!(bytes <= LIMITS.inbox_bytes && inbox.len() >= 3, "{bytes} bytes in {} messages", inbox.len());
    assert_eq!(inbox[0].payload.call_id(), ended);

    node.send(signal(live, &bob, LIMITS.inbox_bytes * 2)).await;
    assert_eq!(node.inbox_calls(&bob).await, [ended], "what never fits is not kept, and takes no end with it");
    node.send(signal(live, &bob, 10)).await;
    assert_eq!(node.inbox_calls(&bob).await, [ended, live]);
}

pub(crate) async fn the_end_of_a_call_clears_what_needed_it(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let (alice, bob) = (user("alice"), user("bob"));
    let (call, other) = (ringing(far()), ringing(far()));
    node.begin(&call).await;
    node.begin(&other).await;
    for id in [call.id, other.id] {
        node.send(incoming(id, &bob)).await;
        node.send(signal(id, &bob, 10)).await;
        node.send(notice(id, &alice, Event::Accepted { callee: bob.clone() })).await;
        node.send(signal(id, &alice, 10)).await;
    }
    node.change(accepted(call.clone(), "b1"), Vec::new()).await;
    assert_eq!(node.inbox(&bob).await.len(), 4, "it lives");
    let outbox = vec![end_of(call.id, &bob), end_of(call.id, &alice)];
    node.change(over(call.clone()), outbox).await;
    for name in [&alice, &bob] {
        let inbox = node.inbox(name).await;
        assert_eq!(node.inbox_calls(name).await, [other.id, other.id, call.id]);
        assert_eq!(*inbox[2].payload, end_of(call.id, name).payload);
        assert_eq!(inbox[2].audience, Audience::All);
    }
}

pub(crate) async fn messages_are_not_kept_for_ever(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let bob = user("bob");
    let (old, new) = (CallId::random(), CallId::random());
    node.send(end_of(old, &bob)).await;
    node.pass(&lab, LIMITS.inbox_ttl / 2).await;
    node.send(end_of(new, &bob)).await;
    assert_eq!(node.inbox_calls(&bob).await, [old, new]);
    node.pass(&lab, LIMITS.inbox_ttl / 2 + PATIENCE).await;
    assert_eq!(node.inbox_calls(&bob).await, [new]);
    node.pass(&lab, LIMITS.inbox_ttl / 2).await;
    assert_eq!(node.inbox_calls(&bob).await, []);
}
