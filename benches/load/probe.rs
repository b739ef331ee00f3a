//! Asks Redis for an answer again and again, from a thread of its own: whatever blocks Redis, be it a command or the end of
//! a connection with many channels, shows as an answer that comes late. So does a machine that is busy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Failure;

/// A quarter of what is looked for; asking costs Redis some milliseconds of CPU in a second.
const INTERVAL: Duration = Duration::from_millis(5);
const QUESTION: &[u8] = b"ECHO .\r\n";
const ANSWER: &[u8] = b"$1\r\n.\r\n";

pub(crate) struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<Vec<Duration>>>>,
}

impl Probe {
    pub(crate) fn start(redis: SocketAddr) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(redis)?;
        stream.set_nodelay(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut took = Vec::new();
            let mut answer = [0; ANSWER.len()];
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                stream.write_all(QUESTION)?;
                stream.read_exact(&mut answer)?;
                took.push(asked.elapsed());
                thread::sleep(INTERVAL);
            }
            Ok(took)
        });
        Ok(Self { stop, thread: Some(thread) })
    }

    /// How long each answer took.
    pub(crate) fn finish(mut self) -> Result<Vec<Duration>, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().ok_or("finished before")?;
        Ok(thread.join().map_err(|_| "the probe panicked")??)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
