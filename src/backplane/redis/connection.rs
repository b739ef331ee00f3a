//! One generation of connections to one Redis. If any of them fails, all of them are made anew: so nobody speaks to one server
//! and listens to another.
//!
//! Calls travel over a multiplexed connection. What may be long (the inbox of a user who returns, the sessions of a dead node)
//! goes over a `bb8` pool of four: on the multiplexed one it would hold up whatever stands behind it. The pool does not ping
//! before each use, as its connections live and die with the generation. Channels have connections of their own (`channels`).

use std::time::Duration;

use bb8_redis::{RedisConnectionManager, bb8};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, RedisError};

use crate::backplane::redis::address::{ANSWER_TIMEOUT, connection_config};
use crate::backplane::redis::channels::Channels;
use crate::backplane::redis::link::Lane;
use crate::backplane::redis::script::{Script, Scripts};

/// Connections for what is long.
const POOL_SIZE: u32 = 4;

/// The connections.
pub(super) struct Connection {
    generation: u64,
    commands: MultiplexedConnection,
    pool: bb8::Pool<RedisConnectionManager>,
    channels: Channels,
}

impl Connection {
    pub(super) async fn open(
        generation: u64,
        client: &Client,
        timeout: Duration,
        channels: Channels,
        scripts: &Scripts,
    ) -> Result<Self, RedisError> {
        let mut commands =
            client.get_multiplexed_async_connection_with_config(&connection_config(ANSWER_TIMEOUT)).await?;
        for script in scripts.all() {
            script.load(&mut commands).await?;
        }
        let manager = RedisConnectionManager::new(client.get_connection_info().clone())?;
        let pool = bb8::Pool::builder()
            .max_size(POOL_SIZE)
            .test_on_check_out(false)
            .connection_timeout(timeout)
            .build_unchecked(manager);
        Ok(Self { generation, commands, pool, channels })
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
    ) -> Result<T, RedisError> {
        match lane {
            Lane::Fast => evaluate(&mut self.commands.clone(), script, &command).await,
            Lane::Long => match self.pool.get().await {
                Ok(mut connection) => evaluate(&mut connection, script, &command).await,
                Err(bb8::RunError::User(error)) => Err(error),
                Err(bb8::RunError::TimedOut) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            },
        }
    }
}

async fn evaluate<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    script: &Script,
    command: &Cmd,
) -> Result<T, RedisError> {
    match command.query_async(connection).await {
        Err(error) if error.code() == Some("NOSCRIPT") => {
            // Somebody has emptied the cache of scripts.
            script.load(connection).await?;
            command.query_async(connection).await
        }
        answer => answer,
    }
}
