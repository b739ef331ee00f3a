//! Deadlines: named on time, named again, and not named to everybody.

use std::collections::HashSet;
use std::time::Duration;

use crate::backplane::conformance::{LATENESS_MAX, Lab, PATIENCE, TestNode, over, ringing};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::ids::CallId;

/// How long a call that was named is left alone.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const DEADLINE_IN: Duration = Duration::from_secs(45);
/// Sooner than a waiter looks around by itself.
const SOON: Duration = Duration::from_secs(2);

fn just_before<L: Lab>(_: &L, duration: Duration) -> Duration {
    duration.saturating_sub(L::GRAIN)
}

/// Waits for a deadline and checks that it is named when it passes.
async fn named_at(lab: &impl Lab, node: &TestNode, deadline: Timestamp) -> Vec<CallId> {
    let due = lab.within(node.backplane.due(16)).await.unwrap();
    assert!(lab.now() >= deadline && lab.now() <= deadline.plus(LATENESS_MAX), "{deadline:?} at {:?}", lab.now());
    due.into_iter().map(|due| due.call).collect()
}

pub(crate) async fn a_deadline_is_named_on_time(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(lab.now().plus(DEADLINE_IN));
    let deadline = call.deadline().unwrap();
    node.begin(&call).await;
    node.pass(&lab, just_before(&lab, DEADLINE_IN)).await;
    assert_eq!(named_at(&lab, &node, deadline).await, [call.id]);
}

pub(crate) async fn what_was_not_dealt_with_is_named_again<L: Lab>(lab: L) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let call = ringing(lab.now());
    one.begin(&call).await;
    for node in [&one, &one, &two] {
        let named = named_at(&lab, node, lab.now()).await;
        assert_eq!(named, [call.id]);
        one.pass(&lab, just_before(&lab, AGAIN_AFTER)).await;
        lab.advance(L::GRAIN).await;
    }
    assert_eq!(named_at(&lab, &one, lab.now()).await, [call.id]);
    one.change(over(call), Vec::new()).await;
    one.pass(&lab, PATIENCE).await;
}

pub(crate) async fn an_earlier_deadline_wakes_who_waits(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    node.begin(&ringing(lab.now().plus(DEADLINE_IN * 2))).await;
    let sooner = ringing(lab.now().plus(DEADLINE_IN));
    let soonest = ringing(lab.now().plus(SOON));
    let begin = async {
        node.begin(&sooner).await;
        node.begin(&soonest).await;
    };
    let (due, ()) = tokio::join!(named_at(&lab, &node, soonest.deadline().unwrap()), begin);
    assert_eq!(due, [soonest.id]);
}

pub(crate) async fn a_deadline_that_moved_is_not_named_before(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(lab.now().plus(DEADLINE_IN));
    node.begin(&call).await;
    let later = ringing(lab.now().plus(DEADLINE_IN * 2));
    let deadline = later.deadline().unwrap();
    node.change(Call { state: later.state, ..call.clone() }, Vec::new()).await;
    node.pass(&lab, just_before(&lab, DEADLINE_IN * 2)).await;
    assert_eq!(named_at(&lab, &node, deadline).await, [call.id]);

    // It has been named and is to be named again; a change in between counts for more.
    let latest = ringing(lab.now().plus(DEADLINE_IN));
    let deadline = latest.deadline().unwrap();
    node.change(Call { state: latest.state, ..call.clone() }, Vec::new()).await;
    node.pass(&lab, just_before(&lab, DEADLINE_IN)).await;
    assert_eq!(named_at(&lab, &node, deadline).await, [call.id]);
}

pub(crate) async fn no_more_are_named_than_asked_for(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let mut expected = HashSet::new();
    for _ in 0..5 {
        let call = ringing(lab.now());
        node.begin(&call).await;
        expected.insert(call.id);
    }
    let mut named = HashSet::new();
    for count in [2, 2, 1] {
        let due = lab.within(node.backplane.due(2)).await.unwrap();
        assert_eq!(due.len(), count);
        named.extend(due.into_iter().map(|due| due.call));
    }
    assert_eq!(named, expected, "each of them once");
}

pub(crate) async fn a_waiter_may_give_up<L: Lab>(lab: L) {
    let node = TestNode::new(&lab).await;
    let call = ringing(lab.now().plus(DEADLINE_IN));
    let deadline = call.deadline().unwrap();
    node.pass(&lab, L::GRAIN).await;
    node.begin(&call).await;
    for _ in 0..3 {
        node.pass(&lab, Duration::from_secs(10)).await;
    }
    assert_eq!(named_at(&lab, &node, deadline).await, [call.id]);
}

pub(crate) async fn two_nodes_share_the_work(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let deadline = lab.now().plus(DEADLINE_IN);
    let mut expected = HashSet::new();
    for _ in 0..8 {
        let call = ringing(deadline);
        one.begin(&call).await;
        expected.insert(call.id);
    }
    one.pass(&lab, just_before(&lab, DEADLINE_IN)).await;
    let (first, second) = lab.within(async { tokio::join!(one.backplane.due(4), two.backplane.due(4)) }).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.len(), second.len()), (4, 4));
    assert_eq!(
        first.into_iter().chain(second).map(|due| due.call).collect::<HashSet<_>>(),
        expected,
        "none of them twice"
    );
}
