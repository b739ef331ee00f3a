//! What is left in Redis of calls that are over, of what nobody takes, and of what is done twice.

use std::time::Duration;

use redis::AsyncCommands;

use crate::backplane::conformance::{LIMITS, Lab, TestNode, far, over, ringing};
use crate::backplane::redis::link::Lane;
use crate::backplane::redis::millis;
use crate::backplane::redis::tests::RedisLab;
use crate::backplane::{Commit, Committed};
use crate::call::{Call, Milestone};
use crate::clock::Timestamp;
use crate::timeline::{Entry, What};

const DAY: Duration = Duration::from_secs(86_400);

/// A call that is begun, with something to be told and to be noted.
async fn begin(node: &TestNode, call: &Call) {
    let what = What::StatusAsked { user: None, status: "ringing".into() };
    let commit = Commit {
        expected: node.expected_new(call).await,
        call: call.clone().into(),
        outbox: Vec::new(),
        milestones: Milestone::of(None, call, None),
        entries: vec![Entry::new(Timestamp(0), "one", what)],
    };
    assert_eq!(node.backplane.commit(commit).await, Ok(Committed::Done));
}

#[tokio::test]
async fn the_list_of_timelines_goes_after_the_last_of_them() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let mut redis = lab.server.connection().await;
    let longest = i64::try_from(millis(LIMITS.timelines.ttl + DAY)).unwrap();
    // Below the bound, at it, and beyond it.
    for n in 0..LIMITS.timelines.calls + 2 {
        begin(&node, &over(ringing(far()))).await;
        let left: i64 = redis.pttl("timelines").await.unwrap();
        assert!((longest - 1_000..=longest).contains(&left), "{left} ms after call {n}");
        lab.advance(Duration::from_secs(1)).await;
    }
    lab.advance(LIMITS.timelines.ttl).await;
    assert_eq!(redis.llen::<_, usize>("timelines").await.unwrap(), LIMITS.timelines.calls);
    begin(&node, &ringing(far())).await;
    assert_eq!(redis.llen::<_, usize>("timelines").await.unwrap(), 1, "what has run out is in no list");
}

#[tokio::test]
async fn what_nobody_takes_goes_with_all_that_is_said_of_it() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let mut redis = lab.server.connection().await;
    for _ in 0..=LIMITS.feed.calls {
        begin(&node, &over(ringing(far()))).await;
    }
    let left: Vec<String> = redis.keys("webhooks:*").await.unwrap();
    assert_eq!(left.len(), LIMITS.feed.calls + 3);
    lab.advance(LIMITS.feed.ttl + Duration::from_secs(1)).await;
    let left: Vec<String> = redis.keys("webhooks:*").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_was_noted_is_not_noted_again_when_the_answer_was_lost() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let (one, two) = (ringing(far()), ringing(far()));
    begin(&node, &one).await;
    begin(&node, &two).await;
    let redis = lab.nodes.lock()[0].clone();
    let texts = [(one.id, "a"), (two.id, "a"), (one.id, "b")].map(|(call, text)| (call.to_string(), text.to_owned()));
    let note = async |texts: &[_], is_repeat| {
        let command = |_| redis.note_command(texts, is_repeat);
        redis.link.run::<usize>(Lane::House, &redis.scripts.note, command).await.unwrap()
    };
    assert_eq!(note(&texts[..2], false).await, 0);
    assert_eq!(note(&texts, true).await, 0);
    let mut connection = lab.server.connection().await;
    for (call, noted) in [(one.id, &["a", "b"][..]), (two.id, &["a"])] {
        let kept: Vec<String> = connection.lrange(format!("timeline:call:{call}"), 1, -1).await.unwrap();
        assert_eq!(kept, noted);
    }
}
