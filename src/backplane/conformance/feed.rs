//! What is to be told of calls: kept with the change, named to one at a time, in order, until it is told, and no more than fits.

use std::time::Duration;

use crate::backplane::conformance::{LIMITS, Lab, PATIENCE, TestNode, accepted, device, far, over, ringing, user};
use crate::backplane::{Backed, Commit, Committed, Expected, Untold, Version};
use crate::call::{Actor, Call, Ending, Milestone, Turn};

const LEASE: Duration = Duration::from_secs(5);

impl TestNode {
    /// Begins a call, which is to be told.
    async fn begin_told(&self, call: &Call) -> Version {
        let commit = Commit {
            expected: self.expected_new(call).await,
            call: call.clone().into(),
            outbox: Vec::new(),
            milestones: Milestone::of(None, call, None),
            entries: Vec::new(),
        };
        assert_eq!(self.backplane.commit(commit).await, Ok(Committed::Done));
        self.version(call.id).await
    }

    async fn change_told(&self, before: &Call, after: &Call) -> Committed {
        let by = Actor { user: user("bob"), device: device("b1"), registered: true };
        let commit = Commit {
            expected: Expected::Version(self.version(after.id).await),
            call: after.clone().into(),
            outbox: Vec::new(),
            milestones: Milestone::of(Some(before), after, Some(&by)),
            entries: Vec::new(),
        };
        self.backplane.commit(commit).await.unwrap()
    }

    async fn take(&self, lab: &impl Lab) -> Vec<Untold> {
        lab.within(self.backplane.take_untold(16, LEASE)).await.unwrap()
    }

    /// What is named of the one call.
    async fn take_one(&self, lab: &impl Lab, call: &Call) -> Vec<Turn> {
        let untold = self.take(lab).await;
        assert!(untold.len() == 1 && untold[0].call == call.id, "{untold:?}");
        untold[0].milestones.iter().map(|milestone| milestone.turn).collect()
    }
}

pub(crate) async fn what_a_call_comes_to_is_named_with_all_that_is_known(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    node.begin_told(&call).await;
    let answered = accepted(call.clone(), "b1");
    assert_eq!(node.change_told(&call, &answered).await, Committed::Done);
    let by = Actor { user: user("bob"), device: device("b1"), registered: true };
    let milestones = [Milestone::of(None, &call, None), Milestone::of(Some(&call), &answered, Some(&by))].concat();
    assert_eq!(node.take(&lab).await, [Untold { call: call.id, milestones }]);
}

pub(crate) async fn what_was_not_told_is_named_again_and_what_was_is_not(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    node.begin_told(&call).await;
    assert_eq!(node.take_one(&lab, &call).await, [Turn::Started]);
    let before = lab.now();
    assert_eq!(node.take_one(&lab, &call).await, [Turn::Started], "whoever had taken it has died");
    assert!(lab.now() >= before.plus(LEASE));
    // What comes meanwhile waits for its turn, and is due when that has come.
    let ended = over(call.clone());
    node.change_told(&call, &ended).await;
    let before = lab.now();
    node.backplane.told(call.id, Turn::Started).await.unwrap();
    assert_eq!(node.take_one(&lab, &call).await, [Turn::Ended(Ending::NoAnswer)]);
    assert!(lab.now() < before.plus(LEASE));
    node.backplane.told(call.id, Turn::Ended(Ending::NoAnswer)).await.unwrap();
    assert_eq!(node.backplane.untold().await, Ok(Backed::default()));
    // To say so twice, or of a call that nobody knows, is no fault.
    node.backplane.told(call.id, Turn::Started).await.unwrap();
}

