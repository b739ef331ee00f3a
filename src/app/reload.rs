//! The configuration once more, while the node runs: at SIGHUP all of it, and by itself the files that were named when they change. What
//! can be taken over is; what cannot is said.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::auth::{Authenticator, CallTokens};
use crate::backplane::Redis;
use crate::clock::Clock;
use crate::config::{BackplaneConfig, Change, Config, ConfigErrors, Look, Problem, TurnCredentials};
use crate::lifecycle::Hangups;
use crate::listener::{ConnectionLimit, Tls};
use crate::metrics::{Metrics, Reload};
use crate::socket::Hub;
use crate::telemetry::LogLevel;
use crate::turn::IceServers;

/// How often the files are looked at. What is in them counts when it is there at two looks: whoever writes one may be half-way.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a new configuration is handed to.
pub(super) struct Parts {
    pub(super) hub: Arc<Hub>,
    pub(super) connection_limit: ConnectionLimit,
    pub(super) tls: Option<Tls>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) call_tokens: CallTokens,
    pub(super) redis: Option<Arc<Redis>>,
    pub(super) ice_servers: Arc<IceServers>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
}

/// Keeps a node by its configuration.
pub(super) struct Reloading {
    parts: Parts,
    /// What the node goes by.
    effective: Arc<Config>,
    /// What was said last to need a restart, and to be wrong.
    told: Vec<Change>,
    told_wrong: Option<ConfigErrors>,
    /// The files that gave nothing.
    told_stale: Vec<Problem>,
    files: Settling<Look>,
}

/// Says when something is there to stay.
struct Settling<T> {
    /// As it was when it was last acted upon, and when it was last looked at.
    acted_on: Option<T>,
    seen: Option<T>,
}

impl<T: PartialEq + Clone> Settling<T> {
    const fn new() -> Self {
        Self { acted_on: None, seen: None }
    }

    /// It may be another one, or at another place: it is to be acted upon as if never before.
    fn forget(&mut self) {
        self.acted_on = None;
    }

    /// It looks like this. Whether that is to be acted upon: it is news, and was the same at the last look.
    fn look(&mut self, look: T) -> bool {
        let is_settled = self.seen.as_ref() == Some(&look) && self.acted_on.as_ref() != Some(&look);
        if is_settled {
            self.acted_on = Some(look.clone());
        }
        self.seen = Some(look);
        is_settled
    }
}

impl Reloading {
    /// Of a node that was built by `config`.
    pub(super) fn new(config: &Config, parts: Parts) -> Self {
        let effective = Arc::new(config.clone());
        let reloading = Self {
            parts,
            effective,
            told: Vec::new(),
            told_wrong: None,
            told_stale: Vec::new(),
            files: Settling::new(),
        };
        reloading.note_read();
        reloading
    }

    /// Reads it again when that is asked for, and when the files change, until `stop`.
    pub(super) async fn watch(mut self, mut hangups: Hangups, level: LogLevel, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let watching = async {
            loop {
                // Waits to be asked, or for the next look. Being asked several times meanwhile is being asked once.
                tokio::select! {
                    () = hangups.next() => self.read_again(&level).await,
                    _ = looks.tick(), if self.effective.has_files() => self.look_again(&level).await,
                }
            }
        };
        // Also in the middle of it: a file that hangs holds up no end.
        stop.run_until_cancelled(watching).await;
    }

    async fn read_again(&mut self, level: &LogLevel) {
        let config = self.effective.clone();
        let Ok(read) = spawn_blocking(move || config.again()).await else { return };
        self.told_stale.clear();
        self.tell_stale(&read);
        if read.is_ok() {
            // There may be other files to look at, and something else in them already than was read.
            self.files.forget();
        }
        self.consider(read, true, level);
    }

    async fn look_again(&mut self, level: &LogLevel) {
        let config = self.effective.clone();
        let Ok(look) = spawn_blocking(move || config.look()).await else { return };
        if !self.files.look(look) {
            return;
        }
        let config = self.effective.clone();
        let Ok(read) = spawn_blocking(move || config.with_files_again()).await else { return };
        self.tell_stale(&read);
        self.consider(read, false, level);
    }

