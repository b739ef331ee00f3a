//! Where Redis is: a host, a Unix socket, or whatever the Sentinels name as the primary.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, TlsCertificates,
};
use secrecy::{ExposeSecret, SecretString};

use crate::backplane::redis::link::plain;
use crate::config::{RedisConfig, RedisServers, RedisTls};

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take before it counts as lost. Whoever asks gives up long before.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a Sentinel may take to answer.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(500);
/// A connection on which nothing comes is probed after this long.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(5);

/// Why Redis cannot be reached, in words for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum AddressError {
    /// A certificate or key cannot be read.
    #[error("{path} cannot be read: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The settings do not make a client.
    #[error("the settings of Redis are of no use: {0}")]
    Settings(RedisError),
    /// No Sentinel names a primary.
    #[error("no Sentinel names a primary for {0}")]
    NoPrimary(String),
}

/// A client for the Redis that is the primary at present.
pub(super) async fn client(config: &RedisConfig) -> Result<Client, AddressError> {
    let settings = credentials(config);
    match &config.servers {
        RedisServers::Tcp { host, port } => build(tcp(host, *port, config.tls.as_ref()), settings, config.tls.as_ref()),
        RedisServers::Unix(path) => build(ConnectionAddr::Unix(path.clone()), settings, None),
        RedisServers::Sentinel { sentinels, master, username, password } => {
            let credentials = redis_settings(username.as_deref(), password.as_ref());
            for (host, port) in sentinels {
                let addr = tcp(host, *port, config.tls.as_ref());
                let sentinel = build(addr, credentials.clone(), config.tls.as_ref())?;
                if let Ok(Ok(Some((host, port)))) =
                    tokio::time::timeout(SENTINEL_TIMEOUT, primary(&sentinel, master)).await
                {
                    return build(tcp(&host, port, config.tls.as_ref()), settings, config.tls.as_ref());
                }
            }
            Err(AddressError::NoPrimary(master.clone()))
        }
    }
}

/// Which primary each Sentinel names, or why it does not answer.
pub(super) async fn ask_sentinels(config: &RedisConfig) -> Vec<(String, Result<Option<(String, u16)>, String>)> {
    let RedisServers::Sentinel { sentinels, master, username, password } = &config.servers else { return Vec::new() };
    let asked = sentinels.iter().map(|(host, port)| async move {
        let credentials = redis_settings(username.as_deref(), password.as_ref());
        let answer = match build(tcp(host, *port, config.tls.as_ref()), credentials, config.tls.as_ref()) {
            Ok(sentinel) => match tokio::time::timeout(SENTINEL_TIMEOUT, primary(&sentinel, master)).await {
                Ok(answer) => answer.map_err(|error| plain(&error)),
                Err(_) => Err("it takes too long".to_owned()),
            },
            Err(error) => Err(error.to_string()),
        };
        (format!("{host}:{port}"), answer)
    });
    join_all(asked).await
}

/// Who the node is to Redis, and in which database.
pub(super) fn credentials(config: &RedisConfig) -> RedisConnectionInfo {
    redis_settings(config.username.as_deref(), config.password.as_ref()).set_db(i64::from(config.db))
}

async fn primary(sentinel: &Client, master: &str) -> Result<Option<(String, u16)>, RedisError> {
    let mut connection = sentinel.get_multiplexed_async_connection().await?;
    redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).query_async(&mut connection).await
}

fn redis_settings(username: Option<&str>, password: Option<&SecretString>) -> RedisConnectionInfo {
    // RESP3: what is published comes over a connection that can be asked whether it is alive, too.
    let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
    if let Some(username) = username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.expose_secret());
    }
    settings
}

fn tcp(host: &str, port: u16, tls: Option<&RedisTls>) -> ConnectionAddr {
    match tls {
        Some(_) => ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host.to_owned(), port),
    }
}

fn build(addr: ConnectionAddr, settings: RedisConnectionInfo, tls: Option<&RedisTls>) -> Result<Client, AddressError> {
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE));
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(UNACKNOWLEDGED_TIMEOUT);
    let info: ConnectionInfo = addr.into_connection_info().map_err(AddressError::Settings)?;
    let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
    let client = match tls {
        Some(RedisTls { ca, client }) if ca.is_some() || client.is_some() => {
            let client_tls = match client {
                Some((certificate, key)) => {
                    Some(ClientTlsConfig { client_cert: file(certificate)?, client_key: file(key)? })
                }
                None => None,
            };
            let root_cert = ca.as_deref().map(file).transpose()?;
            Client::build_with_tls(info, TlsCertificates { client_tls, root_cert })
        }
        _ => Client::open(info),
    };
    client.map_err(AddressError::Settings)
}

fn file(path: &Path) -> Result<Vec<u8>, AddressError> {
    let read = || {
        // Looked at first: to open a pipe waits for who writes into it, for ever perhaps.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        std::fs::read(path)
    };
    read().map_err(|error| AddressError::File { path: path.display().to_string(), error })
}

/// How a connection of ours behaves, whose answers may take `response_timeout`.
pub(super) fn connection_config(response_timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(response_timeout))
        .set_pipeline_buffer_size(1024)
}
