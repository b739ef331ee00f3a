//! The table of environment variables: the one place where a name, a default and a bound are written down.

use std::fmt;

use Fallback::{Chosen, Unset, Value};
use Kind::{
    Address, Attributes, Choice, Choices, Flag, Headers, Host, Lifetime, Milliseconds, Number, Origins, Path, Port,
    PortOrOff, Printable, Ratio, ReceiverUrl, RedisUrl, Seconds, Secret, Servers, ServiceUrl, StunUrl, Text, Texts,
    TurnRegions, TurnUrls, WebUrl,
};
use Section::{Auth, Backplane, Calls, Ice, Inbox, Limits, Logs, Push, Server, Sockets, Traces, Webhooks};

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// The heading it stands under.
    pub section: Section,
    /// Its name.
    pub name: &'static str,
    /// What stands in for it when it is not set.
    pub fallback: Fallback,
    /// What values it takes.
    pub kind: Kind,
    /// What it does, as one sentence without a full stop.
    pub about: &'static str,
}

/// The headings of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The listener and the process.
    Server,
    /// Logs.
    Logs,
    /// Traces.
    Traces,
    /// Storage and carriage.
    Backplane,
    /// Tokens.
    Auth,
    /// Push services.
    Push,
    /// What is told to other servers.
    Webhooks,
    /// STUN and TURN.
    Ice,
    /// Durations of a call.
    Calls,
    /// The transport.
    Sockets,
    /// Bounds on clients.
    Limits,
    /// Messages for absent devices.
    Inbox,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server => "Server",
            Logs => "Logs",
            Traces => "Traces",
            Backplane => "Backplane",
            Auth => "Authentication",
            Push => "Push",
            Webhooks => "Webhooks",
            Ice => "STUN and TURN",
            Calls => "Calls",
            Sockets => "Sockets",
            Limits => "Limits",
            Inbox => "Inbox",
        })
    }
}

/// What stands in for a variable that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This text, read as if it had been given.
    Value(&'static str),
    /// Nothing.
    Unset,
    /// Something found out at the start, described in words.
    Chosen(&'static str),
}

impl Fallback {
    /// The text that is read in place of the missing value.
    pub fn value(self) -> Option<&'static str> {
        match self {
            Value(text) => Some(text),
            Unset | Chosen(_) => None,
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value(text) | Chosen(text) => f.write_str(text),
            Unset => f.write_str("not set"),
        }
    }
}

/// What values a variable takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words.
    Choices(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// An IP address.
    Address,
    /// A host name or an IP address.
    Host,
    /// Hosts, each with a port or without.
    Servers,
    /// A TCP port.
    Port,
    /// A TCP port, or none.
    PortOrOff,
    /// A whole number within bounds, inclusive.
    Number(u64, u64),
    /// A duration in milliseconds within bounds, inclusive.
    Milliseconds(u64, u64),
    /// A duration in seconds within bounds, inclusive.
    Seconds(u64, u64),
    /// A duration with a unit.
    Lifetime,
    /// `*` or web origins.
    Origins,
    /// One STUN URL.
    StunUrl,
    /// TURN URLs.
    TurnUrls,
    /// Regions, each with its TURN URLs.
    TurnRegions,
    /// Where another service is.
    ServiceUrl,
    /// Where a service is that is only told something.
    ReceiverUrl,
    /// Where another service is, in the same network perhaps.
    WebUrl,
    /// Headers of requests, never shown.
    Headers,
    /// Keys, each with a value.
    Attributes,
    /// A part of the whole.
    Ratio,
    /// A path in the file system.
    Path,
    /// Any text.
    Text,
    /// Texts without commas.
    Texts,
    /// Text without control characters, of this many characters at most.
    Printable(usize),
    /// Any text, never shown.
    Secret,
    /// Where Redis is; it may hold a password and is never shown.
    RedisUrl,
}

