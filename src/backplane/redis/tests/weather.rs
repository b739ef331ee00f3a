//! What a node does when its connections break: it listens again, and puts back what Redis has lost.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;

use crate::backplane::conformance::{LIMITS, Lab, TestNode, accepted, end_of, far, over, ringing, session, user};
use crate::backplane::redis::tests::{PATIENCE, RedisLab};
use crate::backplane::{Due, Unavailable};
use crate::ids::UserId;
use crate::metrics::FoundBy;

/// As many as a busy node holds.
const USERS: usize = 10_000;

async fn info(lab: &RedisLab, name: &str) -> u64 {
    let text: String = redis::cmd("INFO").query_async(&mut lab.server.connection().await).await.unwrap();
    let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    fields[name].parse().unwrap()
}

async fn kill_connections(lab: &RedisLab) {
    let mut redis = lab.server.connection().await;
    for kind in ["pubsub", "normal"] {
        redis::cmd("CLIENT").arg(&["KILL", "TYPE", kind, "SKIPME", "yes"]).exec_async(&mut redis).await.unwrap();
    }
}

/// Breaks every connection of nodes to Redis, and waits until they are connected anew.
async fn break_connections(lab: &RedisLab) {
    let nodes = lab.nodes.lock().clone();
    let before: Vec<_> = nodes.iter().map(|node| node.link.current().unwrap().generation()).collect();
    kill_connections(lab).await;
    let is_anew = async {
        let mut turns = tokio::time::interval(Duration::from_millis(2));
        while nodes
            .iter()
            .zip(&before)
            .any(|(node, before)| node.link.current().is_none_or(|connection| connection.generation() == *before))
        {
            turns.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, is_anew).await.unwrap();
}

#[tokio::test]
async fn ten_thousand_users_are_listened_to_again() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    let users: Vec<UserId> = (0..USERS).map(|n| user(&format!("user-{n}"))).collect();
    // Some at a time: each has `REDIS_TIMEOUT`, however many there are before it.
    for users in users.chunks(200) {
        for subscribed in join_all(users.iter().map(|user| node.backplane.subscribe(user))).await {
            subscribed.unwrap();
        }
    }
    let channels = info(&lab, "pubsub_channels").await;
    assert!(channels >= USERS as u64, "{channels} channels");
    break_connections(&lab).await;
    assert_eq!(info(&lab, "pubsub_channels").await, channels, "when it is connected, it listens to all of them");
    for user in [&users[0], &users[USERS - 1]] {
        let call = crate::ids::CallId::random();
        node.send(end_of(call, user)).await;
        assert_eq!(node.delivered().await.0, *user);
    }
}

#[tokio::test]
async fn whoever_subscribes_while_connections_break_is_listened_to_all_the_same() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    for round in 0..5 {
        let users: Vec<UserId> = (0..500).map(|n| user(&format!("user-{round}-{n}"))).collect();
        let subscribing = join_all(users.iter().map(|user| node.backplane.subscribe(user)));
        let (subscribed, ()) = tokio::join!(subscribing, kill_connections(&lab));
        assert!(subscribed.iter().all(Result::is_ok), "round {round}");
        let call = crate::ids::CallId::random();
        node.send(end_of(call, &users[499])).await;
        assert_eq!(node.delivered().await.0, users[499]);
    }
}

