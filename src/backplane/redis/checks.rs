//! What Redis has to be for a node to use it, and what its operator should know.

use std::collections::HashMap;

use redis::RedisError;
use redis::aio::MultiplexedConnection;

use crate::backplane::redis::link::plain;

/// The oldest Redis that has every command the scripts use.
const OLDEST: (u32, u32) = (6, 2);

/// Why a Redis is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// Something is in the way.
    #[error("it does not answer: {}", plain(.0))]
    Failed(RedisError),
    /// Too old.
    #[error("its version is {0}, and at least 6.2 is needed")]
    Old(String),
    /// A cluster.
    #[error("it is a Redis Cluster, which is not supported: use one primary, with Sentinels if it is to fail over")]
    Cluster,
    /// Not a primary.
    #[error("it is a replica; if there are Sentinels, set REDIS_SENTINELS, else point at the primary")]
    Replica,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Findings {
    /// `redis 7.0.15`, `valkey 8.0.1`.
    pub(super) server: String,
    /// `noeviction`, or what it throws away.
    pub(super) eviction: String,
}

/// Looks at a Redis.
pub(super) async fn check(connection: &mut MultiplexedConnection) -> Result<Findings, Unfit> {
    let text: String = redis::cmd("INFO").query_async(connection).await.map_err(Unfit::Failed)?;
    judge(&fields(&text))
}

/// What stands in an answer to `INFO`.
pub(super) fn fields(info: &str) -> HashMap<&str, &str> {
    info.lines().filter_map(|line| line.split_once(':')).collect()
}

/// Whether a Redis that says this of itself is of use.
pub(super) fn judge(info: &HashMap<&str, &str>) -> Result<Findings, Unfit> {
    let field = |name: &str| info.get(name).copied().unwrap_or_default();
    let version = field("redis_version");
    if parsed(version).is_some_and(|version| version < OLDEST) {
        return Err(Unfit::Old(version.to_owned()));
    }
    if field("redis_mode") == "cluster" || field("cluster_enabled") == "1" {
        return Err(Unfit::Cluster);
    }
    if field("role") == "slave" {
        return Err(Unfit::Replica);
    }
    let server = match info.get("valkey_version") {
        Some(valkey) => format!("valkey {valkey}"),
        None => format!("redis {version}"),
    };
    Ok(Findings { server, eviction: field("maxmemory_policy").to_owned() })
}

fn parsed(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl Findings {
    /// Says in the log what was found.
    pub(super) fn tell(&self) {
        tracing::info!(server = self.server, "connected to Redis");
        if self.eviction != "noeviction" && !self.eviction.is_empty() {
            tracing::warn!(
                policy = self.eviction,
                "REDIS MAY THROW AWAY CALLS: its maxmemory-policy is not noeviction. Under memory pressure it will drop calls and \
                 devices, and phones will not ring. Set maxmemory-policy noeviction"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(fields: &[(&'static str, &'static str)]) -> Result<Findings, Unfit> {
        judge(&fields.iter().copied().collect())
    }

    #[test]
    fn what_is_fit_is_used() {
        let found =
            judged(&[("redis_version", "6.2.0"), ("role", "master"), ("maxmemory_policy", "allkeys-lru")]).unwrap();
        assert_eq!(found, Findings { server: "redis 6.2.0".into(), eviction: "allkeys-lru".into() });
        let found = judged(&[("redis_version", "7.2.4"), ("valkey_version", "8.0.1"), ("role", "master")]).unwrap();
        assert_eq!(found.server, "valkey 8.0.1");
    }

    #[test]
    fn what_is_not_is_refused_in_words() {
        let said = |fields: &[_]| judged(fields).unwrap_err().to_string();
        assert!(said(&[("redis_version", "6.0.16")]).contains("at least 6.2"));
        assert!(said(&[("redis_version", "7.0.0"), ("redis_mode", "cluster")]).contains("Cluster"));
        assert!(said(&[("redis_version", "7.0.0"), ("role", "slave")]).contains("replica"));
    }
}
