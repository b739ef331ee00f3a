//! A Redis that wants another password than at the start.

use std::time::Duration;

use crate::backplane::conformance::{Lab, TestNode};
use crate::backplane::redis::Redis;
use crate::backplane::redis::link::Lane;
use crate::backplane::redis::tests::{PATIENCE, RedisLab};
use crate::config::RedisConfig;

/// Whether the house can be kept: over the pool, which makes a connection if it has none.
async fn keeps_house(node: &Redis) -> bool {
    let connection = node.link.current().unwrap();
    let mut command = node.scripts.touch.command();
    command.arg(1000);
    connection.run::<u64>(Lane::House, &node.scripts.touch, command).await.is_ok()
}

#[tokio::test]
async fn connections_that_are_made_later_show_the_new_password_and_those_there_are_stay() {
    let lab = RedisLab { timeout: Duration::from_millis(500), ..RedisLab::start().await };
    let (early, late) = (TestNode::new(&lab).await, TestNode::new(&lab).await);
    let [early_part, late_part] = [0, 1].map(|at| lab.nodes.lock()[at].clone());
    let mut redis = lab.server.connection().await;

    // The password is here before Redis knows it: what is connected goes on.
    assert!(keeps_house(&early_part).await);
    let with_password = RedisConfig { password: Some("secret".into()), ..lab.server.config() };
    early_part.set_credentials(&with_password);
    assert!(keeps_house(&early_part).await);

    let set: String =
        redis::cmd("CONFIG").arg(&["SET", "requirepass", "secret"]).query_async(&mut redis).await.unwrap();
    assert_eq!(set, "OK");
    assert!(keeps_house(&early_part).await);

    // And the other way round: who needs a connection now gets none, until the password is here.
    assert!(!keeps_house(&late_part).await);
    late_part.set_credentials(&with_password);
    assert!(!keeps_house(&late_part).await, "the attempt that finds it out is lost");
    assert!(keeps_house(&late_part).await);

    for (node, part) in [(&early, &early_part), (&late, &late_part)] {
        let resumptions = node.resumptions();
        part.link.report_broken(part.link.current().unwrap().generation(), || ());
        tokio::time::timeout(PATIENCE, node.resumed_after(resumptions)).await.unwrap();
        assert!(keeps_house(part).await);
    }
}