#[tokio::test]
async fn calls_that_redis_has_lost_are_put_back_as_they_were_seen_last() {
    let lab = RedisLab::start().await;
    let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    one.backplane.subscribe(&user("alice")).await.unwrap();
    two.backplane.subscribe(&user("bob")).await.unwrap();
    let (rings, talks, ended) = (ringing(lab.now().plus(Duration::from_secs(45))), ringing(far()), ringing(far()));
    for call in [&rings, &talks, &ended] {
        one.begin(call).await;
    }
    two.change(accepted(talks.clone(), "b1"), Vec::new()).await;
    one.change(over(ended.clone()), Vec::new()).await;
    redis::cmd("FLUSHALL").exec_async(&mut lab.server.connection().await).await.unwrap();
    break_connections(&lab).await;

    // Both nodes put back what they know; the one that knows better wins.
    let restored = async {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        let expected = accepted(talks.clone(), "b1");
        while two.backplane.load(talks.id).await.ok().flatten().is_none_or(|stored| *stored.call != expected) {
            turns.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, restored).await.unwrap();
    assert_eq!(*one.backplane.load(rings.id).await.unwrap().unwrap().call, rings);
    let unknown = one.backplane.load(ended.id).await;
    assert_eq!(unknown.map(drop), Err(Unavailable), "another node may be about to put it back");
    one.pass(&lab, Duration::from_secs(4)).await;
    assert!(one.backplane.load(ended.id).await.unwrap().is_none(), "what is over stays over");
    for name in ["alice", "bob"] {
        let live = one.backplane.live_calls(&user(name)).await.unwrap();
        assert_eq!(live.calls.iter().map(|stored| stored.call.id).collect::<Vec<_>>().len(), 2, "{name}");
    }
    one.pass(&lab, Duration::from_secs(40)).await;
    let due = lab.within(one.backplane.due(4)).await.unwrap();
    assert_eq!(due.iter().map(|due| due.call).collect::<Vec<_>>(), [rings.id], "its deadline is there again, too");
}

/// A node that knows a live call is away for longer than anybody remembers how a call ended. Meanwhile Redis forgets the call, and
/// `others` are there or not. Says whether the node puts it back.
async fn is_put_back_by_one_who_was_away(others_were_there: bool) -> bool {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    node.backplane.subscribe(&user("alice")).await.unwrap();
    let call = ringing(far());
    node.begin(&call).await;
    let resumptions = node.resumptions();
    lab.server.close_road();
    kill_connections(&lab).await;
    let mut redis = lab.server.connection().await;
    for key in [format!("call:{}", call.id), format!("live:call:{}", call.id), "calls:user:alice".to_owned()] {
        redis::cmd("DEL").arg(key).exec_async(&mut redis).await.unwrap();
    }
    lab.set_time(lab.now().plus(LIMITS.over_ttl));
    if others_were_there {
        redis::cmd("SET").arg("nodes:beat").arg(lab.now().0).exec_async(&mut redis).await.unwrap();
    }
    lab.server.open_road();
    node.resumed_after(resumptions).await;
    node.backplane.load(call.id).await.unwrap().is_some()
}

#[tokio::test]
async fn a_call_that_ended_while_a_node_was_cut_off_stays_ended() {
    assert!(!is_put_back_by_one_who_was_away(true).await);
}

#[tokio::test]
async fn a_call_that_redis_lost_while_everybody_was_away_is_put_back() {
    assert!(is_put_back_by_one_who_was_away(false).await);
}

#[tokio::test]
async fn a_deadline_is_found_by_its_own_timer_by_another_node_or_by_a_notice() {
    for (by_other, noticed, expected) in
        [(false, false, FoundBy::Timer), (true, false, FoundBy::Sweep), (true, true, FoundBy::Event)]
    {
        let lab = RedisLab::start().await;
        let (one, two) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
        let call = ringing(lab.now());
        one.begin(&call).await;
        if noticed {
            lab.nodes.lock()[1].deadlines.note_expired(call.id);
        }
        let looking = if by_other { &two } else { &one };
        let due = lab.within(looking.backplane.due(4)).await;
        assert_eq!(due, Ok(vec![Due { call: call.id, found_by: expected }]));
    }
}

#[tokio::test]
async fn a_loss_of_the_connections_is_measured() {
    let lab = RedisLab::start().await;
    let _node = TestNode::new(&lab).await;
    let metrics = lab.nodes.lock()[0].metrics.clone();
    let subscribed = metrics.redis_subscribing.count();
    assert_eq!((metrics.redis_reconnects.value(), metrics.redis_outage.count()), (0, 0), "the first ones are not anew");
    break_connections(&lab).await;
    let is_noted = async {
        let mut turns = tokio::time::interval(Duration::from_millis(2));
        while metrics.redis_outage.count() == 0 {
            turns.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, is_noted).await.unwrap();
    assert_eq!(metrics.redis_reconnects.value(), metrics.redis_outage.count());
    assert!(metrics.redis_subscribing.count() > subscribed);
}

#[tokio::test]
async fn a_lost_session_that_never_registered_is_named_until_it_is_buried() {
    let lab = RedisLab::start().await;
    let node = TestNode::new(&lab).await;
    node.begin(&ringing(far())).await;
    let mut redis = lab.server.connection().await;
    // Another node, dead for a while, whose one client had placed that call.
    redis::cmd("SADD").arg("sessions:node:other").arg("s1 alice").exec_async(&mut redis).await.unwrap();
    redis::cmd("ZADD").arg("nodes").arg(lab.now().0 - 60_000).arg("other").exec_async(&mut redis).await.unwrap();
    for _ in 0..2 {
        let named = tokio::time::timeout(PATIENCE, node.backplane.abandoned(8)).await.unwrap().unwrap();
        let [abandoned] = &named[..] else { panic!("{named:?}") };
        assert_eq!((&abandoned.session, &abandoned.device), (&session("s1"), &session("s1").unnamed_device()));
        assert!(abandoned.has_calls);
    }
    let named = node.backplane.abandoned(8).await.unwrap();
    node.backplane.bury(&named[0]).await.unwrap();
    let left: Vec<String> = redis::cmd("SMEMBERS").arg("sessions:node:other").query_async(&mut redis).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}
