//! Life and death of a node: one stop signal, one account of everything that runs.
//!
//! What it does not do: it does not know what is stopped, or in which order; that is `app`'s.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

    /// The moment the operating system asks this process to end: an interrupt or a termination signal.
    ///
    /// # Errors
    /// Where signals cannot be listened for.
    pub async fn asked_to_end() -> std::io::Result<()> {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        // Waits for either signal.
        tokio::select! {
            _ = terminate.recv() => Ok(()),
            interrupt = tokio::signal::ctrl_c() => interrupt,
        }
    }
}
