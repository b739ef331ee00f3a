//! The keys of an identity provider as this node knows them: kept, replaced before they are stale, and fetched when a token names one
//! that is not known. One task fetches; whoever needs a key waits for what it brings.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jsonwebtoken::Algorithm;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::auth::key_server::KeyServer;
use crate::auth::keys::{Found, KeySet, VerifyingKey};
use crate::auth::schedule::Schedule;
use crate::auth::{AuthError, invalid};
use crate::clock::{Clock, Timestamp};

/// By how much the clocks of the provider and of this node may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);

/// An identity provider.
pub(super) struct Provider {
    server: KeyServer,
    clock: Clock,
    known: watch::Sender<Arc<Known>>,
    asked: Notify,
}

/// What is known of its keys.
#[derive(Default)]
struct Known {
    keys: KeySet,
    /// How often they have been fetched; never, if it is 0.
    times: u64,
    fetched_at: Timestamp,
    /// Before this, no token has them fetched again.
    may_ask_at: Timestamp,
}

/// What a token says of its key. Nothing of it is to be trusted.
#[derive(Clone, Copy)]
pub(super) struct Sought<'a> {
    /// Its name.
    pub(super) name: Option<&'a str>,
    /// What the token was signed by.
    pub(super) algorithm: Algorithm,
    /// When the token was made.
    pub(super) made_at: Option<Timestamp>,
}

impl Provider {
    /// A provider that has not been asked yet.
    pub(super) fn new(server: KeyServer, clock: Clock) -> Self {
        Self { server, clock, known: watch::Sender::default(), asked: Notify::new() }
    }

    /// Where the keys are.
    pub(super) fn server(&self) -> &KeyServer {
        &self.server
    }

    /// Whether any keys are known.
    pub(super) fn has_keys(&self) -> bool {
        self.known.borrow().times > 0
    }

    /// The key of a token. Waits for it as long as `patience` lasts, if it may be one that is not known yet.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if there is no such key, [`AuthError::Unavailable`] if that cannot be known.
    pub(super) async fn key(&self, sought: Sought<'_>, patience: Duration) -> Result<Arc<VerifyingKey>, AuthError> {
        let mut known = self.known.subscribe();
        let times = known.borrow().times;
        let search = async {
            // Waits for keys to be fetched, until the one sought is among them or cannot be.
            loop {
                let latest = known.borrow_and_update().clone();
                match latest.keys.find(sought.name, sought.algorithm) {
                    Found::Key(key) => return Ok(key),
                    Found::Misfit => {
                        return Err(invalid("the key it names is for something else, or it names none of several"));
                    }
                    Found::Unknown if latest.times > times || self.is_old_news(&latest, sought) => {
                        return Err(invalid("the identity provider has no such key"));
                    }
                    Found::Unknown => self.asked.notify_one(),
                }
                known.changed().await.map_err(|_| AuthError::Unavailable)?;
            }
        };
        tokio::time::timeout(patience, search).await.unwrap_or(Err(AuthError::Unavailable))
    }

    /// Whether `known` is too fresh to be fetched again for a token that is older: its key would be there.
    fn is_old_news(&self, known: &Known, sought: Sought<'_>) -> bool {
        let is_older = sought.made_at.is_none_or(|made_at| made_at.plus(LEEWAY) < known.fetched_at);
        known.times > 0 && self.clock.now() < known.may_ask_at && is_older
    }

    /// Fetches the keys whenever it is time, until the node stops.
    pub(super) async fn keep(&self, stopping: CancellationToken) {
        let mut schedule = Schedule::new();
        let mut complaint = None;
        loop {
            tokio::select! {
                () = self.time_to_fetch(&mut schedule) => {}
                () = stopping.cancelled() => return,
            }
            tokio::select! {
                () = self.fetch(&mut schedule, &mut complaint) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Waits for the time of the next fetch. What has been waited counts, whatever the clock says by then: it may be set back.
    async fn time_to_fetch(&self, schedule: &mut Schedule) {
        let wait = |schedule: &Schedule| self.clock.now().until(schedule.next_at());
        let mut due = pin!(tokio::time::sleep(wait(schedule)));
        loop {
            // Waits until it is time, or for a token whose key is not known, which may make it so sooner.
            tokio::select! {
                () = &mut due => return,
                () = self.asked.notified() => {}
            }
            let before = schedule.next_at();
            schedule.asked();
            let wait = wait(schedule);
            if schedule.next_at() < before || wait.is_zero() {
                due.set(tokio::time::sleep(wait));
            }
        }
    }

    async fn fetch(&self, schedule: &mut Schedule, complaint: &mut Option<String>) {
        schedule.begin(self.clock.now());
        let fetched = self.server.fetch().await;
        let now = self.clock.now();
        match fetched {
            Ok((keys, lifetime)) => {
                schedule.succeeded(now, lifetime);
                let before = self.known.borrow().clone();
                let is_mended = complaint.take().is_some();
                if before.times == 0 || is_mended || !keys.has_names_of(&before.keys) {
                    tracing::info!(keys = keys.len(), "has the keys of the identity provider");
                }
                let times = before.times + 1;
                let may_ask_at = schedule.may_ask_at();
                self.known.send_replace(Arc::new(Known { keys, times, fetched_at: now, may_ask_at }));
                // Whoever has asked meanwhile is answered by this.
                let _ = self.asked.notified().now_or_never();
            }
            Err(error) => {
                schedule.failed(now);
                let why = error.to_string();
                if complaint.as_ref() != Some(&why) {
                    let known = self.known.borrow().keys.len();
                    tracing::warn!(why, known, "the keys of the identity provider cannot be fetched; trying on");
                    *complaint = Some(why);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
