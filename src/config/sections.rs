//! The typed sections of the configuration. Durations are `Duration`, secrets are `SecretString`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use secrecy::SecretString;
use tracing::Level;

use super::tls::TlsIdentity;

/// What kind of place the server runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Starts with nothing set, makes its own secret and shows the demo page.
    Development,
    /// Insists on a secret or public keys and a named backplane, and has no demo.
    Production,
}

impl Mode {
    /// The mode as `NODE_ENV` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// The listener and the process.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port; 0 lets the operating system choose.
    pub port: u16,
    /// What encrypts the port; nothing if `None`.
    pub tls: Option<TlsIdentity>,
    /// The port for metrics and probes; 0 lets the operating system choose, `None` does without.
    pub metrics_port: Option<u16>,
    /// Whether the public port has the metrics too.
    pub metrics_public: bool,
    /// Which web pages may use this server.
    pub cors_origin: CorsOrigin,
    /// Threads that run the server, at least one.
    pub worker_threads: usize,
    /// Over how long a shutdown sends the clients away.
    pub drain_timeout: Duration,
    /// How long a shutdown waits for work in progress.
    pub shutdown_timeout: Duration,
}

/// Which origins browsers may call from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// Every origin, without cookies.
    Any,
    /// These origins only.
    List(Vec<HeaderValue>),
}

/// What remembers calls and carries messages.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one, and moves it once")]
pub enum BackplaneConfig {
    /// The memory of this one process.
    Embedded,
    /// A Redis that any number of nodes share.
    Redis(RedisConfig),
}

/// Where Redis is, and how it is spoken to.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Where it is.
    pub servers: RedisServers,
    /// The user, if it is not the default one; never without a password.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// The database.
    pub db: u16,
    /// How the connections are encrypted, those to Sentinels included; they are not if `None`.
    pub tls: Option<RedisTls>,
    /// What the name of every key begins with; may be empty.
    pub key_prefix: String,
    /// The longest wait for Redis before a request is refused.
    pub timeout: Duration,
}

/// Where Redis is.
#[derive(Clone, Debug)]
pub enum RedisServers {
    /// At one host.
    Tcp {
        /// A name or an IP address, an IPv6 address without its brackets.
        host: String,
        /// The port, never 0.
        port: u16,
    },
    /// At a socket of this machine.
    Unix(PathBuf),
    /// Where the Sentinels say.
    Sentinel {
        /// Hosts and ports, written as those of `Tcp`; at least one.
        sentinels: Vec<(String, u16)>,
        /// The name by which they know this Redis.
        master: String,
        /// The user at the Sentinels, if it is not the default one; never without a password.
        username: Option<String>,
        /// The password at the Sentinels.
        password: Option<SecretString>,
    },
}

/// Who is trusted to be Redis, and what shows to Redis who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisTls {
    /// PEM file of the authorities that are trusted; the system's if `None`.
    pub ca: Option<PathBuf>,
    /// PEM files of the certificate that is shown and of its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// STUN and TURN.
#[derive(Clone, Debug)]
pub struct IceConfig {
    /// The STUN server handed to everybody.
    pub stun_url: String,
    /// The TURN servers handed to users who name no region, or one that there is not; empty if there are none.
    pub turn_urls: Vec<String>,
    /// The TURN servers handed to those who name a region.
    pub turn_regions: Vec<TurnRegion>,
    /// How users authenticate to the TURN servers.
    pub turn: TurnCredentials,
    /// Lifetime of time-limited TURN credentials.
    pub turn_ttl: Duration,
    /// Whether TURN credentials are handed out without a token.
    pub public: bool,
}

/// How users authenticate to the TURN servers.
#[derive(Clone, Debug)]
pub enum TurnCredentials {
    /// Not configured: no TURN server is handed out.
    None,
    /// One pair for everybody.
    Static {
        /// The user name.
        username: String,
        /// The password.
        credential: SecretString,
    },
    /// Time-limited credentials derived from this secret, which is shared with the TURN servers.
    Secret(SecretString),
}

/// The TURN servers of one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnRegion {
    /// What clients call it, in lower case.
    pub name: String,
    /// Its servers, at least one.
    pub urls: Vec<String>,
}

/// The durations of a call.
#[derive(Clone, Debug)]
pub struct CallConfig {
    /// How long a call rings.
    pub ring_timeout: Duration,
    /// How long an accepted call may last.
    pub max_duration: Duration,
    /// How long a call rings on without its caller.
    pub caller_away_timeout: Duration,
    /// How long an accepted call waits for a party that is away.
    pub away_timeout: Duration,
    /// How long after its answer an accepted call makes its parties busy.
    pub busy_window: Duration,
}

/// The transport.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// Time between two Engine.IO pings.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub ping_timeout: Duration,
    /// How long a transport may stay without a Socket.IO CONNECT.
    pub connect_timeout: Duration,
    /// Within this a request is answered.
    pub request_timeout: Duration,
    /// Packets that may wait to be sent to one socket.
    pub send_queue: usize,
}

/// Bounds on what a client may do.
#[derive(Clone, Debug)]
pub struct LimitsConfig {
    /// Connections to this node.
    pub max_connections: usize,
    /// Connections of one user.
    pub max_connections_per_user: usize,
    /// Bytes of one packet.
    pub max_payload: usize,
    /// Bytes of one session description.
    pub max_sdp_bytes: usize,
    /// Bytes of one ICE candidate.
    pub max_candidate_bytes: usize,
    /// Events a second of one socket.
    pub event_rate: u32,
    /// Events one socket may send at once.
    pub event_burst: u32,
    /// Bytes a second of one socket.
    pub event_bytes_rate: u32,
    /// Bytes one socket may send at once.
    pub event_bytes_burst: u32,
    /// Events a second of one user, over all sockets.
    pub user_event_rate: u32,
    /// Events one user may send at once.
    pub user_event_burst: u32,
    /// Calls a minute of one user.
    pub call_rate_per_minute: u32,
    /// Calls one user may start at once.
    pub call_burst: u32,
    /// Refusals for rate after which a socket is disconnected.
    pub strikes: u32,
}

/// Messages kept for absent devices, per user.
#[derive(Clone, Debug)]
pub struct InboxConfig {
    /// Messages kept.
    pub messages: usize,
    /// Bytes kept.
    pub bytes: usize,
    /// How long a message is kept.
    pub ttl: Duration,
}

/// Timelines of calls.
#[derive(Clone, Copy, Debug)]
pub struct TimelineConfig {
    /// Calls of which one is kept.
    pub calls: usize,
    /// How long it is kept.
    pub ttl: Duration,
}

/// Logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The most detailed level that is logged.
    pub level: Level,
    /// The shape of a line on standard output.
    pub format: LogFormat,
    /// Where daily log files go; none if `None`.
    pub directory: Option<PathBuf>,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object a line.
    Json,
}
