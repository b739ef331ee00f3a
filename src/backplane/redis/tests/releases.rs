//! Two releases over one Redis: what one of them does not know, it passes over and leaves in place.

use std::time::Duration;

use redis::AsyncCommands;
use serde_json::Value;

use crate::backplane::conformance::{
    Lab, TestNode, accepted, device, end_of, far, incoming, over, registration, ringing, session, user,
};
use crate::backplane::redis::tests::RedisLab;
use crate::backplane::{Commit, Committed, Expected, Position, Unavailable, Version};
use crate::call::{Call, Milestone, Turn};
use crate::ids::CallId;

/// What a newer release makes of the record of a call: a change of its own, with fields of its own.
async fn change_as_newer_release(lab: &RedisLab, call: CallId, change: impl Fn(String) -> String) {
    let mut redis = lab.server.connection().await;
    for key in [format!("live:call:{call}"), format!("call:{call}")] {
        let record: String = redis.get(&key).await.unwrap();
        let _: () = redis.set(&key, change(record)).await.unwrap();
    }
}

async fn record(lab: &RedisLab, call: CallId) -> Value {
    let text: String = lab.server.connection().await.get(format!("call:{call}")).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn fields_of_another_release_survive_every_change() {
    let lab = RedisLab::start().await;
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let call = ringing(far());
    one.begin(&call).await;
    change_as_newer_release(&lab, call.id, |record| {
        record
            .replace(r#"{"rev":1,"#, r#"{"rev":2,"#)
            .replace(r#""v":1,"#, r#""v":1,"zone":"b","pushed":{"at":[1,2]},"#)
    })
    .await;
    // One that has seen the record before that change, and one that never has.
    one.change(accepted(call.clone(), "b1"), Vec::new()).await;
    two.change(over(call.clone()), Vec::new()).await;
    let record = record(&lab, call.id).await;
    assert_eq!((record["rev"].as_u64(), record["state"].as_str()), (Some(4), Some("timeout")));
    assert_eq!((record["zone"].as_str(), &record["pushed"]), (Some("b"), &serde_json::json!({ "at": [1, 2] })));
}

#[tokio::test]
async fn a_record_of_a_later_form_is_left_alone() {
    let lab = RedisLab::start().await;
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let call = ringing(far());
    one.begin(&call).await;
    change_as_newer_release(&lab, call.id, |record| {
        record.replace(r#"{"rev":1,"#, r#"{"rev":2,"#).replace(r#""v":1,"#, r#""v":2,"#).replace("ringing", "parked")
    })
    .await;
    assert_eq!(two.backplane.load(call.id).await.map(drop), Err(Unavailable), "it is there, and not for this release");
    assert_eq!(two.backplane.live_calls(&user("bob")).await.unwrap().calls.len(), 0, "others are not held up by it");
    let commit = Commit {
        expected: Expected::Version(Version(2)),
        call: over(call.clone()).into(),
        outbox: Vec::new(),
        milestones: Vec::new(),
        entries: Vec::new(),
    };
    assert_eq!(two.backplane.commit(commit).await, Err(Unavailable));
    assert_eq!(record(&lab, call.id).await["state"], "parked");
}

#[tokio::test]
async fn a_message_of_another_release_is_passed_over() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let (bob, call) = (user("bob"), CallId::random());
    node.send(incoming(call, &bob)).await;
    let message = format!(r#"e 256 {call} other-1 0 {{"kind":"parked","call":"{call}","at":1}}"#);
    let mut redis = lab.server.connection().await;
    redis::cmd("XADD").arg("inbox:user:bob").arg("*").arg("m").arg(message).exec_async(&mut redis).await.unwrap();
    node.send(end_of(call, &bob)).await;
    let kept: Vec<_> = node.inbox(&bob).await.into_iter().map(|kept| (*kept.payload).clone()).collect();
    assert_eq!(kept, [incoming(call, &bob).payload, end_of(call, &bob).payload]);
}

#[tokio::test]
async fn a_message_of_another_release_loses_a_place_in_a_trace_that_cannot_be_read() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let (bob, call) = (user("bob"), CallId::random());
    let mut redis = lab.server.connection().await;
    for trace in ["01-67e5504410b1426f9247bb680e5fe0c8-67e5504410b1426f-01-more", ""] {
        let body = format!(r#"{{"kind":"missed","call":"{call}","at":1,"trace":"{trace}","zone":{{"of":["b"]}}}}"#);
        let message = format!("e 256 {call} other-1 0 {body}");
        redis::cmd("XADD").arg("inbox:user:bob").arg("*").arg("m").arg(message).exec_async(&mut redis).await.unwrap();
    }
    let kept: Vec<_> = node.inbox(&bob).await.into_iter().map(|kept| (kept.payload.call_id(), kept.trace)).collect();
    assert_eq!(kept, [(call, None), (call, None)]);
}

#[tokio::test]
async fn what_another_release_knows_of_a_device_stays_until_the_device_goes() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let attach = async |session_name| {
        node.backplane.attach(registration("alice", Some("phone"), session_name, lab.now())).await.unwrap()
    };
    attach("s1").await;
    let mut redis = lab.server.connection().await;
    let _: () = redis.hset("devices:user:alice", "apns:phone", "token").await.unwrap();
    let _: () = redis.hset("devices:user:alice", "apns:x:phone", "of another device").await.unwrap();
    node.backplane.detach(&user("alice"), &session("s1"), Position::default()).await.unwrap();
    attach("s2").await;
    let token: Option<String> = redis.hget("devices:user:alice", "apns:phone").await.unwrap();
    assert_eq!(token.as_deref(), Some("token"));
    assert_eq!(node.backplane.devices(&user("alice")).await.unwrap()[0].id, device("phone"));
    node.backplane.forget(&user("alice"), &session("s2")).await.unwrap();
    let left: Vec<String> = redis.hkeys("devices:user:alice").await.unwrap();
    assert_eq!(left, ["apns:x:phone"]);
}

#[tokio::test]
async fn what_a_newer_release_has_to_tell_keeps_back_what_comes_after_it() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let call = ringing(far());
    let ended = over(call.clone());
    let commit = |expected, before: Option<&Call>, after: &Call| Commit {
        expected,
        call: after.clone().into(),
        outbox: Vec::new(),
        milestones: Milestone::of(before, after, None),
        entries: Vec::new(),
    };
    let begins = commit(node.expected_new(&call).await, None, &call);
    assert_eq!(node.backplane.commit(begins).await, Ok(Committed::Done));
    let mut redis = lab.server.connection().await;
    let key = format!("webhooks:call:{}", call.id);
    let parked = r#"1 {"turn":"parked","zone":"b"}"#;
    let _: () = redis.rpush(&key, parked).await.unwrap();
    let ends = commit(Expected::Version(Version(1)), Some(&call), &ended);
    assert_eq!(node.backplane.commit(ends).await, Ok(Committed::Done));
    let untold = lab.within(node.backplane.take_untold(16, Duration::from_secs(5))).await.unwrap();
    let turns: Vec<_> = untold[0].milestones.iter().map(|milestone| milestone.turn).collect();
    assert_eq!(turns, [Turn::Started]);
    node.backplane.told(call.id, Turn::Started).await.unwrap();
    let left: Vec<String> = redis.lrange(&key, 0, -1).await.unwrap();
    assert_eq!((left.len(), left[0].as_str()), (2, parked));
}
