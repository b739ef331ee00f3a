//! Messages come out where their recipient is, once, in order.

use tokio::task::JoinSet;

use crate::backplane::conformance::{LIMITS, Lab, TestNode, end_of, far, incoming, ringing, signal, user, within};
use crate::backplane::{Commit, Outgoing};
use crate::ids::CallId;
use crate::traces::Context;

pub(crate) async fn only_nodes_that_subscribed_are_brought_messages(lab: impl Lab) {
    let nodes = [TestNode::new(&lab).await, TestNode::new(&lab).await, TestNode::new(&lab).await];
    let (alice, bob) = (user("alice"), user("bob"));
    for (node, name) in [(&nodes[0], &alice), (&nodes[1], &bob), (&nodes[2], &bob)] {
        node.backplane.subscribe(name).await.unwrap();
        node.backplane.subscribe(name).await.unwrap();
    }
    let (to_alice, to_bob) = (CallId::random(), CallId::random());
    nodes[0].send(end_of(to_alice, &alice)).await;
    nodes[0].send(end_of(to_bob, &bob)).await;
    // Each of them once, although they subscribed twice.
    assert_eq!(nodes[0].delivered_so_far(&alice).await, [to_alice]);
    assert_eq!(nodes[1].delivered_so_far(&bob).await, [to_bob]);
    let (_, fence) = nodes[2].delivered().await;
    assert_eq!(fence.payload.call_id(), to_bob);

    nodes[1].backplane.unsubscribe(&bob).await;
    nodes[1].backplane.unsubscribe(&bob).await;
    nodes[1].backplane.subscribe(&alice).await.unwrap();
    nodes[0].send(end_of(CallId::random(), &bob)).await;
    assert_eq!(nodes[1].delivered_so_far(&alice).await, []);
}

pub(crate) async fn every_node_sees_the_same_order(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let bob = user("bob");
    one.backplane.subscribe(&bob).await.unwrap();
    two.backplane.subscribe(&bob).await.unwrap();
    let mut senders = JoinSet::new();
    for sender in 0..LIMITS.inbox_messages {
        let node = if sender % 2 == 0 { &one } else { &two };
        let (backplane, outgoing) = (node.backplane.clone(), signal(CallId::random(), &bob, 10));
        senders.spawn(async move { backplane.send(outgoing, None).await });
    }
    within(senders.join_all()).await;
    let inbox = one.inbox(&bob).await;
    assert_eq!(inbox.len(), LIMITS.inbox_messages);
    for node in [&one, &two] {
        for kept in &inbox {
            assert_eq!(node.delivered().await, (bob.clone(), kept.clone()));
        }
    }
}

pub(crate) async fn what_was_missed_is_in_the_inbox(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let bob = user("bob");
    let calls = [CallId::random(), CallId::random(), CallId::random()];
    node.backplane.subscribe(&bob).await.unwrap();
    node.send(end_of(calls[0], &bob)).await;
    let (_, last) = node.delivered().await;
    node.backplane.unsubscribe(&bob).await;
    node.send(end_of(calls[1], &bob)).await;
    node.backplane.subscribe(&bob).await.unwrap();
    node.send(end_of(calls[2], &bob)).await;
    let (_, live) = node.delivered().await;
    let missed = node.inbox_after(&bob, last.id).await;
    let missed_calls: Vec<_> = missed.iter().map(|delivery| delivery.payload.call_id()).collect();
    assert_eq!(missed_calls, calls[1..]);
    assert_eq!(missed[1], live, "what comes both ways has one id");
}

pub(crate) async fn a_commit_brings_its_messages_in_order(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let (alice, bob) = (user("alice"), user("bob"));
    two.backplane.subscribe(&alice).await.unwrap();
    two.backplane.subscribe(&bob).await.unwrap();
    let call = ringing(far());
    let outbox =
        vec![incoming(call.id, &bob), end_of(call.id, &alice), signal(call.id, &bob, 1), end_of(call.id, &bob)];
    let commit = Commit {
        expected: one.expected_new(&call).await,
        call: call.into(),
        outbox: outbox.clone(),
        milestones: Vec::new(),
        entries: Vec::new(),
    };
    one.backplane.commit(commit).await.unwrap();
    for name in [&alice, &bob] {
        let kept = one.inbox(name).await;
        let sent: Vec<_> = outbox.iter().filter(|outgoing| outgoing.user == *name).collect();
        assert!(kept.iter().map(|kept| &*kept.payload).eq(sent.iter().map(|sent| &sent.payload)));
    }
    let mut came = [Vec::new(), Vec::new()];
    for _ in &outbox {
        let (to, delivery) = two.delivered().await;
        came[usize::from(to == bob)].push(delivery);
    }
    assert_eq!(came, [one.inbox(&alice).await, one.inbox(&bob).await]);
}

pub(crate) async fn a_message_has_its_place_in_a_trace_with_it(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let bob = user("bob");
    two.backplane.subscribe(&bob).await.unwrap();
    let place = Context::parse("00-67e5504410b1426f9247bb680e5fe0c8-67e5504410b1426f-01");
    assert!(place.is_some());
    let call = ringing(far());
    let outbox = vec![incoming(call.id, &bob), Outgoing { trace: place, ..signal(call.id, &bob, 1) }];
    let commit = Commit {
        expected: one.expected_new(&call).await,
        call: call.into(),
        outbox,
        milestones: Vec::new(),
        entries: Vec::new(),
    };
    one.backplane.commit(commit).await.unwrap();
    one.send(Outgoing { trace: place, ..end_of(CallId::random(), &bob) }).await;
    for trace in [None, place, place] {
        assert_eq!(two.delivered().await.1.trace, trace);
    }
    let kept: Vec<_> = two.inbox(&bob).await.iter().map(|kept| kept.trace).collect();
    assert_eq!(kept, [None, place, place], "whoever comes late is told of there too");
}
