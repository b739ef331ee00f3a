//! A server under test as a child process on a free loopback port, with what it needs beside it. Owns the processes and the
//! directory they log to: dropping it kills them by their pid and removes it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::options::{Kind, Options, PeerStore};
use crate::usage;

/// Signs the tokens of one benchmark; the servers live on loopback for as long as it runs.
pub(crate) const SECRET: &str = "only-for-the-load-benchmark-on-loopback-0123456789";

const START_DEADLINE: Duration = Duration::from_secs(20);

/// Limits that guard a public server and would get in the way of a generator with few users.
const WIDE_OPEN: [&str; 6] =
    ["EVENT_RATE", "EVENT_BURST", "USER_EVENT_RATE", "USER_EVENT_BURST", "CALL_RATE", "CALL_BURST"];
const WIDE_OPEN_BYTES: [&str; 2] = ["EVENT_BYTES_RATE", "EVENT_BYTES_BURST"];

pub(crate) struct Subject {
    pub(crate) address: SocketAddr,
    server: Process,
    redis: Option<Process>,
    // Dropped after the processes that write to it.
    _directory: Directory,
}

/// CPU time so far, at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    at: Instant,
    server: Duration,
    redis: Duration,
    generator: Duration,
    machine: Duration,
}

/// CPU time between two moments.
pub(crate) struct CpuUsed {
    pub(crate) elapsed: Duration,
    pub(crate) server: Duration,
    pub(crate) redis: Duration,
    pub(crate) generator: Duration,
    /// How many cores others kept busy: figures taken beside a build are worth little.
    pub(crate) others: f64,
}

impl Cpu {
    pub(crate) fn since(self, earlier: Self) -> CpuUsed {
        let elapsed = self.at - earlier.at;
        let server = self.server.saturating_sub(earlier.server);
        let redis = self.redis.saturating_sub(earlier.redis);
        let generator = self.generator.saturating_sub(earlier.generator);
        let others = self.machine.saturating_sub(earlier.machine).saturating_sub(server + redis + generator);
        CpuUsed { elapsed, server, redis, generator, others: others.as_secs_f64() / elapsed.as_secs_f64() }
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
    /// Starts a server and waits until it listens.
    pub(crate) async fn start(kind: Kind, store: PeerStore) -> Result<Self, Failure> {
        let directory = Directory::create()?;
        let redis = match (kind, store) {
            (Kind::Switchboard, _) | (Kind::Peer, PeerStore::Memory) => None,
            (Kind::Peer, PeerStore::Redis | PeerStore::Adapter) => Some(start_redis(&directory).await?),
        };
        let address = free_address()?;
        let mut command = match kind {
            Kind::Switchboard => switchboard(),
            Kind::Peer => peer(store, redis.as_ref().map(|(address, _)| *address)),
        };
        command.env("PORT", address.port().to_string()).env("HOST", address.ip().to_string()).env("JWT_SECRET", SECRET);
        command.env("SOCKET_PING_INTERVAL", "25000").env("SOCKET_PING_TIMEOUT", "60000");
        let mut server = Process::spawn(kind.name(), command, &directory)?;
        server.wait_until_listening(address).await?;
        Ok(Self { address, server, redis: redis.map(|(_, process)| process), _directory: directory })
    }

    pub(crate) fn cpu(&self) -> Result<Cpu, Failure> {
        Ok(Cpu {
            at: Instant::now(),
            server: usage::cpu(self.server.child.id())?,
            redis: self.redis.as_ref().map_or(Ok(Duration::ZERO), |redis| usage::cpu(redis.child.id()))?,
            generator: usage::own_cpu()?,
            machine: usage::machine_cpu()?,
        })
    }

    /// Resident memory of the server (not of its Redis), in KB.
    pub(crate) fn resident_kb(&self) -> Result<f64, Failure> {
        usage::resident_kb(self.server.child.id())
    }
}

fn peer_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer")
}

fn switchboard() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.env("NODE_ENV", "production").env("BACKPLANE", "embedded").env_remove("REDIS_HOST");
    command.envs(WIDE_OPEN.map(|name| (name, "1000000"))).envs(WIDE_OPEN_BYTES.map(|name| (name, "1000000000")));
    command
}

fn peer(store: PeerStore, redis: Option<SocketAddr>) -> Command {
    let mut command = Command::new("node");
    command.arg(peer_directory().join("server.mjs")).env("NODE_ENV", "production");
    command.env("STORE", if redis.is_some() { "redis" } else { "memory" });
    command.env("ADAPTER", if store == PeerStore::Adapter { "redis" } else { "" });
    if let Some(redis) = redis {
        command.env("REDIS_URL", format!("redis://{redis}"));
    }
    command
}

async fn start_redis(directory: &Directory) -> Result<(SocketAddr, Process), Failure> {
    let address = free_address()?;
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &address.port().to_string()]);
    let mut process = Process::spawn("redis-server", command, directory)?;
    process.wait_until_listening(address).await?;
    Ok((address, process))
}

/// A port nobody holds at this moment. Should somebody take it before the child does, the child fails and says so.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn spawn(name: &'static str, mut command: Command, directory: &Directory) -> Result<Self, Failure> {
        let log = directory.0.join(format!("{name}.log"));
        let file = File::create(&log)?;
        // In a directory of its own it finds no .env of the project.
        command.current_dir(&directory.0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { name, child, log })
    }

    async fn wait_until_listening(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect(address).await.is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let why = ended.map_or_else(|| "does not listen".to_owned(), |status| format!("ended with {status}"));
                return Err(format!("{} {why}\n{log}", self.name).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A temporary directory that goes with its owner.
struct Directory(PathBuf);

impl Directory {
    fn create() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("switchboard-load-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
