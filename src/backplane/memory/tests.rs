//! The embedded backplane, measured as a node has it, before the suite that every backplane has to pass.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::backplane::conformance::{LIMITS, Lab, conformance};
use crate::backplane::{Backplane, Memory, MemoryConfig, Metered, MeteredReceiver, Receiver};
use crate::clock::{Clock, Timestamp};
use crate::metrics::Metrics;

struct MemoryLab {
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

#[async_trait]
impl Lab for MemoryLab {
    const GRAIN: Duration = Duration::from_millis(1);

    async fn start() -> Self {
        let config = MemoryConfig {
            inbox_messages: LIMITS.inbox_messages,
            inbox_bytes: LIMITS.inbox_bytes,
            inbox_ttl: LIMITS.inbox_ttl,
            over_ttl: LIMITS.over_ttl,
            feed: Some(LIMITS.feed),
            timelines: Some(LIMITS.timelines),
        };
        let clock = Clock::following_tokio(Timestamp(1_700_000_000_000));
        Self { memory: Memory::new(clock, config), metrics: Metrics::new(), clock }
    }

    async fn node(&self, receiver: Arc<dyn Receiver>) -> Arc<dyn Backplane> {
        let receiver = MeteredReceiver::new(receiver, self.metrics.clone(), self.clock);
        let node = self.memory.node(Arc::new(receiver));
        Arc::new(Metered::new(Arc::new(node), self.metrics.clone()))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

conformance! { MemoryLab, #[tokio::test(start_paused = true)] }

/// The races of the suite once more, on threads of their own.
mod on_threads {
    use crate::backplane::conformance::{Lab, calls, lines};
    use crate::backplane::memory::tests::MemoryLab;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_of_many_changes_wins() {
        calls::one_of_many_changes_wins(MemoryLab::start().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_of_many_new_calls_wins() {
        calls::one_of_many_new_calls_wins(MemoryLab::start().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn every_node_sees_the_same_order() {
        lines::every_node_sees_the_same_order(MemoryLab::start().await).await;
    }
}
