//! A server under test: one node or several, as child processes on free loopback ports, with a Redis of their own if they
//! need one. Owns the processes: dropping it kills them by their pid.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::options::{Kind, Options};
use crate::process::{Directory, Process, free_address};
use crate::redis_server::{RedisReading, RedisServer, RedisWork};
use crate::report::Column;
use crate::usage;

/// Signs the tokens of one benchmark; the servers live on loopback for as long as it runs.
pub(crate) const SECRET: &str = "only-for-the-load-benchmark-on-loopback-0123456789";

/// Limits that guard a public server and would get in the way of a generator with few users.
const WIDE_OPEN: [&str; 7] =
    ["EVENT_RATE", "EVENT_BURST", "USER_EVENT_RATE", "USER_EVENT_BURST", "CALL_RATE", "CALL_BURST", "MAX_CONNECTIONS"];
const WIDE_OPEN_BYTES: [&str; 2] = ["EVENT_BYTES_RATE", "EVENT_BYTES_BURST"];
/// What would say where Redis is, were it set where the benchmark is started.
const OTHER_REDIS: [&str; 4] = ["REDIS_URL", "REDIS_HOST", "REDIS_SENTINELS", "REDIS_KEY_PREFIX"];

/// Where the nodes keep their state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    Memory,
    Redis,
    /// In Redis; the peer relays through it too, as switchboard always does.
    RedisAdapter,
}

