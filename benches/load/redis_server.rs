//! A Redis of one subject: the process, what it counts about itself, what held it up, and filler to make it big.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value, cmd, pipe};
use serde_json::json;

use crate::Failure;
use crate::process::{Directory, Process, free_address};
use crate::usage;

/// A pipeline of filler and a full slow log take longer than the client's usual patience.
const RESPONSE_DEADLINE: Duration = Duration::from_secs(30);
/// Keys in one pipeline.
const FILL_BATCH: u32 = 10_000;
const FILL_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// What only this benchmark asks for; `echo` is the probe's.
const OUR_COMMANDS: [&str; 6] = ["info", "config", "slowlog", "latency", "client", "echo"];

/// Arguments with which Redis remembers what took longer than 1 ms.
pub(crate) const REMEMBER_SLOW: [&str; 6] =
    ["--slowlog-log-slower-than", "1000", "--slowlog-max-len", "10000", "--latency-monitor-threshold", "1"];

/// An entry of the slow log: number, time, microseconds, words, and who sent it.
type SlowCommand = (u64, u64, u64, Vec<Vec<u8>>, Value, Value);

pub(crate) struct RedisServer {
    pub(crate) address: SocketAddr,
    process: Process,
    connection: MultiplexedConnection,
}

/// What Redis has counted so far, at one moment.
pub(crate) struct RedisReading {
    cpu: Duration,
    /// By name; subcommands as `config|get`, and commands within scripts beside the `evalsha` that ran them.
    commands: BTreeMap<String, u64>,
    bytes_out: u64,
    bytes_in: u64,
    /// Of the answer this was read from: it is counted after it.
    answer: u64,
}

/// What Redis did between two moments.
pub(crate) struct RedisWork {
    pub(crate) cpu: Duration,
    pub(crate) commands: BTreeMap<String, u64>,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
}

/// What held Redis up since it was last asked to forget.
pub(crate) struct HoldUps {
    /// The longest command of the slow log, with its first words.
    pub(crate) longest: Option<(Duration, String)>,
    /// Commands above 1 ms.
    pub(crate) slow_commands: usize,
    /// The longest of the latency monitor, with the event's name.
    pub(crate) longest_event: Option<(Duration, String)>,
}

impl RedisReading {
    pub(crate) fn since(&self, earlier: &Self) -> RedisWork {
        let grown = self.commands.iter().map(|(name, calls)| {
            let before = earlier.commands.get(name).copied().unwrap_or_default();
            (name.clone(), calls.saturating_sub(before))
        });
        RedisWork {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            commands: grown.filter(|(_, calls)| *calls > 0).collect(),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out + earlier.answer),
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
        }
    }
}

impl RedisServer {
    pub(crate) async fn start(directory: &Directory, arguments: &[&str]) -> Result<Self, Failure> {
        let address = free_address()?;
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--port",
            &address.port().to_string(),
        ]);
        command.args(arguments);
        let mut process = Process::spawn("redis-server".to_owned(), command, directory)?;
        process.wait_until_listening(address).await?;
        let client = Client::open(format!("redis://{address}"))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(RESPONSE_DEADLINE));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self { address, process, connection })
    }

    pub(crate) async fn read(&self) -> Result<RedisReading, Failure> {
        let info: String =
            cmd("INFO").arg("commandstats").arg("stats").query_async(&mut self.connection.clone()).await?;
        let cpu = usage::cpu(self.process.id())?;
        let number = |name: &str| -> Result<u64, Failure> {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(line.ok_or_else(|| format!("INFO has no {name}"))?.parse()?)
        };
        Ok(RedisReading {
            cpu,
            commands: info.lines().filter_map(calls_of).collect(),
            bytes_out: number("total_net_output_bytes")?,
            bytes_in: number("total_net_input_bytes")?,
            // `$5000\r\n…\r\n`
            answer: u64::try_from(info.len() + info.len().to_string().len() + 5)?,
        })
    }

    /// Keys as a million registered users leave behind, so that whatever walks all keys has much to walk.
    pub(crate) async fn fill(&self, keys: u32) -> Result<(), Failure> {
        let mut connection = self.connection.clone();
        for first in (0..keys).step_by(FILL_BATCH as usize) {
            let mut batch = pipe();
            for number in first..keys.min(first + FILL_BATCH) {
                let user = format!("filler-{number}");
                let session = json!({
                    "userId": user,
                    "socketId": "AAAAAAAAAAAAAAAA",
                    "deviceId": "device-1",
                    "platform": "bench",
                    "registeredAt": 0,
                });
                batch.cmd("SET").arg(format!("session:user:{user}")).arg(session.to_string());
                batch.arg("EX").arg(FILL_LIFETIME.as_secs()).ignore();
            }
            batch.exec_async(&mut connection).await?;
        }
        Ok(())
    }

    pub(crate) async fn forget_hold_ups(&self) -> Result<(), Failure> {
        let mut connection = self.connection.clone();
        cmd("SLOWLOG").arg("RESET").exec_async(&mut connection).await?;
        Ok(cmd("LATENCY").arg("RESET").exec_async(&mut connection).await?)
    }

    pub(crate) async fn hold_ups(&self) -> Result<HoldUps, Failure> {
        let mut connection = self.connection.clone();
        let slow: Vec<SlowCommand> = cmd("SLOWLOG").arg("GET").arg(-1).query_async(&mut connection).await?;
        // Name, time, last and longest in milliseconds.
        let events: Vec<(String, u64, u64, u64)> = cmd("LATENCY").arg("LATEST").query_async(&mut connection).await?;
        let longest = slow.iter().max_by_key(|(_, _, took, ..)| *took);
        let longest_event = events.into_iter().max_by_key(|(.., longest)| *longest);
        Ok(HoldUps {
            longest: longest.map(|(_, _, took, words, ..)| (Duration::from_micros(*took), first_of(words))),
            slow_commands: slow.len(),
            longest_event: longest_event.map(|(name, .., longest)| (Duration::from_millis(longest), name)),
        })
    }
}

/// `cmdstat_get:calls=21,usec=…` without our own.
fn calls_of(line: &str) -> Option<(String, u64)> {
    let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    let ours = OUR_COMMANDS.contains(&name.split('|').next()?);
    let calls = figures.split(',').next()?.parse().ok()?;
    (!ours).then(|| (name.to_owned(), calls))
}

/// Enough to know a command by; scripts and keys may be long, and arguments need not be text.
fn first_of(words: &[Vec<u8>]) -> String {
    let first = words.iter().take(3).map(|word| String::from_utf8_lossy(word).chars().take(24).collect());
    first.collect::<Vec<String>>().join(" ")
}