impl Kind {
    /// The values it takes, in words that complete "wants …".
    pub fn wants(self) -> String {
        match self {
            Choice([one]) => (*one).into(),
            Choice([one, other]) => format!("{one} or {other}"),
            Choice(words) => format!("one of {}", words.join(", ")),
            Choices(words) => format!("some of {}, separated by commas", words.join(", ")),
            Flag => "true or false".into(),
            Address => "an IP address such as 0.0.0.0 or ::1".into(),
            Host => "a host name or an IP address".into(),
            Servers => "hosts such as sentinel-1:26379, separated by commas".into(),
            Port => "a port number from 0 to 65535".into(),
            PortOrOff => "a port number from 0 to 65535, or off".into(),
            Number(least, most) => format!("a whole number from {least} to {most}"),
            Milliseconds(least, most) => format!("milliseconds from {least} to {most}"),
            Seconds(least, most) => format!("seconds from {least} to {most}"),
            Lifetime => "a duration such as 7d, 12h, 30m or 45s, at most 3650d".into(),
            Origins => "* or origins such as https://app.example.org, separated by commas".into(),
            StunUrl => "a URL such as stun:stun.example.org:3478".into(),
            TurnUrls => "URLs such as turn:turn.example.org:3478?transport=udp, separated by commas".into(),
            TurnRegions => {
                "regions and their TURN URLs, such as eu=turn:a.example.org,turns:a.example.org; us=turn:b.example.org"
                    .into()
            }
            ServiceUrl => "a URL that starts with https://; http:// is for this machine, and for development".into(),
            ReceiverUrl => {
                "a URL that starts with https://; http:// is for this machine, for names that only this network knows, and for \
                 development"
                    .into()
            }
            WebUrl => "a URL that starts with http:// or https://".into(),
            Headers => "secret headers such as api-key=value, separated by commas".into(),
            Attributes => "attributes such as key=value, separated by commas".into(),
            Ratio => "a number from 0 to 1".into(),
            Path => "a path".into(),
            Text => "text".into(),
            Texts => "text, or several separated by commas".into(),
            Printable(most) => format!("printable text up to {most} characters"),
            Secret => "a secret text".into(),
            RedisUrl => "a secret URL that starts with redis://, rediss:// or unix://".into(),
        }
    }

    /// Whether a value must not be shown to anybody.
    pub fn is_secret(self) -> bool {
        matches!(self, Secret | RedisUrl | Headers)
    }
}

impl Variable {
    /// Whether a running server takes another value at SIGHUP. Of some secrets it depends on the others, too.
    pub fn is_hot(&self) -> bool {
        const HOT: [&str; 10] = [
            "LOG_LEVEL",
            "TLS_CERT",
            "TLS_KEY",
            "JWT_SECRET",
            "REDIS_URL",
            "REDIS_USERNAME",
            "REDIS_PASSWORD",
            "REDIS_SENTINEL_USERNAME",
            "REDIS_SENTINEL_PASSWORD",
            "TURN_STATIC_SECRET",
        ];
        // The engine of the sockets is made for one size of packets.
        (self.section == Limits && self.name != "MAX_PAYLOAD") || HOT.contains(&self.name)
    }
}

