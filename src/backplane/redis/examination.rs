//! A close look at a Redis for its operator: every question is asked, and what is wrong is told with what to change.
//!
//! It asks over a connection of its own and changes nothing: the keys on which the commands are tried go in the same step in which they
//! come.

mod facts;
mod permissions;
mod unreachable;

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError};

use crate::backplane::redis::address::{self, AddressError, connection_config};
use crate::backplane::redis::checks;
use crate::backplane::redis::keys::Keys;
use crate::backplane::redis::link::plain;
use crate::backplane::redis::nodes::DEAD_AFTER_MS;
use crate::clock::{Clock, Stopwatch};
use crate::config::{RedisConfig, RedisServers};
use crate::finding::{Finding, clock as clock_finding};

/// How long one answer may take: somebody waits for all of them.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the way to Redis is measured.
const PINGS: usize = 7;

/// What is to be said about the Redis that `config` names.
pub async fn examine(config: &RedisConfig, clock: Clock) -> Vec<Finding> {
    let mut findings = sentinels(config).await;
    let client = match address::client(config).await {
        Ok(client) => client,
        // The Sentinels have said so themselves.
        Err(AddressError::NoPrimary(_)) => return findings,
        Err(error) => {
            let advice = "Correct the file that REDIS_TLS_CA, REDIS_TLS_CERT or REDIS_TLS_KEY names";
            findings.push(Finding::problem("connection", error.to_string(), advice));
            return findings;
        }
    };
    let settings = connection_config(ANSWER_TIMEOUT);
    let address = client.get_connection_info().addr().to_string();
    match client.get_multiplexed_async_connection_with_config(&settings).await {
        Ok(connection) => {
            let tls = if config.tls.is_some() { "connected with TLS" } else { "connected without TLS" };
            findings.push(Finding::ok(address, tls));
            let examination = Examination { config, client, connection, clock };
            findings.extend(examination.findings().await);
        }
        Err(error) => findings.push(unreachable::told(address, config, &error)),
    }
    findings
}

/// What each Sentinel says.
async fn sentinels(config: &RedisConfig) -> Vec<Finding> {
    let RedisServers::Sentinel { master, .. } = &config.servers else { return Vec::new() };
    let answers = address::ask_sentinels(config).await;
    let primaries: Vec<_> = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()?.as_ref()).collect();
    let is_one = primaries.windows(2).all(|two| two[0] == two[1]);
    let nobody_knows = primaries.is_empty();
    answers
        .iter()
        .map(|(sentinel, answer)| {
            let subject = format!("Sentinel {sentinel}");
            match answer {
                Ok(Some((host, port))) if is_one => Finding::ok(subject, format!("the primary is {host}:{port}")),
                Ok(Some((host, port))) => Finding::warning(
                    subject,
                    format!("the primary is {host}:{port}, and another Sentinel names another one"),
                    "Look again in a minute: a fail-over may be under way; if it stays so, run SENTINEL RESET on the one that is wrong",
                ),
                Ok(None) => Finding::problem(
                    subject,
                    format!("it knows no primary by the name of {master}"),
                    "Set REDIS_SENTINEL_MASTER to the name in `sentinel monitor` of sentinel.conf",
                ),
                Err(why) => {
                    let advice =
                        "Start that Sentinel, or correct REDIS_SENTINELS, REDIS_SENTINEL_USERNAME or REDIS_SENTINEL_PASSWORD";
                    let found = format!("no answer: {why}");
                    if nobody_knows { Finding::problem(subject, found, advice) } else { Finding::warning(subject, found, advice) }
                }
            }
        })
        .collect()
}

struct Examination<'a> {
    config: &'a RedisConfig,
    client: Client,
    connection: MultiplexedConnection,
    clock: Clock,
}

impl Examination<'_> {
    async fn findings(mut self) -> Vec<Finding> {
        let mut findings = match self.latency().await {
            Ok(latency) => vec![latency],
            // The other questions would take their time, and say no more.
            Err(silent) => return vec![silent],
        };
        let info: Result<String, _> = redis::cmd("INFO").query_async(&mut self.connection).await;
        match &info {
            Ok(text) => {
                let info = checks::fields(text);
                findings.extend(facts::from_info(&info));
                if matches!(self.config.servers, RedisServers::Sentinel { .. }) {
                    findings.extend(facts::heirs(&info));
                }
                findings.extend(facts::from_config(self.settings().await.as_ref()));
            }
            Err(error) => findings.push(Finding::problem(
                "INFO",
                format!("refused: {}", plain(error)),
                "Allow the user of REDIS_USERNAME what README.md lists under \"A user of its own\", +info among it",
            )),
        }
        findings.push(self.clock().await);
        let keys = Keys::new(&self.config.key_prefix, self.config.db);
        findings.extend(permissions::findings(self.config, &self.client, &mut self.connection, &keys).await);
        findings.push(self.nodes(&keys).await);
        findings
    }

    async fn latency(&mut self) -> Result<Finding, Finding> {
        let mut times = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            let stopwatch = Stopwatch::start();
            if let Err(error) = redis::cmd("PING").exec_async(&mut self.connection).await {
                return Err(facts::silent(&error));
            }
            times.push(stopwatch.elapsed());
        }
        Ok(facts::latency(&mut times, self.config.timeout))
    }

    /// What stands in its configuration, if this user may see that.
    async fn settings(&mut self) -> Option<HashMap<String, String>> {
        let mut settings = HashMap::new();
        for name in ["notify-keyspace-events", "client-output-buffer-limit"] {
            let mut command = redis::cmd("CONFIG");
            command.arg("GET").arg(name);
            let found: HashMap<String, String> = command.query_async(&mut self.connection).await.ok()?;
            settings.extend(found);
        }
        Some(settings)
    }

    async fn clock(&mut self) -> Finding {
        let stopwatch = Stopwatch::start();
        let time: Result<(u64, u64), RedisError> = redis::cmd("TIME").query_async(&mut self.connection).await;
        let way = stopwatch.elapsed() / 2;
        match time {
            Ok((seconds, micros)) => {
                let here = self.clock.now().0.saturating_sub(u64::try_from(way.as_millis()).unwrap_or_default());
                clock_finding("clock", "Redis", here, seconds * 1000 + micros / 1000, way)
            }
            Err(error) => Finding::problem(
                "clock",
                format!("TIME is refused: {}", plain(&error)),
                "Allow the user of REDIS_USERNAME +time",
            ),
        }
    }

    async fn nodes(&mut self, keys: &Keys) -> Finding {
        let mut command = redis::cmd("ZRANGE");
        command.arg(format!("{}nodes", keys.prefix())).arg(0).arg(-1).arg("WITHSCORES");
        let nodes: Result<Vec<(String, u64)>, RedisError> = command.query_async(&mut self.connection).await;
        let Ok(nodes) = nodes else {
            return Finding::absent("nodes", "cannot be counted, as ZRANGE is refused");
        };
        let time: Result<(u64, u64), RedisError> = redis::cmd("TIME").query_async(&mut self.connection).await;
        let now = time.map_or_else(|_| self.clock.now().0, |(seconds, _)| seconds * 1000);
        let alive = nodes.iter().filter(|(_, seen)| now.saturating_sub(*seen) < DEAD_AFTER_MS).count();
        facts::nodes(alive)
    }
}