/// What to start.
pub(crate) struct Plan {
    pub(crate) column: Column,
    pub(crate) keeping: Keeping,
    /// Variables of every node.
    pub(crate) settings: Vec<(&'static str, String)>,
    pub(crate) redis_arguments: Vec<&'static str>,
}

pub(crate) struct Subject {
    nodes: Vec<Node>,
    redis: Option<RedisServer>,
    /// Processes that generate load beside this one.
    generators: Vec<u32>,
    // Dropped after the processes that write to it.
    directory: Directory,
}

struct Node {
    address: SocketAddr,
    process: Process,
}

/// What was consumed so far, at one moment.
pub(crate) struct Reading {
    at: Instant,
    server: Duration,
    generator: Duration,
    machine: Duration,
    redis: Option<RedisReading>,
}

/// What was consumed between two moments: CPU time, and the work of Redis.
pub(crate) struct Consumed {
    pub(crate) elapsed: Duration,
    /// Of all nodes.
    pub(crate) server: Duration,
    pub(crate) redis: Option<RedisWork>,
    pub(crate) generator: Duration,
    /// How many cores others kept busy: figures taken beside a build are worth little.
    pub(crate) others: f64,
}

impl Reading {
    pub(crate) fn since(self, earlier: &Self) -> Consumed {
        let elapsed = self.at - earlier.at;
        let server = self.server.saturating_sub(earlier.server);
        let redis = self.redis.zip(earlier.redis.as_ref()).map(|(later, earlier)| later.since(earlier));
        let generator = self.generator.saturating_sub(earlier.generator);
        let known = server + generator + redis.as_ref().map_or(Duration::ZERO, |redis| redis.cpu);
        let others = self.machine.saturating_sub(earlier.machine).saturating_sub(known);
        Consumed { elapsed, server, redis, generator, others: others.as_secs_f64() / elapsed.as_secs_f64() }
    }
}

impl Consumed {
    /// CPU time of the nodes and of their Redis.
    pub(crate) fn total(&self) -> Duration {
        self.server + self.redis.as_ref().map_or(Duration::ZERO, |redis| redis.cpu)
    }
}

/// Installs what the servers need before anything is measured.
pub(crate) fn prepare(options: &Options) -> Result<(), Failure> {
    if !options.kinds().contains(&Kind::Peer) || peer_directory().join("node_modules").exists() {
        return Ok(());
    }
    println!("npm ci in {}", peer_directory().display());
    let status = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--silent"])
        .current_dir(peer_directory())
        .status()
        .map_err(|error| format!("npm (Node 20 or later) is needed for the peer: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("npm ci: {status}").into()) }
}

impl Subject {
    /// Starts the nodes and waits until they are ready.
    pub(crate) async fn start(plan: &Plan) -> Result<Self, Failure> {
        let directory = Directory::create()?;
        let redis = match plan.keeping {
            Keeping::Memory => None,
            Keeping::Redis | Keeping::RedisAdapter => {
                Some(RedisServer::start(&directory, &plan.redis_arguments).await?)
            }
        };
        let mut subject = Self { nodes: Vec::new(), redis, generators: Vec::new(), directory };
        for number in 1..=plan.column.nodes {
            let node = subject.start_node(plan, number).await?;
            subject.nodes.push(node);
        }
        Ok(subject)
    }

    async fn start_node(&self, plan: &Plan, number: u16) -> Result<Node, Failure> {
        let address = free_address()?;
        let kind = plan.column.kind;
        let mut command = match kind {
            Kind::Switchboard => switchboard(),
            Kind::Peer => peer(plan.keeping),
        };
        for name in OTHER_REDIS {
            command.env_remove(name);
        }
        if let Some(redis) = &self.redis {
            command.env("BACKPLANE", "redis").env("REDIS_URL", format!("redis://{}", redis.address));
        }
        command.env("PORT", address.port().to_string()).env("HOST", address.ip().to_string()).env("JWT_SECRET", SECRET);
        command.env("SOCKET_PING_INTERVAL", "25000").env("SOCKET_PING_TIMEOUT", "60000");
        command.envs(plan.settings.iter().map(|(name, value)| (name, value)));
        let mut process = Process::spawn(format!("{}-{number}", kind.name()), command, &self.directory)?;
        process.wait_until_listening(address).await?;
        process.wait_until("is not ready", async || is_ready(address).await.unwrap_or(false)).await?;
        Ok(Node { address, process })
    }

    /// Where the nodes listen, in their order.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.address).collect()
    }

    /// # Errors
    /// The nodes have none.
    pub(crate) fn redis(&self) -> Result<&RedisServer, Failure> {
        self.redis.as_ref().ok_or_else(|| "started without Redis".into())
    }

    /// Kills the first `count` nodes at once, as a crash would.
    pub(crate) fn kill(&mut self, count: usize) -> Result<(), Failure> {
        let mut killed: Vec<Node> = self.nodes.drain(..count).collect();
        killed.iter_mut().try_for_each(|node| node.process.kill())
    }

    /// Starts a process that generates load beside this one. The caller owns it.
    pub(crate) fn spawn_generator(&mut self, name: String, command: Command) -> Result<Process, Failure> {
        let process = Process::spawn(name, command, &self.directory)?;
        self.generators.push(process.id());
        Ok(process)
    }

    pub(crate) async fn read(&self) -> Result<Reading, Failure> {
        let others: Duration = self.generators.iter().map(|pid| usage::cpu(*pid)).sum::<Result<_, _>>()?;
        let redis = match &self.redis {
            Some(redis) => Some(redis.read().await?),
            None => None,
        };
        Ok(Reading {
            at: Instant::now(),
            server: self.nodes.iter().map(|node| usage::cpu(node.process.id())).sum::<Result<_, _>>()?,
            generator: usage::own_cpu()? + others,
            machine: usage::machine_cpu()?,
            redis,
        })
    }

    /// What is consumed while nothing is asked of the nodes.
    pub(crate) async fn rest(&self, length: Duration) -> Result<Consumed, Failure> {
        let before = self.read().await?;
        sleep(length).await;
        Ok(self.read().await?.since(&before))
    }

    /// Resident memory of the nodes (not of their Redis), in KB.
    pub(crate) fn resident_kb(&self) -> Result<f64, Failure> {
        self.nodes.iter().map(|node| usage::resident_kb(node.process.id())).sum()
    }
}

fn peer_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer")
}

fn switchboard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.env("NODE_ENV", "production").env("METRICS_PORT", "off").env("BACKPLANE", "embedded");
    command.envs(WIDE_OPEN.map(|name| (name, "1000000"))).envs(WIDE_OPEN_BYTES.map(|name| (name, "1000000000")));
    command
}

fn peer(keeping: Keeping) -> Command {
    let mut command = Command::new("node");
    command.arg(peer_directory().join("server.mjs")).env("NODE_ENV", "production");
    command.env("STORE", if keeping == Keeping::Memory { "memory" } else { "redis" });
    command.env("ADAPTER", if keeping == Keeping::RedisAdapter { "redis" } else { "" });
    command
}

/// Whether a node takes clients: it does not while its answer is 503. A server that knows no `/readyz` always does.
async fn is_ready(address: SocketAddr) -> Result<bool, Failure> {
    const UNAVAILABLE: &[u8] = b"HTTP/1.1 503";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").await?;
    let mut head = [0; UNAVAILABLE.len()];
    stream.read_exact(&mut head).await?;
    Ok(head != UNAVAILABLE)
}
