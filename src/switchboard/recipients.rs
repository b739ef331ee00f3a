//! What push services need to know of devices and calls, as the backplane knows it.

use std::sync::Arc;

use async_trait::async_trait;

use crate::backplane::{Backplane, Device};
use crate::clock::Clock;
use crate::ids::{CallId, DeviceId, PushToken, PushTokenKind, UserId};
use crate::push::{Recipient, Recipients, Unknown};
use crate::timeline::{Recorder, What};

/// The devices and calls of a backplane.
pub struct Known {
    backplane: Arc<dyn Backplane>,
    clock: Clock,
    recorder: Arc<Recorder>,
}

impl Known {
    /// Those of `backplane`; what came of telling them goes to `recorder`.
    pub fn new(backplane: Arc<dyn Backplane>, clock: Clock, recorder: Arc<Recorder>) -> Self {
        Self { backplane, clock, recorder }
    }
}

#[async_trait]
impl Recipients for Known {
    async fn of(&self, user: &UserId) -> Result<Vec<Recipient>, Unknown> {
        let devices = self.backplane.devices(user).await.map_err(|_| Unknown)?;
        let recipient = |Device { id, is_connected, tokens, seen_at, node: _ }| Recipient {
            device: id,
            is_connected,
            tokens,
            seen_at,
        };
        Ok(devices.into_iter().map(recipient).collect())
    }

    async fn is_ringing(&self, call: CallId) -> Result<bool, Unknown> {
        let stored = self.backplane.load(call).await.map_err(|_| Unknown)?;
        Ok(stored.is_some_and(|stored| stored.call.rings_until(self.clock.now()).is_some()))
    }

    fn note(&self, call: CallId, what: What) {
        self.recorder.note(call, || what);
    }

    async fn forget(&self, user: &UserId, device: &DeviceId, kind: PushTokenKind, token: &PushToken) {
        match self.backplane.forget_token(user, device, kind, token).await {
            Ok(()) => tracing::debug!(%user, %device, ?kind, "a dead push token is forgotten"),
            // The next push finds it dead again.
            Err(unavailable) => tracing::debug!(%user, %device, ?kind, %unavailable, "a dead push token stays"),
        }
    }
}
