//! A node that listens to more users than one connection is to have.

use std::time::Duration;

use futures_util::future::join_all;

use crate::backplane::conformance::{Lab, TestNode, end_of, user};
use crate::backplane::redis::tests::{PATIENCE, RedisLab};
use crate::ids::{CallId, UserId};

/// Most users of one connection here.
const MOST: usize = 10;

/// Waits until the connections that listen have so many channels, in any order.
async fn channels_are(lab: &RedisLab, expected: &[usize]) {
    let mut redis = lab.server.connection().await;
    let counted = async {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        loop {
            let text: String =
                redis::cmd("CLIENT").arg(&["LIST", "TYPE", "pubsub"]).query_async(&mut redis).await.unwrap();
            let counts = text.split_whitespace().filter_map(|field| field.strip_prefix("sub="));
            let mut counts: Vec<usize> = counts.map(|count| count.parse().unwrap()).collect();
            counts.sort_unstable();
            if counts == expected {
                return;
            }
            turns.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.unwrap();
}

/// Sends to each user; exactly what was sent comes, once.
async fn each_is_heard(node: &TestNode, users: &[UserId]) {
    for user in users {
        let call = CallId::random();
        node.send(end_of(call, user)).await;
        let (to, delivery) = node.delivered().await;
        assert_eq!((&to, delivery.payload.call_id()), (user, call));
    }
}

#[tokio::test]
async fn users_beyond_the_bound_of_a_connection_are_listened_to_over_further_ones() {
    let lab = RedisLab { max_channels: Some(MOST), ..RedisLab::start().await };
    let node = TestNode::new(&lab).await;
    let users: Vec<UserId> = (0..25).map(|n| user(&format!("user-{n}"))).collect();
    for subscribed in join_all(users.iter().map(|user| node.backplane.subscribe(user))).await {
        subscribed.unwrap();
    }
    // The first one has the channel of the node and that of timers that have run out, too.
    channels_are(&lab, &[5, 10, 12]).await;
    each_is_heard(&node, &users).await;

    let resumptions = node.resumptions();
    let mut redis = lab.server.connection().await;
    let killed: usize = redis::cmd("CLIENT").arg(&["KILL", "TYPE", "pubsub"]).query_async(&mut redis).await.unwrap();
    assert_eq!(killed, 3);
    node.resumed_after(resumptions).await;
    channels_are(&lab, &[5, 10, 12]).await;
    each_is_heard(&node, &users).await;
    assert_eq!(lab.nodes.lock()[0].metrics.redis_reconnects.value(), 1, "connected anew, and again");

    // Where somebody has left there is room; beyond it, one more connection.
    node.backplane.unsubscribe(&users[0]).await;
    channels_are(&lab, &[5, 10, 11]).await;
    let more: Vec<UserId> = (0..7).map(|n| user(&format!("more-{n}"))).collect();
    for user in &more {
        node.backplane.subscribe(user).await.unwrap();
    }
    channels_are(&lab, &[1, 10, 10, 12]).await;
    each_is_heard(&node, &[&users[1..], &more].concat()).await;
}
