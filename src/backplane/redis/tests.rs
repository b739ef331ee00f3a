//! The Redis backplane before the suite that every backplane has to pass: over a real redis-server, whose clock stands still
//! until the test moves it.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::backplane::conformance::{LIMITS, Lab, conformance};
use crate::backplane::redis::channels::Wanted;
use crate::backplane::{Backplane, Receiver, Redis, Retention};
use crate::clock::{Clock, Correction, Timestamp};
use crate::config::{RedisConfig, RedisServers};
use crate::metrics::Metrics;

/// When the tests begin.
const EPOCH: Timestamp = Timestamp(1_700_000_000_000);
/// How long what has to come is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The clock as a library, built once for all tests.
static CLOCK: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/backplane/redis/tests/clock.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    match built {
        Ok(status) => assert!(status.success(), "the C compiler failed"),
        Err(error) => panic!("a C compiler is missing, tests/run installs it: {error}"),
    }
    (folder, library)
});

/// A redis-server of a test's own. Ends with it.
pub(super) struct Server {
    child: Child,
    folder: TempDir,
    clock: File,
}

impl Server {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = File::create(folder.path().join("clock")).unwrap();
        clock.write_all_at(&EPOCH.0.to_ne_bytes(), 0).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock"])
            .current_dir(folder.path())
            .env("LD_PRELOAD", &CLOCK.1)
            .env("FROZEN_CLOCK", folder.path().join("clock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("redis-server is missing: tests/run installs it")
            }
            Err(error) => panic!("redis-server does not start: {error}"),
        };
        let output = BufReader::new(child.stdout.take().unwrap());
        let server = Self { child, folder, clock };
        server.open_road();
        let is_ready = output.lines().map_while(Result::ok).any(|line| line.contains("eady to accept connections"));
        assert!(is_ready, "redis-server ended instead of listening");
        server
    }

    /// A connection of another program.
    async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("unix://{}/redis.sock", self.folder.path().display())).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The socket that nodes connect to, which is there while they can reach Redis.
    fn road(&self) -> PathBuf {
        self.folder.path().join("road.sock")
    }

    fn open_road(&self) {
        symlink("redis.sock", self.road()).unwrap();
    }

    fn close_road(&self) {
        std::fs::remove_file(self.road()).unwrap();
    }

    fn set_time(&self, to: Timestamp) {
        self.clock.write_all_at(&to.0.to_ne_bytes(), 0).unwrap();
    }

    pub(super) fn config(&self) -> RedisConfig {
        RedisConfig {
            servers: RedisServers::Unix(self.road()),
            username: None,
            password: None,
            db: 0,
            tls: None,
            key_prefix: String::new(),
            timeout: PATIENCE,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it has ended already, the test has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often the clock is moved while something is waited for.
const TURN: Duration = Duration::from_millis(2);

pub(super) struct RedisLab {
    pub(super) nodes: Mutex<Vec<Arc<Redis>>>,
    clock: Clock,
    hand: &'static AtomicU64,
    correction: Option<Correction>,
    /// Most users that a node listens to over one connection, if not as many as ever.
    max_channels: Option<usize>,
    /// The longest wait of a node for Redis.
    timeout: Duration,
    pub(super) server: Server,
}

impl RedisLab {
    fn set_time(&self, to: Timestamp) {
        self.server.set_time(to);
        self.hand.store(to.0, Ordering::SeqCst);
    }
}

#[async_trait]
impl Lab for RedisLab {
    const GRAIN: Duration = Duration::from_millis(50);

    async fn start() -> Self {
        let (clock, hand) = Clock::set_by_hand(EPOCH);
        let (nodes, server) = (Mutex::default(), Server::start());
        Self { nodes, clock, hand, correction: None, max_channels: None, timeout: PATIENCE, server }
    }

    async fn node(&self, receiver: Arc<dyn Receiver>) -> Arc<dyn Backplane> {
        let retention = Retention {
            inbox_messages: LIMITS.inbox_messages,
            inbox_bytes: LIMITS.inbox_bytes,
            inbox_ttl: LIMITS.inbox_ttl,
            over_ttl: LIMITS.over_ttl,
            ring_timeout: Duration::from_secs(45),
            feed: Some(LIMITS.feed),
            timelines: Some(LIMITS.timelines),
        };
        let config = RedisConfig { timeout: self.timeout, ..self.server.config() };
        let mut node = Redis::new(config, retention, self.clock, self.correction, receiver, Metrics::new());
        if let Some(most) = self.max_channels {
            Arc::get_mut(&mut node).unwrap().wanted = Arc::new(Wanted::new(most));
        }
        tokio::spawn(node.clone().run(CancellationToken::new()));
        tokio::time::timeout(PATIENCE, node.link.up()).await.unwrap();
        self.nodes.lock().push(node.clone());
        node
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn within<T>(&self, future: impl Future<Output = T> + Send) -> T {
        let time_passes = async {
            let mut turns = tokio::time::interval(TURN);
            loop {
                turns.tick().await;
                self.set_time(self.clock.now().plus(TURN));
            }
        };
        let outcome = async {
            tokio::select! {
                outcome = future => outcome,
                () = time_passes => unreachable!("time does not end"),
            }
        };
        tokio::time::timeout(PATIENCE, outcome).await.unwrap()
    }

    async fn advance(&self, by: Duration) {
        self.set_time(self.clock.now().plus(by));
        let nodes = self.nodes.lock().clone();
        for node in nodes {
            // What is due is found by looking: whoever looks has to have looked since the time has come.
            let Some(before) = node.deadlines.sweeps() else { continue };
            let looked = async {
                let mut turns = tokio::time::interval(Duration::from_millis(5));
                while node.deadlines.sweeps().is_some_and(|sweeps| sweeps < before + 2) {
                    turns.tick().await;
                }
            };
            tokio::time::timeout(PATIENCE, looked).await.unwrap();
        }
    }
}

conformance! { RedisLab, #[tokio::test] }

mod credentials;
mod leavings;
mod listening;
mod releases;
mod skew;
mod weather;
