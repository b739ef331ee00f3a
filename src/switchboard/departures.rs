//! Sockets that have gone. That is written down, and told to their calls, however long it takes until the backplane can be reached:
//! a device that counts as connected and is not would be rung in vain.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::backplane::{Abandoned, Position};
use crate::call::Party;
use crate::ids::{DeviceId, SessionId, UserId};
use crate::switchboard::{Failure, Switchboard};

/// Most departures that wait to be noted. Beyond it a device counts as connected until its user registers it again.
const MAX_DEPARTURES: usize = 200_000;
/// How long to wait before those that could not be noted are tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How many are tried at a time.
const BATCH: usize = 64;

/// How a session came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Departure {
    /// The socket of this device is gone; it had come so far.
    Left(DeviceId, Position),
    /// The app has signed out on this device.
    SignedOut(DeviceId),
    /// It had acted without ever registering.
    Unregistered,
    /// It may have been connected, but its registration failed.
    Unseated,
}

/// Departures that could not be noted yet.
#[derive(Default)]
pub(super) struct Departures {
    waiting: Mutex<HashMap<SessionId, (UserId, Departure)>>,
    added: Notify,
}

impl Departures {
    /// To be noted later.
    pub(super) fn note(&self, user: &UserId, session: &SessionId, departure: Departure) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < MAX_DEPARTURES {
            waiting.insert(session.clone(), (user.clone(), departure));
            self.added.notify_one();
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.waiting.lock().len()
    }

    /// The session is here after all, or again.
    pub(super) fn forget(&self, session: &SessionId) {
        let mut waiting = self.waiting.lock();
        waiting.remove(session);
        if waiting.is_empty() {
            *waiting = HashMap::new();
        }
    }

    fn has(&self, session: &SessionId) -> bool {
        self.waiting.lock().contains_key(session)
    }

    fn all(&self) -> Vec<(SessionId, UserId, Departure)> {
        let waiting = self.waiting.lock();
        waiting.iter().map(|(session, (user, departure))| (session.clone(), user.clone(), departure.clone())).collect()
    }
}

impl Switchboard {
    /// Notes a departure, at once or later.
    pub(super) async fn depart(&self, user: &UserId, session: &SessionId, departure: Departure) -> Result<(), Failure> {
        let departed = self.write_departure(user, session, &departure).await;
        if departed.is_err() {
            self.departures.note(user, session, departure);
        }
        departed
    }

    async fn write_departure(&self, user: &UserId, session: &SessionId, departure: &Departure) -> Result<(), Failure> {
        let (device, left) = match departure {
            Departure::Left(device, position) => (device, self.backplane.detach(user, session, *position).await?),
            Departure::SignedOut(device) => (device, self.backplane.forget(user, session).await?),
            Departure::Unregistered => {
                self.away(user, &session.unnamed_device()).await?;
                return Ok(self.backplane.detach(user, session, Position::default()).await.map(drop)?);
            }
            Departure::Unseated => {
                let device = session.unnamed_device();
                let abandoned =
                    Abandoned { user: user.clone(), device, session: session.clone(), has_calls: false, node: None };
                return Ok(self.backplane.bury(&abandoned).await?);
            }
        };
        // Another session has taken the device over; or nothing is known of it any more.
        let device = device.clone();
        let party = Party { user: user.clone(), device };
        if left.is_some() || !self.is_connected(&party).await? {
            self.away(&party.user, &party.device).await?;
        }
        Ok(())
    }

    async fn retry(&self, user: &UserId, session: &SessionId, departure: &Departure) {
        // The same session may be registering anew.
        let _turn = self.line.turn(user).await;
        if self.departures.has(session) && self.write_departure(user, session, departure).await.is_ok() {
            self.departures.forget(session);
        }
    }

    /// Notes what could not be noted when it happened, until `stop`.
    pub async fn watch_departures(&self, stop: CancellationToken) {
        loop {
            // Waits for a departure that could not be noted, or for the node to stop.
            tokio::select! {
                () = self.departures.added.notified() => {}
                () = stop.cancelled() => return,
            }
            loop {
                let waiting = self.departures.all();
                if waiting.is_empty() {
                    break;
                }
                for batch in waiting.chunks(BATCH) {
                    join_all(batch.iter().map(|(session, user, departure)| self.retry(user, session, departure))).await;
                }
                if tokio::time::timeout(RETRY_AFTER, stop.cancelled()).await.is_ok() {
                    return;
                }
            }
        }
    }
}
