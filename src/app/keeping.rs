//! Where calls are kept, and how much of them: from the configuration.

use std::sync::Arc;
use std::time::Duration;

use crate::backplane::{Backplane, Memory, MemoryConfig, Metered, MeteredReceiver, Redis, Retention, TimelineBounds};
use crate::clock::{Clock, Correction};
use crate::config::{BackplaneConfig, Config, TimelineConfig};
use crate::metrics::Metrics;
use crate::switchboard::Line;
use crate::webhooks;

/// How long a call that is over can still be asked about, as documented.
const OVER_TTL: Duration = Duration::from_secs(60);

/// Where calls are kept: in Redis, or else in this process.
pub(super) fn backplane(
    config: &Config,
    clock: Clock,
    correction: Correction,
    line: &Arc<Line>,
    metrics: &Arc<Metrics>,
) -> (Arc<dyn Backplane>, Option<Arc<Redis>>) {
    match &config.backplane {
        BackplaneConfig::Embedded => {
            let receiver = MeteredReceiver::new(line.clone(), metrics.clone(), clock);
            (Arc::new(Memory::new(clock, memory_config(config)).node(Arc::new(receiver))), None)
        }
        BackplaneConfig::Redis(redis) => {
            let (retention, metrics) = (retention(config), metrics.clone());
            let redis = Redis::new(redis.clone(), retention, clock, Some(correction), line.clone(), metrics.clone());
            (Arc::new(Metered::new(redis.clone(), metrics)), Some(redis))
        }
    }
}

fn retention(config: &Config) -> Retention {
    Retention {
        inbox_messages: config.inbox.messages,
        inbox_bytes: config.inbox.bytes,
        inbox_ttl: config.inbox.ttl,
        over_ttl: OVER_TTL,
        ring_timeout: config.call.ring_timeout,
        feed: config.webhooks.as_ref().map(|_| webhooks::KEPT),
        timelines: timelines(config),
    }
}

fn timelines(config: &Config) -> Option<TimelineBounds> {
    config.timelines.map(|TimelineConfig { calls, ttl }| TimelineBounds { calls, ttl })
}

fn memory_config(config: &Config) -> MemoryConfig {
    MemoryConfig {
        inbox_messages: config.inbox.messages,
        inbox_bytes: config.inbox.bytes,
        inbox_ttl: config.inbox.ttl,
        over_ttl: OVER_TTL,
        feed: config.webhooks.as_ref().map(|_| webhooks::KEPT),
        timelines: timelines(config),
    }
}
