//! The configuration once more while the server runs: what has changed, what of that can be taken over, and what its files hold at present.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::file::{FileError, text_of};
use super::problem::shortened;
use super::secret_files::Kept;
use super::source::{self, NAMED_BY, Vars};
use super::variables::{Variable, variables};
use super::{
    BackplaneConfig, Config, ConfigErrors, IceConfig, Problem, RedisConfig, RedisServers, Setting, TurnCredentials,
    read,
};

/// Variables whose file is read at the start, and only then.
const READ_AT_THE_START: [&str; 3] = ["JWT_PUBLIC_KEY_PATH", "FIREBASE_PRIVATE_KEY_PATH", "APNS_KEY_PATH"];

/// What a configuration was read from. Shows nothing of itself: there are secrets in it.
#[derive(Clone, Default)]
pub(super) struct Origin {
    /// As they stood in the environment and in the file of settings.
    vars: Vars,
    /// With the secrets that stood in files.
    given: BTreeMap<String, String>,
    /// What is looked at again without being asked to.
    watched: Vec<PathBuf>,
    /// What was in the files that are not.
    contents: BTreeMap<&'static str, Fingerprint>,
    /// What could not be read again.
    stale: Vec<Problem>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Origin")
    }
}

type Fingerprint = Option<[u8; 32]>;

impl Origin {
    /// `files` are read again when they change.
    pub(super) fn new(
        vars: Vars,
        given: BTreeMap<String, String>,
        files: impl IntoIterator<Item = PathBuf>,
        stale: Vec<Problem>,
    ) -> Self {
        let content = |name: &'static str| Some((name, fingerprint(given.get(name)?.trim()).ok()));
        let contents = READ_AT_THE_START.into_iter().filter_map(content).collect();
        Self { vars, watched: files.into_iter().collect(), contents, stale, given }
    }

    fn secret(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|value| value.trim())
    }

    pub(super) fn kept(&self) -> Kept<'_> {
        Kept(&self.given)
    }
}

fn fingerprint(path: impl AsRef<Path>) -> Result<[u8; 32], FileError> {
    Ok(Sha256::digest(text_of(path)?).into())
}

/// What the files of secrets and certificates hold, for finding out whether that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look(Vec<Result<[u8; 32], FileError>>);

/// A variable that has another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The variable.
    pub name: &'static str,
    /// Its value before, or what stands for it; never a secret.
    pub before: String,
    /// Its value from here on.
    pub after: String,
    /// Whether a running server takes it over.
    pub is_hot: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.before == self.after {
            write!(f, "{}: another one", self.name)
        } else {
            write!(f, "{}: {} -> {}", self.name, shortened(&self.before), shortened(&self.after))
        }
    }
}

impl Config {
    /// Whether there are files to look at.
    pub fn has_files(&self) -> bool {
        !self.origin.watched.is_empty()
    }

    /// Looks at the files of secrets and certificates, and at that of settings if it has been named. Blocks.
    pub fn look(&self) -> Look {
        Look(self.origin.watched.iter().map(fingerprint).collect())
    }

    /// The file of settings, the environment and all files once more; a file that was named and gives nothing leaves what was there, and
    /// is in [`Config::stale`]. Blocks.
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn again(&self) -> Result<Self, ConfigErrors> {
        let (vars, stale) = source::read(Some(&self.origin.vars))?;
        let mut config = read::config(vars, Some(self))?;
        config.origin.stale.extend(stale);
        Ok(config)
    }

    /// The same of those files alone that [`Config::look`] looks at. Blocks.
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn with_files_again(&self) -> Result<Self, ConfigErrors> {
        if self.origin.given.contains_key(NAMED_BY) {
            return self.again();
        }
        read::config(self.origin.vars.clone(), Some(self))
    }

    /// The files that gave nothing when they were read again.
    pub fn stale(&self) -> &[Problem] {
        &self.origin.stale
    }

