//! A node whose machine has another time than the one of Redis goes by the latter.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::backplane::conformance::{Lab, TestNode};
use crate::backplane::redis::tests::{EPOCH, PATIENCE, RedisLab};
use crate::clock::{Clock, Timestamp};

/// What has been logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The lines about a clock that is off, as far as each says by how much.
    fn warnings(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains("WARN") && line.contains("the clock of Redis differs"));
        lines.map(|line| line.split_once("ahead_ms=").unwrap().1.trim().to_owned()).collect()
    }
}

/// Redis has this time; waits until the node has asked for it.
async fn redis_has(lab: &RedisLab, time: Timestamp) {
    lab.server.set_time(time);
    let node = lab.nodes.lock()[0].clone();
    let asked = async {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        while node.nodes.beaten_at() != Some(time.0) {
            turns.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

/// A node of a machine with this time, which joins a Redis at [`EPOCH`], and the clock it goes by.
async fn node_at(time: Timestamp) -> (RedisLab, TestNode, Clock) {
    let (clock, hand, correction) = Clock::set_by_hand_and_corrected(time);
    let lab = RedisLab { clock, hand, correction: Some(correction), ..RedisLab::start().await };
    let node = TestNode::new(&lab).await;
    (lab, node, clock)
}

#[tokio::test]
async fn a_clock_that_is_seconds_off_is_put_right_and_told() {
    for machine in [EPOCH.0 - 7_000, EPOCH.0 + 7_000] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        let _logged = tracing::subscriber::set_default(subscriber);
        let (lab, _node, clock) = node_at(Timestamp(machine)).await;
        let ahead = EPOCH.0.cast_signed() - machine.cast_signed();
        assert_eq!(clock.now(), EPOCH);
        assert_eq!(lab.correction.unwrap().millis(), ahead);
        assert_eq!(log.warnings(), [ahead.to_string()]);

        // Less is put right without a word, and less than that is no difference.
        let mut now = EPOCH;
        for (step, is_corrected) in [(4, false), (1, true), (999, true)] {
            let before = clock.now();
            now = now.plus(Duration::from_millis(step));
            redis_has(&lab, now).await;
            assert_eq!(clock.now(), if is_corrected { now } else { before }, "{step} ms");
        }
        assert_eq!(log.warnings().len(), 1);
        now = now.plus(Duration::from_secs(1));
        redis_has(&lab, now).await;
        assert_eq!((clock.now(), log.warnings()), (now, vec![ahead.to_string(), "1000".to_owned()]));
        redis_has(&lab, EPOCH).await;
        assert_eq!((clock.now(), log.warnings().last().unwrap().as_str()), (EPOCH, "-2004"), "it goes back, too");
    }
}