const fn var(section: Section, name: &'static str, fallback: Fallback, kind: Kind, about: &'static str) -> Variable {
    Variable { section, name, fallback, kind, about }
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Enough for any rate or burst; keeps a slip of the keyboard from meaning "no limit".
const MILLION: u64 = 1_000_000;
const GIB: u64 = 1 << 30;

/// As the specification of OpenTelemetry has them.
const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

pub(super) const LEVELS: &[&str] = &["error", "warn", "info", "http", "verbose", "debug", "silly", "trace"];

/// How tokens may be signed: with a secret, or with a key that has a public half.
pub(super) const HMAC_ALGORITHMS: &[&str] = &["HS256", "HS384", "HS512"];
pub(super) const ALGORITHMS: &[&str] =
    &["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// What may be told of calls.
pub(super) const WEBHOOK_EVENTS: &[&str] = &["call.started", "call.answered", "call.ended", "call.missed"];

/// Every variable, in the order of the documentation.
pub fn variables() -> &'static [Variable] {
    VARIABLES
}

#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    var(Server, "NODE_ENV", Value("development"), Choice(&["development", "production"]), "Production insists on `JWT_SECRET` or public keys and on Redis or `BACKPLANE=embedded`, and has no demo page"),
    var(Server, "CONFIG_FILE", Chosen("`.env` in the working directory, if it is there"), Path, "A file of settings, each `NAME=value`; variables of the environment win over it, and only there can it be named. Read again at SIGHUP, and when it changes if it has been named"),
    var(Server, "PORT", Value("3000"), Port, "The port to listen on; 0 takes any free one"),
    var(Server, "HOST", Value("0.0.0.0"), Address, "The address to listen on"),
    var(Server, "TLS_CERT", Unset, Path, "PEM file of the certificate of `PORT`, the intermediate ones behind it; with it clients come by `https:` and `wss:`. Read again when it changes"),
    var(Server, "TLS_KEY", Unset, Path, "PEM file of the key of that certificate"),
    var(Server, "METRICS_PORT", Value("9464"), PortOrOff, "The port for the inside, at `HOST`: `/metrics`, `/livez`, `/readyz` and what happened to calls; 0 takes any free one, `off` does without"),
    var(Server, "METRICS_PUBLIC", Value("false"), Flag, "`true` answers `/metrics` on the public port too, to anybody"),
    var(Server, "CORS_ORIGIN", Value("*"), Origins, "The web origins that may use this server; with a list, cookies are allowed too"),
    var(Server, "WORKER_THREADS", Value("1"), Number(1, 1024), "Threads that run the server; a message costs least CPU with one, which serves some thousand calls per second, some hundred with Redis"),
    var(Server, "DRAIN_TIMEOUT", Chosen("10000 with Redis, else 1000"), Milliseconds(0, 10 * MINUTE), "Over how long a shutdown sends the clients away"),
    var(Server, "SHUTDOWN_TIMEOUT", Value("10000"), Milliseconds(0, 10 * MINUTE), "How long a shutdown waits for work in progress"),

    var(Logs, "LOG_LEVEL", Value("info"), Choice(LEVELS), "The most detailed level that is logged; payloads and tokens never are"),
    var(Logs, "LOG_FORMAT", Chosen("json in production, else text"), Choice(&["text", "json"]), "The shape of a line on standard output"),
    var(Logs, "TIMELINE_TTL", Value("86400000"), Milliseconds(0, 30 * DAY), "How long it is kept what happened to a call, for `switchboard call`; 0 keeps nothing"),
    var(Logs, "TIMELINE_CALLS", Value("100000"), Number(1, 100_000_000), "Calls of which that is kept; beyond it the oldest are let go"),
    var(Logs, "LOG_DIR", Unset, Path, "Directory for daily `combined.log.*` and `error.log.*` files, kept for 14 days"),

    var(Traces, "OTEL_EXPORTER_OTLP_ENDPOINT", Unset, WebUrl, "The collector of OpenTelemetry that is sent traces, at `/v1/traces` below this address; without it there are none"),
    var(Traces, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Unset, WebUrl, "The same, as the whole address"),
    var(Traces, "OTEL_EXPORTER_OTLP_HEADERS", Unset, Headers, "Headers for the collector, values percent-encoded; a key, perhaps"),
    var(Traces, "OTEL_EXPORTER_OTLP_PROTOCOL", Value("http/protobuf"), Choice(&["http/protobuf"]), "How it is spoken to"),
    var(Traces, "OTEL_SERVICE_NAME", Value("switchboard"), Printable(128), "What this server is called in traces"),
    var(Traces, "OTEL_RESOURCE_ATTRIBUTES", Unset, Attributes, "What else traces say of it, values percent-encoded"),
    var(Traces, "OTEL_TRACES_SAMPLER", Value("parentbased_always_on"), Choice(SAMPLERS), "Which calls are traced; `parentbased_` makes no difference, as this server begins every trace"),
    var(Traces, "OTEL_TRACES_SAMPLER_ARG", Value("1"), Ratio, "The part of the calls that `traceidratio` traces, the same ones on all nodes"),
    var(Traces, "OTEL_TRACES_EXPORTER", Chosen("otlp if an endpoint is set, else none"), Choice(&["otlp", "none"]), "`none` sends no traces; `otlp` without an endpoint takes `http://localhost:4318`"),
    var(Traces, "OTEL_SDK_DISABLED", Value("false"), Flag, "`true` sends no traces, whatever else is set"),

    var(Backplane, "BACKPLANE", Chosen("redis if `REDIS_URL`, `REDIS_HOST` or `REDIS_SENTINELS` is set, else embedded"), Choice(&["embedded", "redis"]), "What remembers calls and carries messages: `redis` for any number of nodes, `embedded` for one alone, in its memory; production wants one of them named"),
    var(Backplane, "REDIS_URL", Unset, RedisUrl, "Where Redis is: `redis://user:password@host:6379/0`, `rediss://` for TLS, `unix:///path/to.sock?db=0`; it may leave out what other variables say"),
    var(Backplane, "REDIS_HOST", Unset, Host, "Where Redis is, if there is no `REDIS_URL`"),
    var(Backplane, "REDIS_PORT", Value("6379"), Number(1, 65_535), "The port at `REDIS_HOST`"),
    var(Backplane, "REDIS_USERNAME", Unset, Text, "Redis user; Redis has one called `default` for those who give a password only"),
    var(Backplane, "REDIS_PASSWORD", Unset, Secret, "Redis password"),
    var(Backplane, "REDIS_DB", Value("0"), Number(0, 65_535), "Redis database"),
    var(Backplane, "REDIS_SENTINELS", Unset, Servers, "The Sentinels that know where Redis is, in place of `REDIS_URL` and `REDIS_HOST`; the port is 26379 if it is left out"),
    var(Backplane, "REDIS_SENTINEL_MASTER", Unset, Text, "The name by which the Sentinels know this Redis"),
    var(Backplane, "REDIS_SENTINEL_USERNAME", Unset, Text, "User at the Sentinels"),
    var(Backplane, "REDIS_SENTINEL_PASSWORD", Unset, Secret, "Password at the Sentinels"),
    var(Backplane, "REDIS_TLS", Chosen("true with `rediss://`, else false"), Flag, "Encrypts the connections to Redis and to its Sentinels"),
    var(Backplane, "REDIS_TLS_CA", Unset, Path, "PEM file of the authorities that may have signed the certificate of Redis, in place of the public ones"),
    var(Backplane, "REDIS_TLS_CERT", Unset, Path, "PEM file of the certificate that is shown to Redis"),
    var(Backplane, "REDIS_TLS_KEY", Unset, Path, "PEM file of the key of that certificate"),
    var(Backplane, "REDIS_KEY_PREFIX", Unset, Printable(64), "What the name of every Redis key begins with, the same on all nodes"),
    var(Backplane, "REDIS_TIMEOUT", Value("800"), Milliseconds(50, 10_000), "The longest wait for Redis before a request is refused"),

    var(Auth, "JWT_SECRET", Chosen("made up at each start if there are no public keys either; production needs one or the other"), Secret, "The HMAC key of the tokens (HS256, HS384, HS512), best 32 random bytes or more"),
    var(Auth, "JWT_JWKS_URL", Unset, ServiceUrl, "Where an identity provider publishes the keys of its tokens (JWKS)"),
    var(Auth, "JWT_PUBLIC_KEY_PATH", Unset, Path, "PEM file of the public key, or keys, of the tokens"),
    var(Auth, "JWT_ALGORITHMS", Chosen("HS256, HS384, HS512 with `JWT_SECRET`; RS256, ES256, EdDSA with public keys"), Choices(ALGORITHMS), "The algorithms a token may be signed by; any other is refused"),
    var(Auth, "JWT_ISSUER", Unset, Texts, "What `iss` of a token has to be; with several, one of them"),
    var(Auth, "JWT_AUDIENCE", Unset, Texts, "What `aud` of a token has to be or contain; with several, one of them"),
    var(Auth, "JWT_EXPIRY", Value("7d"), Lifetime, "Lifetime of tokens made by `switchboard token` and the demo page"),
    var(Auth, "AUTH_REQUIRED", Value("true"), Flag, "`false` lets apps connect without a token and be whoever they say: for a migration only"),

    var(Push, "FIREBASE_PRIVATE_KEY_PATH", Unset, Path, "JSON file of a Firebase service account; with it pushes go out by Firebase Cloud Messaging"),
    var(Push, "FIREBASE_PROJECT_ID", Unset, Printable(128), "Firebase project, if it is not that of the service account"),
    var(Push, "FCM_ENDPOINT", Value("https://fcm.googleapis.com"), ServiceUrl, "Where messages for Firebase Cloud Messaging go; another address is that of a proxy of yours"),
    var(Push, "APNS_KEY_PATH", Unset, Path, "`.p8` file of a key for Apple's push service; with it iOS devices that register an `apnsVoipToken` ring by PushKit. Needs the next three"),
    var(Push, "APNS_KEY_ID", Unset, Printable(64), "The id of that key"),
    var(Push, "APNS_TEAM_ID", Unset, Printable(64), "The id of the team whose key it is"),
    var(Push, "APNS_TOPIC", Unset, Printable(128), "The bundle id of the app; `.voip` is added"),
    var(Push, "APNS_ENVIRONMENT", Value("production"), Choice(&["production", "sandbox"]), "`sandbox` for builds that were installed by Xcode"),
    var(Push, "APNS_ENDPOINT", Chosen("that of `APNS_ENVIRONMENT`"), ServiceUrl, "Where messages for Apple's push service go; another address is that of a proxy of yours"),
    var(Push, "PUSH_SKIP_ONLINE", Value("false"), Flag, "`true` leaves out devices that are connected; a phone that has just lost its network still counts as connected"),

    var(Webhooks, "WEBHOOK_URL", Unset, ReceiverUrl, "Where webhooks are posted; names that only this network knows are those without dots and those that end in `.svc` or `.cluster.local`"),
    var(Webhooks, "WEBHOOK_SECRET", Unset, Secret, "By what they are signed: `whsec_` and Base64, or any text without blanks; two, separated by a blank, while one is exchanged for the other"),
    var(Webhooks, "WEBHOOK_EVENTS", Chosen("all"), Choices(WEBHOOK_EVENTS), "Which of them are sent"),

    var(Ice, "STUN_SERVER_URL", Value("stun:stun.l.google.com:19302"), StunUrl, "The STUN server handed to clients"),
    var(Ice, "TURN_SERVER_URL", Unset, TurnUrls, "The TURN servers handed to clients"),
    var(Ice, "TURN_REGIONS", Unset, TurnRegions, "The TURN servers handed to clients that name one of these regions, in place of those of `TURN_SERVER_URL`"),
    var(Ice, "TURN_USERNAME", Unset, Text, "TURN user name, the same for everybody"),
    var(Ice, "TURN_CREDENTIAL", Unset, Secret, "TURN password, the same for everybody"),
    var(Ice, "TURN_STATIC_SECRET", Unset, Secret, "Secret shared with the TURN server for time-limited credentials; wins over the fixed pair"),
    var(Ice, "TURN_TTL", Value("86400"), Seconds(5, 30 * DAY / 1000), "Lifetime of time-limited TURN credentials"),
    var(Ice, "ICE_SERVERS_PUBLIC", Value("false"), Flag, "`true` hands TURN credentials to anybody, without a token"),

    var(Calls, "CALL_RING_TIMEOUT", Value("45000"), Milliseconds(100, 10 * MINUTE), "How long a call rings"),
    var(Calls, "CALL_MAX_DURATION", Value("86400000"), Milliseconds(100, 7 * DAY), "How long an accepted call may last"),
    var(Calls, "CALL_CALLER_AWAY_TIMEOUT", Value("15000"), Milliseconds(100, 10 * MINUTE), "How long a call rings on without its caller"),
    var(Calls, "CALL_AWAY_TIMEOUT", Value("60000"), Milliseconds(100, HOUR), "How long an accepted call waits for a party that lost its connection"),
    var(Calls, "CALL_BUSY_WINDOW", Value("300000"), Milliseconds(0, DAY), "How long after its answer a call makes its parties busy; later their devices are asked"),

    var(Sockets, "SOCKET_PING_INTERVAL", Value("25000"), Milliseconds(100, 10 * MINUTE), "Time between two pings of a connection"),
    var(Sockets, "SOCKET_PING_TIMEOUT", Value("60000"), Milliseconds(100, 10 * MINUTE), "How long a pong may take"),
    var(Sockets, "SOCKET_CONNECT_TIMEOUT", Value("10000"), Milliseconds(100, 10 * MINUTE), "How long a connection may stay without a Socket.IO handshake"),
    var(Sockets, "REQUEST_TIMEOUT", Value("3000"), Milliseconds(10, MINUTE), "Within this every request is answered"),
    var(Sockets, "SEND_QUEUE", Value("2048"), Number(1, 65_536), "Packets that may wait for one connection before it is closed as too slow"),

    var(Limits, "MAX_CONNECTIONS", Value("100000"), Number(1, 10 * MILLION), "Connections to this node"),
    var(Limits, "MAX_CONNECTIONS_PER_USER", Value("50"), Number(1, MILLION), "Connections of one user"),
    var(Limits, "MAX_PAYLOAD", Value("1000000"), Number(1024, 100 * MILLION), "Bytes of one packet"),
    var(Limits, "MAX_SDP_BYTES", Value("131072"), Number(256, 100 * MILLION), "Bytes of one session description"),
    var(Limits, "MAX_CANDIDATE_BYTES", Value("8192"), Number(64, 100 * MILLION), "Bytes of one ICE candidate"),
    var(Limits, "EVENT_RATE", Value("100"), Number(1, MILLION), "Events a second of one connection"),
    var(Limits, "EVENT_BURST", Value("1000"), Number(1, MILLION), "Events one connection may send at once"),
    var(Limits, "EVENT_BYTES_RATE", Value("524288"), Number(1, GIB), "Bytes a second of one connection"),
    var(Limits, "EVENT_BYTES_BURST", Value("4194304"), Number(1, GIB), "Bytes one connection may send at once; at least `MAX_PAYLOAD`"),
    var(Limits, "USER_EVENT_RATE", Value("200"), Number(1, MILLION), "Events a second of one user, over all connections"),
    var(Limits, "USER_EVENT_BURST", Value("2000"), Number(1, MILLION), "Events one user may send at once"),
    var(Limits, "CALL_RATE", Value("30"), Number(1, MILLION), "Calls a minute of one user"),
    var(Limits, "CALL_BURST", Value("20"), Number(1, MILLION), "Calls one user may start at once"),
    var(Limits, "RATE_LIMIT_STRIKES", Value("100"), Number(1, MILLION), "Refusals for rate after which a connection is closed"),

    var(Inbox, "INBOX_MESSAGES", Value("1024"), Number(1, MILLION), "Messages kept for the absent devices of one user"),
    var(Inbox, "INBOX_BYTES", Value("1048576"), Number(1024, GIB), "Bytes kept for the absent devices of one user"),
    var(Inbox, "INBOX_TTL", Value("86400000"), Milliseconds(100, 30 * DAY), "How long a message is kept"),
];

#[cfg(test)]
mod tests;
