//! One generation of connections to one Redis. If any of them fails, all of them are made anew: so nobody speaks to one server
//! and listens to another.
//!
//! Calls travel over a multiplexed connection, and what is read when users return over a second one: an inbox may be long, and
//! would hold up the calls behind it. House-keeping (the sessions of a dead node, the records of calls that go on) goes over a `bb8`
//! pool of four: there it is right that work which can wait waits for its turn. The pool does not ping before each use, as its
//! connections live and die with the generation. Channels have connections of their own (`channels`).

use std::time::Duration;

use bb8_redis::{RedisConnectionManager, bb8};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, RedisError};

use crate::backplane::redis::address::{ANSWER_TIMEOUT, connection_config};
use crate::backplane::redis::channels::Channels;
use crate::backplane::redis::link::{Lane, plain};
use crate::backplane::redis::script::{Script, Scripts};

/// Connections for what is long.
const POOL_SIZE: u32 = 4;

/// The connections.
pub(super) struct Connection {
    generation: u64,
    commands: MultiplexedConnection,
    reads: MultiplexedConnection,
    pool: bb8::Pool<RedisConnectionManager>,
    channels: Channels,
}

impl Connection {
    pub(super) async fn open(
        generation: u64,
        client: &Client,
        timeout: Duration,
        channels: impl Future<Output = Result<Channels, RedisError>>,
        scripts: &Scripts,
    ) -> Result<Self, RedisError> {
        let config = connection_config(ANSWER_TIMEOUT);
        let (channels, mut commands, reads) = tokio::try_join!(
            channels,
            client.get_multiplexed_async_connection_with_config(&config),
            client.get_multiplexed_async_connection_with_config(&config),
        )?;
        scripts.load(&mut commands).await?;
        let manager = RedisConnectionManager::new(client.get_connection_info().clone())?;
        let pool = bb8::Pool::builder()
            .max_size(POOL_SIZE)
            .test_on_check_out(false)
            .connection_timeout(timeout)
            .build_unchecked(manager);
        Ok(Self { generation, commands, reads, pool, channels })
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// For questions that are no scripts.
    pub(super) fn commands(&self) -> MultiplexedConnection {
        self.commands.clone()
    }

    pub(super) async fn run<T: FromRedisValue>(
        &self,
        lane: Lane,
        script: &Script,
        command: Cmd,
    ) -> Result<T, RunError> {
        let answer = match lane {
            Lane::Calls => evaluate(&mut self.commands.clone(), script, &command).await,
            Lane::Reads => evaluate(&mut self.reads.clone(), script, &command).await,
            Lane::House => match self.pool.get().await {
                Ok(mut connection) => evaluate(&mut connection, script, &command).await,
                Err(bb8::RunError::User(error)) => Err(error),
                Err(bb8::RunError::TimedOut) => return Err(RunError::Busy),
            },
        };
        answer.map_err(RunError::Failed)
    }
}

/// Why a script was not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    /// Everybody of the pool is busy.
    #[error("busy")]
    Busy,
    /// Redis, or the way there.
    #[error("{}", plain(.0))]
    Failed(#[from] RedisError),
}

/// How often a script is made known again before its run counts as failed.
const LOADS: usize = 3;

async fn evaluate<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    script: &Script,
    command: &Cmd,
) -> Result<T, RedisError> {
    for _ in 0..LOADS {
        match command.query_async(connection).await {
            // Somebody has emptied the cache of scripts.
            Err(error) if error.code() == Some("NOSCRIPT") => script.load(connection).await?,
            answer => return answer,
        }
    }
    command.query_async(connection).await
}
