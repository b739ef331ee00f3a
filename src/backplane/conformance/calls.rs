//! Records: compare-and-set, request ids, lists of live calls, and all of it at once or not at all.

use tokio::task::JoinSet;

use crate::backplane::conformance::{
    LIMITS, Lab, PATIENCE, TestNode, accepted, end_of, far, incoming, over, requested, ringing, user,
};
use crate::backplane::{Commit, Committed, Expected, Version};
use crate::call::{Call, Party};
use crate::ids::{CallId, RequestId};

const MANY: usize = 100;

/// Gives all commits at the same time. Answers how many came to what.
async fn all_at_once(node: &TestNode, commits: Vec<Commit>) -> (usize, usize) {
    let mut tasks = JoinSet::new();
    for commit in commits {
        let backplane = node.backplane.clone();
        tasks.spawn(async move { backplane.commit(commit).await });
    }
    let outcomes = tasks.join_all().await;
    let count = |wanted: &Committed| outcomes.iter().filter(|outcome| outcome.as_ref() == Ok(wanted)).count();
    (count(&Committed::Done), count(&Committed::Lost))
}

pub(crate) async fn a_call_is_kept_as_it_was_committed(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let call = requested(ringing(far()), "r1");
    one.begin(&call).await;
    let stored = two.backplane.load(call.id).await.unwrap().unwrap();
    assert_eq!(*stored.call, call);
    let after = accepted(call.clone(), "b1");
    two.change(after.clone(), Vec::new()).await;
    assert_eq!(*one.backplane.load(call.id).await.unwrap().unwrap().call, after);
    assert!(one.backplane.load(CallId::random()).await.unwrap().is_none());
}

pub(crate) async fn one_of_many_changes_wins(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    let version = node.begin(&call).await;
    let change = |index: usize| Commit {
        expected: Expected::Version(version),
        call: accepted(call.clone(), &format!("b{index}")).into(),
        outbox: vec![end_of(call.id, &user("alice"))],
        milestones: Vec::new(),
        entries: Vec::new(),
    };
    assert_eq!(all_at_once(&node, (0..MANY).map(change).collect()).await, (1, MANY - 1));
    assert_ne!(node.version(call.id).await, version);
    assert_eq!(node.inbox_calls(&user("alice")).await, [call.id], "the losers said nothing");
}

pub(crate) async fn one_of_many_new_calls_wins(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let expected = node.expected_new(&ringing(far())).await;
    let begin = |_| {
        let call = ringing(far());
        Commit {
            expected: expected.clone(),
            outbox: vec![incoming(call.id, &call.callee)],
            call: call.into(),
            milestones: Vec::new(),
            entries: Vec::new(),
        }
    };
    assert_eq!(all_at_once(&node, (0..MANY).map(begin).collect()).await, (1, MANY - 1));
    assert_eq!(node.live(&user("bob")).await, node.inbox_calls(&user("bob")).await);
}

pub(crate) async fn a_change_of_what_is_not_there_is_lost(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    for version in [0, 1] {
        let call = ringing(far());
        let id = call.id;
        let commit = Commit {
            expected: Expected::Version(Version(version)),
            call: call.into(),
            outbox: Vec::new(),
            milestones: Vec::new(),
            entries: Vec::new(),
        };
        assert_eq!(node.backplane.commit(commit).await, Ok(Committed::Lost));
        assert!(node.backplane.load(id).await.unwrap().is_none());
    }
}

