//! What is to be told of calls: a list for each call, and a sorted set of when each is due, from which any node takes what is due for
//! as long as it says.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::backplane::redis::link::Lane;
use crate::backplane::redis::{Redis, milestone, millis};
use crate::backplane::{Backed, Feed, Unavailable, Untold};
use crate::call::Turn;
use crate::clock::Timestamp;
use crate::ids::CallId;

/// How often it is looked whether something is due that nobody here has put there: a node may have died with what it had taken, and
/// what was put off comes back.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often there was something that cannot be read. It is there again every time its call is due.
#[derive(Default)]
pub(super) struct Unreadable(AtomicU64);

impl Unreadable {
    /// It was so again. How often by then, if it is to be said: ever more rarely.
    fn again(&self) -> Option<u64> {
        let times = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        times.is_power_of_two().then_some(times)
    }
}

#[async_trait]
impl Feed for Redis {
    async fn take_untold(&self, limit: usize, lease: Duration) -> Result<Vec<Untold>, Unavailable> {
        if self.retention.feed.is_none() {
            return std::future::pending().await;
        }
        loop {
            self.link.up().await;
            // If it fails Redis is away, or has nothing for whoever asks at this moment: it is asked again.
            if let Ok(untold) = self.claim_untold(limit, lease).await
                && !untold.is_empty()
            {
                return Ok(untold);
            }
            // Waits for a call that was begun, or told, here, or for the next look.
            let _ = tokio::time::timeout(LOOK_EVERY, self.fed.notified()).await;
        }
    }

    async fn told(&self, call: CallId, through: Turn) -> Result<(), Unavailable> {
        let command = |_| {
            let mut command = self.scripts.told.command();
            command.arg(call.to_string()).arg(through.place());
            command
        };
        let has_more: u8 = self.link.run(Lane::House, &self.scripts.told, command).await?;
        if has_more == 1 {
            self.fed.notify_one();
        }
        Ok(())
    }

    async fn put_off(&self, call: CallId, until: Timestamp) -> Result<(), Unavailable> {
        let command = |_| {
            let mut command = self.scripts.put_off.command();
            command.arg(call.to_string()).arg(until.0);
            command
        };
        self.link.run::<u8>(Lane::House, &self.scripts.put_off, command).await.map(drop)
    }

    async fn untold(&self) -> Result<Backed, Unavailable> {
        let command = |_| self.scripts.untold.command();
        let (calls, dropped, since): (u64, u64, Option<u64>) =
            self.link.run(Lane::House, &self.scripts.untold, command).await?;
        Ok(Backed { calls, since: since.map(Timestamp), dropped })
    }
}

impl Redis {
    async fn claim_untold(&self, limit: usize, lease: Duration) -> Result<Vec<Untold>, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.take_untold.command();
            command.arg(limit).arg(millis(lease));
            command
        };
        let taken: Vec<(String, Vec<String>)> = self.link.run(Lane::House, &self.scripts.take_untold, command).await?;
        let untold = |(call, texts): (String, Vec<String>)| {
            // The rest is left to the release that can read it, which keeps the order; or forgotten in time.
            let milestones: Vec<_> = texts.iter().map_while(|text| milestone::read(text)).collect();
            if milestones.len() < texts.len()
                && let Some(times) = self.unreadable.again()
            {
                tracing::error!(times, call_id = %call, "something is not told that cannot be read: is there a newer release?");
            }
            (!milestones.is_empty()).then_some(Untold { call: CallId::parse(&call)?, milestones })
        };
        Ok(taken.into_iter().filter_map(untold).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_said_ever_more_rarely() {
        let unreadable = Unreadable::default();
        let said: Vec<_> = (0..10_000).filter_map(|_| unreadable.again()).collect();
        assert_eq!((said.len(), &said[..3], said[13]), (14, &[1, 2, 4][..], 8192));
    }
}
