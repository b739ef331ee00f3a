//! The timelines of calls: begun and changed with the call, or not at all; appended to by any node; and kept within bounds.

use std::time::Duration;

use crate::backplane::conformance::{LIMITS, Lab, PATIENCE, TestNode, accepted, far, over, ringing};
use crate::backplane::{Commit, Committed, Expected};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::timeline::{ENTRIES_MAX, Entry, Note, What};

/// An entry that can be told from others.
fn entry(number: u64) -> Entry {
    let what = What::StatusAsked { user: Some("bob \"1\"".into()), status: "ringing".into() };
    Entry::new(Timestamp(number), "one", what)
}

fn note(call: CallId, number: u64) -> Note {
    Note { call, entry: entry(number) }
}

impl TestNode {
    /// Begins, or ends, a call, and says so in its timeline.
    async fn commit_noted(&self, expected: Expected, call: &Call, number: u64) -> Committed {
        let entries = vec![entry(number)];
        let commit =
            Commit { expected, call: call.clone().into(), outbox: Vec::new(), milestones: Vec::new(), entries };
        self.backplane.commit(commit).await.unwrap()
    }

    async fn begin_noted(&self, call: &Call) {
        assert_eq!(self.commit_noted(self.expected_new(call).await, call, 0).await, Committed::Done);
    }

    /// The same of a call that is over already.
    async fn begin_and_end_noted(&self, call: &Call) {
        self.begin_noted(call).await;
        let expected = Expected::Version(self.version(call.id).await);
        assert_eq!(self.commit_noted(expected, &over(call.clone()), 1).await, Committed::Done);
    }

    async fn note(&self, notes: Vec<Note>) -> usize {
        self.backplane.note(notes).await.unwrap()
    }

    /// The numbers of the entries of a call.
    async fn noted(&self, call: &Call) -> Vec<u64> {
        self.backplane.timeline(call.id).await.unwrap().iter().map(|entry| entry.at).collect()
    }
}

pub(crate) async fn a_timeline_has_what_any_node_says_in_order(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let (call, other) = (ringing(far()), ringing(far()));
    one.begin_noted(&call).await;
    two.begin_noted(&other).await;
    assert_eq!(two.note(vec![note(call.id, 1), note(other.id, 7), note(call.id, 2)]).await, 0);
    assert_eq!(one.note(vec![note(call.id, 3)]).await, 0);
    assert_eq!(one.note(Vec::new()).await, 0);
    let expected = Expected::Version(one.version(call.id).await);
    assert_eq!(one.commit_noted(expected, &over(call.clone()), 4).await, Committed::Done);
    assert_eq!(one.note(vec![note(call.id, 5)]).await, 0, "what comes after the end is noted too");
    assert_eq!((two.noted(&call).await, one.noted(&other).await), (vec![0, 1, 2, 3, 4, 5], vec![0, 7]));
    assert_eq!(two.backplane.timeline(call.id).await.unwrap()[1], entry(1));
}

pub(crate) async fn a_lost_change_says_nothing_and_an_unknown_call_has_no_timeline(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    node.begin_noted(&call).await;
    let stale = Expected::Version(node.version(call.id).await);
    node.change(over(call.clone()), Vec::new()).await;
    assert_eq!(node.commit_noted(stale, &over(call.clone()), 4).await, Committed::Lost);
    assert_eq!(node.noted(&call).await, [0]);
    let unknown = ringing(far());
    assert_eq!(node.note(vec![note(unknown.id, 1), note(call.id, 1)]).await, 1);
    assert_eq!((node.noted(&unknown).await, node.noted(&call).await), (vec![], vec![0, 1]));
}

pub(crate) async fn of_one_call_the_first_entries_stay_and_its_end(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    node.begin_noted(&call).await;
    let most = ENTRIES_MAX as u64;
    assert_eq!(node.note((1..most + 3).map(|number| note(call.id, number)).collect()).await, 3);
    let expected = Expected::Version(node.version(call.id).await);
    assert_eq!(node.commit_noted(expected, &over(call.clone()), 1000).await, Committed::Done);
    let numbers: Vec<_> = (0..most).chain([1000]).collect();
    assert_eq!(node.noted(&call).await, numbers);
}

pub(crate) async fn the_oldest_timelines_are_let_go(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let calls: Vec<_> = (0..LIMITS.timelines.calls + 2).map(|_| ringing(far())).collect();
    for call in &calls {
        node.begin_noted(call).await;
    }
    let mut kept = Vec::new();
    for call in &calls {
        kept.push(node.noted(call).await.len());
    }
    assert_eq!(kept, [0, 0, 1, 1, 1, 1]);
    assert_eq!(node.note(vec![note(calls[0].id, 1)]).await, 1, "none is begun anew");
    assert!(node.noted(&calls[0]).await.is_empty());
}

pub(crate) async fn timelines_are_not_kept_for_ever(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let (early, late) = (ringing(far()), ringing(far()));
    node.begin_and_end_noted(&early).await;
    let half = LIMITS.timelines.ttl / 2 + Duration::from_secs(1);
    node.pass(&lab, half).await;
    node.begin_and_end_noted(&late).await;
    assert_eq!((node.noted(&early).await.len(), node.noted(&late).await.len()), (2, 2));
    node.pass(&lab, half + PATIENCE).await;
    assert_eq!((node.noted(&early).await.len(), node.noted(&late).await.len()), (0, 2));
    // What has run out leaves its room to others.
    for _ in 0..LIMITS.timelines.calls - 1 {
        node.begin_noted(&ringing(far())).await;
    }
    assert_eq!(node.noted(&late).await, [0, 1]);
}

pub(crate) async fn a_timeline_outlasts_its_call(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    node.begin_noted(&call).await;
    node.pass(&lab, LIMITS.timelines.ttl + PATIENCE).await;
    let expected = Expected::Version(node.version(call.id).await);
    assert_eq!(node.commit_noted(expected, &accepted(call.clone(), "b1"), 1).await, Committed::Done);
    node.pass(&lab, LIMITS.timelines.ttl + PATIENCE).await;
    // Someone comes and goes, of which the timeline says nothing.
    node.change(accepted(call.clone(), "b1"), Vec::new()).await;
    node.pass(&lab, LIMITS.timelines.ttl + PATIENCE).await;
    assert_eq!(node.note(vec![note(call.id, 2)]).await, 0);
    let expected = Expected::Version(node.version(call.id).await);
    assert_eq!(node.commit_noted(expected, &over(call.clone()), 3).await, Committed::Done);
    node.pass(&lab, LIMITS.timelines.ttl / 2).await;
    assert_eq!(node.noted(&call).await, [0, 1, 2, 3]);
    node.pass(&lab, LIMITS.timelines.ttl / 2 + PATIENCE).await;
    assert!(node.noted(&call).await.is_empty());
}