pub(crate) async fn a_new_call_needs_the_lists_as_they_were(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let to_bob =
        |caller: &str| Call { caller: Party { user: user(caller), ..ringing(far()).caller }, ..ringing(far()) };
    let begin = |call: Call, expected| Commit {
        expected,
        call: call.into(),
        outbox: vec![incoming(CallId::random(), &user("bob"))],
        milestones: Vec::new(),
        entries: Vec::new(),
    };

    // Somebody else has called the callee.
    let before = node.expected_new(&to_bob("alice")).await;
    let first = to_bob("carol");
    node.begin(&first).await;
    let late = to_bob("alice");
    assert_eq!(node.backplane.commit(begin(late.clone(), before)).await, Ok(Committed::Lost));
    assert!(node.backplane.load(late.id).await.unwrap().is_none());

    // That call has ended: the list is as empty as it was, and another one all the same.
    let during = node.expected_new(&to_bob("alice")).await;
    node.change(over(first.clone()), Vec::new()).await;
    assert_eq!(node.backplane.commit(begin(to_bob("alice"), during)).await, Ok(Committed::Lost));

    // The caller has called somebody else.
    let before = node.expected_new(&to_bob("alice")).await;
    node.begin(&Call { callee: user("dave"), ..to_bob("alice") }).await;
    assert_eq!(node.backplane.commit(begin(to_bob("alice"), before)).await, Ok(Committed::Lost));
    assert_eq!(node.inbox(&user("bob")).await, []);

    // There is such a call.
    let expected = node.expected_new(&first).await;
    assert_eq!(node.backplane.commit(begin(first, expected)).await, Ok(Committed::Lost));
    node.begin(&to_bob("alice")).await;
}

pub(crate) async fn a_request_is_carried_out_once(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let request = RequestId::parse("r1").unwrap();
    assert_eq!(one.made_under(&user("alice"), &request).await, None);
    let first = requested(ringing(far()), "r1");
    one.begin(&first).await;
    assert_eq!(two.made_under(&user("alice"), &request).await, Some(first.id));
    assert_eq!(two.made_under(&user("bob"), &request).await, None);

    let again = || requested(ringing(far()), "r1");
    let stale = Expected::New { callee_calls: Version(0), caller_calls: Version(0) };
    for expected in [two.expected_new(&again()).await, stale] {
        let commit = Commit {
            expected,
            call: again().into(),
            outbox: vec![incoming(first.id, &user("bob"))],
            milestones: Vec::new(),
            entries: Vec::new(),
        };
        assert_eq!(two.backplane.commit(commit).await, Ok(Committed::Repeated(first.id)));
    }
    one.change(over(first.clone()), Vec::new()).await;
    let commit = Commit {
        expected: two.expected_new(&again()).await,
        call: again().into(),
        outbox: Vec::new(),
        milestones: Vec::new(),
        entries: Vec::new(),
    };
    assert_eq!(two.backplane.commit(commit).await, Ok(Committed::Repeated(first.id)), "also when it is over");
    assert_eq!(one.inbox(&user("bob")).await, []);

    let of_another = Call { caller: Party { user: user("carol"), ..again().caller }, ..again() };
    one.begin(&of_another).await;
    one.begin(&requested(ringing(far()), "r2")).await;
}

pub(crate) async fn nothing_of_a_lost_commit_is_done(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    node.backplane.subscribe(&user("bob")).await.unwrap();
    let call = ringing(far());
    let stale = node.begin(&call).await;
    node.change(accepted(call.clone(), "b1"), Vec::new()).await;
    let (alice, bob) = (user("alice"), user("bob"));
    let lists = (
        node.backplane.live_calls(&alice).await.unwrap().version,
        node.backplane.live_calls(&bob).await.unwrap().version,
    );

    let with_deadline = ringing(lab.now());
    let overdue = Call { id: call.id, ..with_deadline.clone() };
    for (expected, call) in [
        (Expected::Version(stale), over(call.clone())),
        (Expected::Version(stale), overdue),
        (Expected::New { callee_calls: Version(99), caller_calls: lists.0 }, requested(with_deadline, "r9")),
    ] {
        let outbox = vec![end_of(call.id, &alice), end_of(call.id, &bob)];
        assert_eq!(
            node.backplane
                .commit(Commit { expected, call: call.into(), outbox, milestones: Vec::new(), entries: Vec::new() })
                .await,
            Ok(Committed::Lost)
        );
    }

    assert_eq!(*node.backplane.load(call.id).await.unwrap().unwrap().call, accepted(call.clone(), "b1"));
    for (name, version) in [(&alice, lists.0), (&bob, lists.1)] {
        assert_eq!(node.live(name).await, [call.id]);
        assert_eq!(node.backplane.live_calls(name).await.unwrap().version, version);
        assert_eq!(node.inbox(name).await, []);
    }
    let request = RequestId::parse("r9").unwrap();
    assert_eq!(node.made_under(&alice, &request).await, None);
    assert_eq!(node.delivered_so_far(&bob).await, []);
    node.pass(&lab, PATIENCE).await;
}

