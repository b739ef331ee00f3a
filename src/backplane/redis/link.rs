//! Whether Redis is there, and the one way to ask it for something: bounded in time, repeated over a connection that breaks, and
//! refused at once while Redis is known to be away.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::{Notify, watch};

use crate::backplane::Unavailable;
use crate::backplane::redis::connection::{Connection, RunError};
use crate::backplane::redis::script::Script;

/// The link to Redis.
pub(super) struct Link {
    /// The longest wait for Redis.
    timeout: Duration,
    state: watch::Sender<State>,
    /// Tells the supervisor that a connection is of no use any more: of which generation, at the latest.
    broken: watch::Sender<u64>,
    /// Tells it that one does not answer, which may be so.
    silent: Notify,
    /// Why Redis refused a command last, and how often in a row.
    refused: Mutex<(String, u64)>,
}

/// How things stand.
#[derive(Clone)]
enum State {
    Up(Arc<Connection>),
    /// Connected, and silent for longer than anybody is to wait.
    Silent(Arc<Connection>),
    /// Away, but perhaps only for a moment: who asks waits for it.
    Shaken,
    /// Away for longer than anybody is to wait.
    Down,
}

/// Over which connection something is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Short questions, short answers, in order.
    Calls,
    /// What may be long, and is waited for.
    Reads,
    /// What can wait.
    House,
}

impl Link {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            state: watch::Sender::new(State::Shaken),
            broken: watch::Sender::new(0),
            silent: Notify::new(),
            refused: Mutex::default(),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    /// The connection, if there is one.
    pub(super) fn current(&self) -> Option<Arc<Connection>> {
        match &*self.state.borrow() {
            State::Up(connection) | State::Silent(connection) => Some(connection.clone()),
            State::Shaken | State::Down => None,
        }
    }

    pub(super) fn is_current(&self, connection: &Connection) -> bool {
        self.current().is_some_and(|current| current.generation() == connection.generation())
    }

    /// The connection, waited for while Redis may be away for a moment only; another one than that which `failed`.
    pub(super) async fn connection_after(&self, failed: Option<u64>) -> Result<Arc<Connection>, Unavailable> {
        let mut state = self.state.subscribe();
        let found = state.wait_for(|state| match state {
            State::Up(connection) => failed != Some(connection.generation()),
            State::Shaken => false,
            State::Silent(_) | State::Down => true,
        });
        match found.await.as_deref() {
            Ok(State::Up(connection)) => Ok(connection.clone()),
            Ok(State::Silent(_) | State::Shaken | State::Down) | Err(_) => Err(Unavailable),
        }
    }

    pub(super) fn set_up(&self, connection: Arc<Connection>) {
        self.state.send_replace(State::Up(connection));
    }

    /// Redis is connected and does not answer; nobody waits for it.
    pub(super) fn set_silent(&self, connection: Arc<Connection>) {
        self.state.send_replace(State::Silent(connection));
    }

    /// Redis is away; whoever asks for something waits for it.
    pub(super) fn set_shaken(&self) {
        self.state.send_replace(State::Shaken);
    }

    /// Redis has been away for a while; nobody waits for it any more.
    pub(super) fn set_down(&self) {
        self.state.send_if_modified(|state| {
            let is_shaken = matches!(state, State::Shaken);
            if is_shaken {
                *state = State::Down;
            }
            is_shaken
        });
    }

    /// Waits until Redis is there.
    pub(super) async fn up(&self) {
        let mut state = self.state.subscribe();
        // The sender lives as long as the link.
        let _ = state.wait_for(|state| matches!(state, State::Up(_))).await;
    }

    /// A connection of this generation has failed. If that is news, `first` happens before anybody hears of it.
    pub(super) fn report_broken(&self, generation: u64, first: impl FnOnce()) {
        self.broken.send_if_modified(|last| {
            let is_news = *last < generation;
            if is_news {
                *last = generation;
                first();
            }
            is_news
        });
    }

    /// Waits until a connection of this generation has failed. That others go as well, which were made before, is no news then.
    pub(super) async fn broken(&self, generation: u64) {
        let mut broken = self.broken.subscribe();
        // The sender lives as long as the link.
        let _ = broken.wait_for(|last| *last >= generation).await;
    }

    /// Waits until there is a reason to doubt that Redis answers.
    pub(super) async fn doubted(&self) {
        self.silent.notified().await;
    }

    /// Says so in the log, ever more rarely while it is the same: a full Redis refuses everything.
    fn note_refused(&self, error: &RedisError) {
        let why = plain(error);
        let mut refused = self.refused.lock();
        if refused.0 != why {
            *refused = (why.clone(), 0);
        }
        refused.1 += 1;
        if refused.1.is_power_of_two() {
            tracing::error!(why, times = refused.1, "Redis refused a command");
        }
    }

    /// Has `script` run. `command` makes the command, and is told whether it may have been run before.
    pub(super) async fn run<T: FromRedisValue + Send>(
        &self,
        lane: Lane,
        script: &Script,
        command: impl Fn(bool) -> Cmd + Send + Sync,
    ) -> Result<T, Unavailable> {
        let asking = async {
            let mut tried: Option<u64> = None;
            loop {
                // The time-out is around all of it.
                let connection = self.connection_after(tried).await?;
                match connection.run(lane, script, command(tried.is_some())).await {
                    Ok(answer) => return Ok(answer),
                    Err(RunError::Failed(error)) if is_fatal(&error) => {
                        tried = Some(connection.generation());
                        self.report_broken(connection.generation(), || ());
                    }
                    Err(RunError::Busy) => return Err(Unavailable),
                    Err(RunError::Failed(error)) => {
                        self.note_refused(&error);
                        return Err(Unavailable);
                    }
                }
            }
        };
        let answer = tokio::time::timeout(self.timeout, asking).await;
        answer.unwrap_or_else(|_| {
            self.silent.notify_one();
            Err(Unavailable)
        })
    }
}

/// Whether another connection, to another server perhaps, may do better.
pub(super) fn is_fatal(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || error.is_connection_dropped()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown)
        )
}

/// An error without anything a client sent: Redis repeats parts of commands in some.
pub(super) fn plain(error: &RedisError) -> String {
    match error.code() {
        _ if error.is_io_error() => error.to_string(),
        Some("WRONGPASS") => "wrong user or password (WRONGPASS)".to_owned(),
        Some("NOAUTH") => "it wants a password (NOAUTH)".to_owned(),
        Some("NOPERM") => "its user may not run a command that is needed (NOPERM)".to_owned(),
        Some(code) => format!("{} ({code})", error.category()),
        None => error.category().to_owned(),
    }
}
