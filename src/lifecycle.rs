//! Life and death of a node: one stop signal, one account of everything that runs.
//!
//! What it does not do: it does not know what is stopped, or in which order; that is `app`'s.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a node may take for its last words to Redis and to the collector of traces, after everything else.
pub const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

/// What may keep clients from being sent to a node: it sends them away, cannot reach Redis, or has no key to check a token with.
pub const OBSTACLES: [&str; 3] = ["draining", "redis", "keys"];

/// Whether this node is to be sent clients.
#[derive(Clone)]
pub struct Readiness {
    is_draining: Arc<AtomicBool>,
    redis: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
    has_keys: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Readiness {
    /// Of a node that needs Redis, if `redis` says whether that can be reached, or needs nothing.
    pub fn new(redis: Option<Arc<dyn Fn() -> bool + Send + Sync>>) -> Self {
        Self { is_draining: Arc::default(), redis, has_keys: None }
    }

    /// Of one that, besides, can let nobody in while `has_keys` says that it has no key to check a token with.
    #[must_use]
    pub fn needing_keys(self, has_keys: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        Self { has_keys: Some(has_keys), ..self }
    }

    /// The node sends its clients away from here on.
    pub fn start_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether the node sends its clients away.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Whether Redis can be reached; `None` where it is not used.
    pub fn redis(&self) -> Option<bool> {
        self.redis.as_ref().map(|is_connected| is_connected())
    }

    /// What keeps clients from being sent here; nothing if they may come.
    pub fn obstacles(&self) -> Vec<&'static str> {
        let no_keys = self.has_keys.as_ref().is_some_and(|has_keys| !has_keys());
        let met = [self.is_draining(), self.redis() == Some(false), no_keys];
        OBSTACLES.into_iter().zip(met).filter_map(|(name, is_met)| is_met.then_some(name)).collect()
    }
}

/// Handed to everything that runs.
#[derive(Clone, Default)]
pub struct Lifecycle {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Asks everything to end.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// The signal that ends everything.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs `task` to its end; a node that stops waits for it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until nothing runs any more. Ends only after [`Lifecycle::stop`].
    pub async fn wait(&self) {
        self.tasks.wait().await;
    }

    /// The moment the operating system asks this process to end: an interrupt or a termination signal, or the terminal it runs in is gone.
    ///
    /// # Errors
    /// Where signals cannot be listened for.
    pub async fn asked_to_end() -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangups = Hangups(signal(SignalKind::hangup())?);
        let had_terminal = has_terminal();
        let terminal_lost = async {
            loop {
                hangups.next().await;
                if had_terminal && !has_terminal() {
                    return;
                }
            }
        };
        // Waits for any of them.
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupt = tokio::signal::ctrl_c() => interrupt,
            () = terminal_lost => Ok(()),
        }
    }
}

/// Runs `program` to its end, and nothing after it. What blocks a thread is not waited for: a name server that does not answer, a disk that
/// hangs.
pub fn run_to_end<T>(runtime: Runtime, program: impl Future<Output = T>) -> T {
    let result = runtime.block_on(program);
    runtime.shutdown_background();
    result
}

/// Whether somebody can read along; a terminal that is gone is none.
fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

/// The signals by which the operator says that the configuration is to be read again (SIGHUP).
pub struct Hangups(Signal);

impl Hangups {
    /// Listens for them from here on, before there is anything else: until then one would end the process. What comes before somebody
    /// waits for it is kept.
    ///
    /// # Errors
    /// Where signals cannot be listened for.
    pub fn listen() -> io::Result<Self> {
        // Signals are noted for the whole process, by whichever runtime is there when one is to be heard.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let _entered = runtime.enter();
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_blocks_is_not_waited_for() {
        const PATIENCE: Duration = Duration::from_secs(5);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (answer, name_server) = mpsc::channel::<()>();
        let (blocks, is_blocking) = mpsc::channel();
        let program = async move {
            drop(tokio::task::spawn_blocking(move || {
                blocks.send(()).unwrap();
                name_server.recv_timeout(PATIENCE)
            }));
            is_blocking.recv_timeout(PATIENCE).unwrap();
            7
        };
        assert_eq!(run_to_end(runtime, program), 7);
        assert!(answer.send(()).is_ok(), "it was waited for");
    }
}
