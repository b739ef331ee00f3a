//! Looks at calls whose deadline has passed.

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::backplane::Due;
use crate::call::{Command, Party};
use crate::ids::CallId;
use crate::metrics::FoundBy;
use crate::switchboard::{Failure, Switchboard};

/// How many calls are looked at before new ones are asked for.
const BATCH: usize = 64;
/// How much too early a call may be named and is waited for; one that is named much too early has a new deadline.
const EARLY_MAX: Duration = Duration::from_millis(500);
/// How long to wait before asking a backplane again that cannot be reached.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Switchboard {
    /// Acts on deadlines until `stop`. A call that could not be dealt with is named again by the backplane.
    pub async fn watch_deadlines(&self, stop: CancellationToken) {
        loop {
            // Waits for a deadline to pass, or for the node to stop.
            let due = tokio::select! {
                due = self.backplane.due(BATCH) => due,
                () = stop.cancelled() => return,
            };
            let Ok(due) = due else {
                let _ = tokio::time::timeout(RETRY_AFTER, stop.cancelled()).await;
                continue;
            };
            // All at once: a deadline does not wait for the one before it.
            join_all(due.into_iter().map(|call| self.act_on(call))).await;
        }
    }

    async fn act_on(&self, Due { call, found_by }: Due) {
        if let Err(failure) = self.traces.act("deadline", call, self.expire(call, found_by)).await {
            tracing::warn!(call_id = %call, %failure, "a deadline was not acted on, and will be again");
        }
    }

    async fn expire(&self, id: CallId, found_by: FoundBy) -> Result<(), Failure> {
        let Some(stored) = self.backplane.load(id).await? else {
            return Ok(());
        };
        // The clock by which it is due may be a little ahead of this node's.
        let early = stored.call.deadline().map_or(Duration::ZERO, |deadline| self.clock.now().until(deadline));
        if early <= EARLY_MAX {
            tokio::time::sleep(early).await;
        }
        self.observed.looked_at(&stored.call, found_by, self.clock.now());
        let away = stored.call.away_parties();
        if !away.is_empty() && !self.backplane.may_count_absence() && !stored.call.has_run_out(self.clock.now()) {
            return Ok(());
        }
        for party in away {
            if self.is_connected(&party).await? {
                // It came back while its absence was being written down.
                let Party { user, device } = party;
                self.apply(id, &Command::Back { user, device, formerly: None }).await?;
            }
        }
        match self.apply(id, &Command::Expire).await {
            Ok(_) | Err(Failure::NotFound) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Whether a device is connected to any node.
    pub(super) async fn is_connected(&self, party: &Party) -> Result<bool, Failure> {
        let devices = self.backplane.devices(&party.user).await?;
        Ok(devices.iter().any(|device| device.id == party.device && device.is_connected))
    }
}