    /// Takes over what can be. Whoever has not asked is told of nothing that stays as it is.
    fn consider(&mut self, read: Result<Config, ConfigErrors>, is_asked: bool, level: &LogLevel) {
        let newer = match read {
            Ok(newer) => newer,
            Err(errors) => return self.tell_wrong(errors, is_asked),
        };
        self.told_wrong = None;
        let changes = self.effective.changes(&newer);
        let before = self.effective.clone();
        let mut effective = (*before).clone();
        effective.take_over(&newer, &changes);
        self.effective = Arc::new(effective);
        let (hot, cold): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.is_hot);
        // Said at the more detailed of the two levels: one that is raised to `error` would hide it.
        level.set(before.logs.level.max(self.effective.logs.level));
        self.tell(&before, &newer, &hot, cold, is_asked);
        self.hand_over(&hot);
        level.set(self.effective.logs.level);
        if is_asked || !hot.is_empty() {
            let outcome = if hot.is_empty() { Reload::Unchanged } else { Reload::Applied };
            self.parts.metrics.config_reloads.inc(outcome);
            self.note_read();
        }
    }

    /// Says which files gave nothing, each until it gives something again only once.
    fn tell_stale(&mut self, read: &Result<Config, ConfigErrors>) {
        let Ok(read) = read else { return };
        for problem in read.stale().iter().filter(|problem| !self.told_stale.contains(problem)) {
            tracing::warn!(%problem, "a file gives nothing that is of use; what it held before goes on to count");
        }
        self.told_stale = read.stale().to_vec();
    }

    fn tell_wrong(&mut self, errors: ConfigErrors, is_asked: bool) {
        if !is_asked && self.told_wrong.as_ref() == Some(&errors) {
            return;
        }
        self.parts.metrics.config_reloads.inc(Reload::Invalid);
        for problem in &errors.0 {
            tracing::error!(%problem, "the configuration is not valid; nothing of it is taken over");
        }
        self.told_wrong = Some(errors);
    }

    fn tell(&mut self, before: &Config, newer: &Config, hot: &[Change], cold: Vec<Change>, is_asked: bool) {
        if !hot.is_empty() {
            tracing::info!(changes = list(hot), "the configuration was read again and taken over");
        } else if is_asked {
            tracing::info!("the configuration was read again; nothing that a running server takes over has changed");
        }
        if !cold.is_empty() && (is_asked || cold != self.told) {
            tracing::warn!(changes = list(&cold), "what else has changed needs a restart");
        }
        self.told = cold;
        for warning in newer.warnings.iter().filter(|warning| !before.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
    }

    fn hand_over(&self, hot: &[Change]) {
        let (parts, config) = (&self.parts, &*self.effective);
        if hot.iter().any(|change| change.name == "JWT_SECRET")
            && let Some(secret) = &config.auth.secret
        {
            parts.authenticator.rotate(secret);
            parts.call_tokens.rotate(secret);
        }
        if hot.is_empty() {
            return;
        }
        parts.hub.set_limits(&config.limits);
        parts.connection_limit.set(config.limits.max_connections);
        if let (Some(tls), Some(identity)) = (&parts.tls, &config.server.tls) {
            tls.show(identity);
        }
        if let (Some(redis), BackplaneConfig::Redis(config)) = (&parts.redis, &config.backplane) {
            redis.set_credentials(config);
        }
        if let TurnCredentials::Secret(secret) = &config.ice.turn {
            parts.ice_servers.sign_with(secret);
        }
    }

    /// A valid configuration was read.
    fn note_read(&self) {
        let Parts { metrics, clock, .. } = &self.parts;
        let seconds = |at: u64| usize::try_from(at / 1000).unwrap_or(usize::MAX);
        metrics.config_read_at.set(seconds(clock.now().0));
        let expires_at = self.effective.server.tls.as_ref().map_or(0, |identity| identity.expires_at.0);
        metrics.tls_expires_at.set(seconds(expires_at));
    }
}

fn list(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_at_two_looks_counts_once() {
        let mut files = Settling::new();
        let looks = [("a", false), ("a", true), ("a", false), ("half", false), ("b", false), ("b", true), ("b", false)];
        for (look, is_settled) in looks {
            assert_eq!(files.look(look), is_settled, "{look}");
        }
        for look in ["c", "b", "b", "c", "b"] {
            assert!(!files.look(look), "what never stays, and what is back, is no news");
        }
        files.forget();
        assert!(files.look("b") && !files.look("b"));
    }
}
