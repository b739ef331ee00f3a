//! One generation of connections to one Redis. If any of them fails, all of them are made anew: so nobody speaks to one server
//! and listens to another.
//!
//! Calls travel over a multiplexed connection, and what is read when users return over a second one: an inbox may be long, and
//! would hold up the calls behind it. House-keeping (the sessions of a dead node, the records of calls that go on) goes over a `bb8`
//! pool of four: there it is right that work which can wait waits for its turn. The pool does not ping before each use, as its
//! connections live and die with the generation. Channels have connections of their own (`channels`).

use std::time::Duration;

use bb8_redis::{RedisConnectionManager, bb8};
use parking_lot::{Mutex, RwLock};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, ConnectionInfo, FromRedisValue, RedisConnectionInfo, RedisError};

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
    house: House,
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
        let house = House::new(client.get_connection_info().clone(), timeout)?;
        Ok(Self { generation, commands, reads, house, channels })
    }

    /// Connections that are made later on show these.
    pub(super) fn set_credentials(&self, credentials: RedisConnectionInfo) {
        *self.house.fresh.lock() = Some(credentials);
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
            Lane::House => {
                let pool = self.house.pool.read().clone();
                match pool.get().await {
                    Ok(mut connection) => evaluate(&mut connection, script, &command).await,
                    Err(error) => {
                        self.house.renew()?;
                        return Err(match error {
                            bb8::RunError::User(error) => RunError::Failed(error),
                            bb8::RunError::TimedOut => RunError::Busy,
                        });
                    }
                }
            }
        };
        answer.map_err(RunError::Failed)
    }
}

/// The pool for house-keeping, which makes connections now and then for as long as the generation lives.
struct House {
    pool: RwLock<bb8::Pool<RedisConnectionManager>>,
    info: ConnectionInfo,
    /// Credentials that are newer than those of the pool. Until they are needed what is connected goes on: the new ones may be here
    /// before Redis knows them.
    fresh: Mutex<Option<RedisConnectionInfo>>,
    timeout: Duration,
}

impl House {
    fn new(info: ConnectionInfo, timeout: Duration) -> Result<Self, RedisError> {
        let pool = RwLock::new(pool(info.clone(), timeout)?);
        Ok(Self { pool, info, fresh: Mutex::default(), timeout })
    }

    /// The pool gives no connection: if there are newer credentials, the next one to ask finds a pool with those.
    fn renew(&self) -> Result<(), RedisError> {
        if let Some(credentials) = self.fresh.lock().take() {
            *self.pool.write() = pool(self.info.clone().set_redis_settings(credentials), self.timeout)?;
        }
        Ok(())
    }
}

fn pool(info: ConnectionInfo, timeout: Duration) -> Result<bb8::Pool<RedisConnectionManager>, RedisError> {
    let builder = bb8::Pool::builder().max_size(POOL_SIZE).test_on_check_out(false).connection_timeout(timeout);
    Ok(builder.build_unchecked(RedisConnectionManager::new(info)?))
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