pub(crate) async fn two_nodes_are_not_named_the_same(lab: impl Lab) {
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let calls = [ringing(far()), ringing(far())];
    for call in &calls {
        one.begin_told(call).await;
    }
    let first = lab.within(one.backplane.take_untold(1, LEASE)).await.unwrap();
    let second = lab.within(two.backplane.take_untold(16, LEASE)).await.unwrap();
    let mut named = [first[0].call, second[0].call];
    named.sort_unstable();
    let mut expected = calls.map(|call| call.id);
    expected.sort_unstable();
    assert_eq!((named, first.len(), second.len()), (expected, 1, 1));
}

pub(crate) async fn what_is_put_off_comes_back_in_order(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    node.begin_told(&call).await;
    node.take_one(&lab, &call).await;
    let until = lab.now().plus(LEASE * 2);
    node.backplane.put_off(call.id, until).await.unwrap();
    node.change_told(&call, &over(call.clone())).await;
    assert_eq!(node.take_one(&lab, &call).await, [Turn::Started, Turn::Ended(Ending::NoAnswer)]);
    assert!(lab.now() >= until && lab.now() <= until.plus(PATIENCE));
}

pub(crate) async fn of_a_lost_change_nothing_is_told(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    let version = node.begin_told(&call).await;
    node.change_told(&call, &over(call.clone())).await;
    let late = accepted(call.clone(), "b1");
    let commit = Commit {
        expected: Expected::Version(version),
        call: late.clone().into(),
        outbox: Vec::new(),
        milestones: Milestone::of(Some(&call), &late, None),
        entries: Vec::new(),
    };
    assert_eq!(node.backplane.commit(commit).await, Ok(Committed::Lost));
    assert_eq!(node.take_one(&lab, &call).await, [Turn::Started, Turn::Ended(Ending::NoAnswer)]);
}

pub(crate) async fn no_more_is_kept_to_be_told_than_fits(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    let most = LIMITS.feed.calls;
    let begun = lab.now();
    for _ in 0..most {
        node.begin_told(&ringing(far())).await;
    }
    let one_more = ringing(far());
    node.begin_told(&one_more).await;
    let Backed { calls, since, dropped } = node.backplane.untold().await.unwrap();
    assert_eq!((calls, dropped), (most as u64, 1));
    // Two at once: it is over as soon as it begins.
    node.begin_told(&over(ringing(far()))).await;
    assert_eq!(node.backplane.untold().await.unwrap().dropped, 3);
    assert!(since.is_some_and(|since| since >= begun && since <= lab.now().plus(Duration::from_secs(1))), "{since:?}");
    let taken = node.take(&lab).await;
    assert!(taken.len() == most && taken.iter().all(|untold| untold.call != one_more.id));
    // And not for ever.
    lab.advance(LIMITS.feed.ttl + PATIENCE).await;
    lab.advance(Duration::from_secs(1)).await;
    let let_go = async {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        while node.backplane.untold().await.unwrap().calls > 0 {
            turns.tick().await;
        }
    };
    let outcome = async {
        tokio::select! {
            taken = node.backplane.take_untold(16, LEASE) => panic!("{taken:?}"),
            () = let_go => {}
        }
    };
    lab.within(outcome).await;
    assert_eq!(node.backplane.untold().await, Ok(Backed::default()));
    let latest = ringing(far());
    node.begin_told(&latest).await;
    assert_eq!(node.take_one(&lab, &latest).await, [Turn::Started]);
}

pub(crate) async fn what_was_not_kept_is_forgotten_when_everything_is_told(lab: impl Lab) {
    let node = TestNode::new(&lab).await;
    for _ in 0..LIMITS.feed.calls + 2 {
        node.begin_told(&ringing(far())).await;
    }
    let taken = node.take(&lab).await;
    let (last, others) = taken.split_last().unwrap();
    for untold in others {
        node.backplane.told(untold.call, Turn::Started).await.unwrap();
    }
    let Backed { calls, dropped, .. } = node.backplane.untold().await.unwrap();
    assert_eq!((calls, dropped), (1, 2));
    node.backplane.told(last.call, Turn::Started).await.unwrap();
    assert_eq!(node.backplane.untold().await, Ok(Backed::default()));
}
