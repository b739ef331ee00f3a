//! Tells calls of devices whose node has died.

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::backplane::Abandoned;
use crate::switchboard::{Failure, Switchboard};

/// How many devices are dealt with before more are asked for.
const BATCH: usize = 64;
/// The pause before more are asked for: those of a large node are not to stand in the way of its users' return.
const PAUSE: Duration = Duration::from_millis(10);
/// How long to wait before asking a backplane again that cannot be reached.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Switchboard {
    /// Deals with the devices of nodes that have died, until `stop`. Those that could not be dealt with are named again.
    pub async fn watch_absences(&self, stop: CancellationToken) {
        loop {
            // Waits for a node to die, or for this one to stop.
            let abandoned = tokio::select! {
                abandoned = self.backplane.abandoned(BATCH) => abandoned,
                () = stop.cancelled() => return,
            };
            let Ok(abandoned) = abandoned else {
                let _ = tokio::time::timeout(RETRY_AFTER, stop.cancelled()).await;
                continue;
            };
            join_all(abandoned.iter().map(|abandoned| self.note_abandoned(abandoned))).await;
            // Those who come back go first.
            let _ = tokio::time::timeout(PAUSE, stop.cancelled()).await;
        }
    }

    async fn note_abandoned(&self, abandoned: &Abandoned) {
        let noted = async {
            // In this order: should this node die in between, another one begins anew.
            if abandoned.has_calls {
                self.away(&abandoned.user, &abandoned.device).await?;
            }
            self.backplane.bury(abandoned).await.map_err(Failure::from)
        };
        if let Err(failure) = noted.await {
            tracing::warn!(session = %abandoned.session, %failure, "a lost device was not dealt with, and will be again");
        }
    }
}