    /// What is different in `newer`.
    pub fn changes(&self, newer: &Self) -> Vec<Change> {
        let pairs = variables().iter().zip(self.settings.iter().zip(&newer.settings));
        let changed = pairs.filter(|(variable, (before, after))| {
            let name = variable.name;
            let content = |config: &Self| config.origin.contents.get(name).copied();
            before.value != after.value
                || (variable.kind.is_secret() && self.origin.secret(name) != newer.origin.secret(name))
                || content(self) != content(newer)
                || (name == "TLS_CERT" && self.server.tls != newer.server.tls)
        });
        let change = |(variable, (before, after)): (&Variable, (&Setting, &Setting))| Change {
            name: variable.name,
            before: before.value.clone(),
            after: after.value.clone(),
            is_hot: variable.is_hot() && self.can_take(variable.name, newer),
        };
        changed.map(change).collect()
    }

    /// Whether a hot variable is one as things are: what was not there at all at the start cannot be added.
    fn can_take(&self, name: &str, newer: &Self) -> bool {
        match name {
            "JWT_SECRET" => [self, newer].iter().all(|config| config.origin.given.contains_key(name)),
            "TLS_CERT" | "TLS_KEY" => self.server.tls.is_some() && newer.server.tls.is_some(),
            "TURN_STATIC_SECRET" => signs(&self.ice) && signs(&newer.ice),
            name if name.starts_with("REDIS_") => match (&self.backplane, &newer.backplane) {
                (BackplaneConfig::Redis(redis), BackplaneConfig::Redis(newer)) => redis.is_same_place(newer),
                _ => false,
            },
            _ => true,
        }
    }

    /// Takes over of `newer` what `changes` say that can be; and where to read it all from the next time.
    pub fn take_over(&mut self, newer: &Self, changes: &[Change]) {
        for Change { name, .. } in changes.iter().filter(|change| change.is_hot) {
            match *name {
                "LOG_LEVEL" => self.logs.level = newer.logs.level,
                "JWT_SECRET" => self.auth.secret.clone_from(&newer.auth.secret),
                "TLS_CERT" | "TLS_KEY" => self.server.tls.clone_from(&newer.server.tls),
                "TURN_STATIC_SECRET" => self.ice.turn = newer.ice.turn.clone(),
                name if name.starts_with("REDIS_") => self.backplane = newer.backplane.clone(),
                _ => {
                    let max_payload = self.limits.max_payload;
                    self.limits = super::LimitsConfig { max_payload, ..newer.limits.clone() };
                }
            }
            match newer.origin.given.get(*name) {
                Some(value) => self.origin.given.insert((*name).to_owned(), value.clone()),
                None => self.origin.given.remove(*name),
            };
            for (setting, newer) in
                self.settings.iter_mut().zip(&newer.settings).filter(|(_, newer)| newer.name == *name)
            {
                setting.clone_from(newer);
            }
        }
        self.warnings.clone_from(&newer.warnings);
        self.origin.vars = newer.origin.vars.clone();
        self.origin.watched.clone_from(&newer.origin.watched);
    }
}

fn signs(ice: &IceConfig) -> bool {
    matches!(ice.turn, TurnCredentials::Secret(_))
}

impl RedisConfig {
    /// Whether `other` differs in user and password at most.
    fn is_same_place(&self, other: &Self) -> bool {
        let Self { servers, username: _, password: _, db, tls, key_prefix, timeout } = self;
        servers.is_same_place(&other.servers)
            && (db, tls, key_prefix, timeout) == (&other.db, &other.tls, &other.key_prefix, &other.timeout)
    }
}

impl RedisServers {
    fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp { host, port }, Self::Tcp { host: other, port: at }) => (host, port) == (other, at),
            (Self::Unix(path), Self::Unix(other)) => path == other,
            (Self::Sentinel { sentinels, master, .. }, Self::Sentinel { sentinels: others, master: other, .. }) => {
                (sentinels, master) == (others, other)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