pub(crate) async fn all_of_a_commit_is_done(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let (alice, bob) = (user("alice"), user("bob"));
    let call = ringing(lab.now());
    let outbox = vec![incoming(call.id, &bob), end_of(call.id, &alice)];
    let commit = Commit {
        expected: node.expected_new(&call).await,
        call: call.clone().into(),
        outbox,
        milestones: Vec::new(),
        entries: Vec::new(),
    };
    assert_eq!(node.backplane.commit(commit).await, Ok(Committed::Done));
    assert!(node.backplane.load(call.id).await.unwrap().is_some());
    assert_eq!((node.live(&alice).await, node.live(&bob).await), (vec![call.id], vec![call.id]));
    assert_eq!((node.inbox_calls(&alice).await, node.inbox_calls(&bob).await), (vec![call.id], vec![call.id]));
    let due = node.backplane.due(16).await.unwrap();
    assert_eq!(due.iter().map(|due| due.call).collect::<Vec<_>>(), [call.id]);

    node.change(over(call.clone()), vec![end_of(call.id, &bob)]).await;
    assert_eq!((node.live(&alice).await, node.live(&bob).await), (vec![], vec![]));
    assert_eq!(node.inbox_calls(&bob).await, [call.id], "the invitation is gone, the end is there");
    node.pass(&lab, PATIENCE).await;
}

pub(crate) async fn live_calls_are_listed_until_they_end(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let (alice, bob) = (user("alice"), user("bob"));
    let calls = [ringing(far()), ringing(far()), ringing(far())];
    for call in &calls {
        one.begin(call).await;
    }
    let ids = [calls[0].id, calls[1].id, calls[2].id];
    assert_eq!((two.live(&alice).await, two.live(&bob).await), (ids.to_vec(), ids.to_vec()), "the oldest first");

    two.change(accepted(calls[1].clone(), "b1"), Vec::new()).await;
    assert_eq!(one.live(&bob).await, ids);
    let listed = one.backplane.live_calls(&bob).await.unwrap().calls;
    assert_eq!(*listed[1].call, accepted(calls[1].clone(), "b1"), "as they are at present");

    two.change(over(calls[1].clone()), Vec::new()).await;
    assert_eq!((one.live(&alice).await, one.live(&bob).await), (vec![ids[0], ids[2]], vec![ids[0], ids[2]]));

    let before = one.backplane.live_calls(&bob).await.unwrap().version;
    one.begin(&over(ringing(far()))).await;
    assert_eq!(one.live(&bob).await, [ids[0], ids[2]], "a call that begins by ending is never live");
    assert_eq!(one.backplane.live_calls(&bob).await.unwrap().version, before);
    assert_eq!(one.live(&user("nobody")).await, []);
}

pub(crate) async fn a_call_that_is_over_is_kept_for_a_while(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let (live, ended) = (ringing(far()), ringing(far()));
    node.begin(&live).await;
    node.begin(&ended).await;
    node.pass(&lab, LIMITS.over_ttl + PATIENCE).await;
    node.change(over(ended.clone()), Vec::new()).await;
    node.pass(&lab, LIMITS.over_ttl / 2).await;
    assert_eq!(*node.backplane.load(ended.id).await.unwrap().unwrap().call, over(ended.clone()));
    node.pass(&lab, LIMITS.over_ttl / 2 + PATIENCE).await;
    assert!(node.backplane.load(ended.id).await.unwrap().is_none());
    assert!(node.backplane.load(live.id).await.unwrap().is_some(), "a live call is never forgotten");
}
