//! A child process with a log of its own. Owns the process and the directory it logs to: dropping it kills it by its pid
//! and removes the directory.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::Failure;

const START_DEADLINE: Duration = Duration::from_secs(20);

/// A port nobody holds at this moment. Should somebody take it before the child does, the child fails and says so.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn spawn(name: String, mut command: Command, directory: &Directory) -> Result<Self, Failure> {
        let log = directory.0.join(format!("{name}.log"));
        let file = File::create(&log)?;
        // In a directory of its own it finds no .env of the project.
        command.current_dir(&directory.0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        Ok(Self { name, child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash would, without waiting for its end: that is for the drop.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill()?)
    }

    pub(crate) async fn wait_until_listening(&mut self, address: SocketAddr) -> Result<(), Failure> {
        self.wait_until("does not listen", async || TcpStream::connect(address).await.is_ok()).await
    }

    /// Waits for something the process is to bring about; fails with its log if it ends before.
    pub(crate) async fn wait_until(&mut self, fault: &str, is_so: impl AsyncFn() -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + START_DEADLINE;
        while !is_so().await {
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(self.fault(fault));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// What is wrong, or that it has ended, with its log.
    pub(crate) fn fault(&mut self, fault: &str) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let ended = self.child.try_wait().ok().flatten();
        let why = ended.map_or_else(|| fault.to_owned(), |status| format!("ended with {status}"));
        format!("{} {why}\n{log}", self.name).into()
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
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn create() -> Result<Self, Failure> {
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
