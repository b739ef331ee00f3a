//! Builds the typed sections and checks them against each other.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::HeaderValue;
use tracing::Level;

use super::auth::auth_config;
use super::changes::Origin;
use super::ice::ice_config;
use super::near_miss;
use super::problem::{ConfigErrors, Problem};
use super::push::push_config;
use super::reader::{Reader, comma_list};
use super::redis::{names_a_server, redis_config};
use super::source::{NAMED_BY, Vars};
use super::tls::{TlsIdentity, tls_identity};
use super::traces::traces_config;
use super::variables::{Section, variables};
use super::webhooks::webhook_config;
use super::{
    BackplaneConfig, CallConfig, Config, CorsOrigin, InboxConfig, LimitsConfig, LogConfig, LogFormat, Mode,
    ServerConfig, SocketConfig, TimelineConfig,
};

/// Over how long clients are sent elsewhere: long enough that they do not all arrive there at once, and hardly at all where there
/// is no elsewhere.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
const EMBEDDED_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The configuration that `vars` describe. Where a file of a secret, or of a certificate, gives nothing, that of `kept` counts.
///
/// # Errors
/// Every problem found.
pub(super) fn config(vars: Vars, kept: Option<&Config>) -> Result<Config, ConfigErrors> {
    let set = vars.iter().filter(|(name, value)| !is_injected(name, value)).cloned();
    let mut reader = Reader::new(set, kept.map(|kept| kept.origin.kept()).as_ref());
    let mut warnings = Vec::new();
    let mode = match reader.choice("NODE_ENV") {
        Some("production") => Mode::Production,
        _ => Mode::Development,
    };
    let backplane = backplane(&mut reader, mode, &mut warnings);
    let (tls, stale_tls) = tls_identity(&mut reader, kept.and_then(|kept| kept.server.tls.as_ref()), &mut warnings);
    let origin = origin_of(vars, &mut reader, stale_tls);
    let config = Config {
        mode,
        server: server(&mut reader, &backplane, tls),
        backplane,
        auth: auth_config(&mut reader, mode, &mut warnings),
        push: push_config(&mut reader, mode, &mut warnings),
        webhooks: webhook_config(&mut reader, mode, &mut warnings),
        ice: ice_config(&mut reader, &mut warnings),
        call: call(&mut reader),
        socket: socket(&mut reader),
        limits: limits(&mut reader),
        inbox: inbox(&mut reader),
        logs: logs(&mut reader, mode, &mut warnings),
        timelines: timelines(&mut reader),
        traces: traces_config(&mut reader, &mut warnings),
        warnings,
        settings: reader.settings(),
        origin,
    };
    let misspelt: Vec<_> = reader
        .names()
        .filter_map(|name| {
            let meant = near_miss::meant_by(name)?;
            Some(Problem::Unknown { name: name.to_owned(), meant })
        })
        .collect();
    reader.problems.extend(misspelt);
    if reader.problems.is_empty() { Ok(config) } else { Err(ConfigErrors(reader.problems)) }
}

fn origin_of(vars: Vars, reader: &mut Reader, stale_tls: Option<(&str, String)>) -> Origin {
    let named = [NAMED_BY, "TLS_CERT", "TLS_KEY"].map(|name| reader.text(name).map(PathBuf::from));
    let files = reader.secret_files();
    let mut stale = files.stale.clone();
    stale.extend(stale_tls.map(|(name, text)| Problem::conflict(name, text)));
    let watched = files.paths().cloned().chain(named.into_iter().flatten());
    Origin::new(vars, reader.given().clone(), watched, stale)
}

/// Whether it was not the operator who set the variable: for a service called redis or metrics, Kubernetes sets `REDIS_PORT` or
/// `METRICS_PORT` to a URL of its own.
fn is_injected(name: &str, value: &str) -> bool {
    name.ends_with("_PORT") && value.trim_start().starts_with("tcp://")
}

fn server(reader: &mut Reader, backplane: &BackplaneConfig, tls: Option<TlsIdentity>) -> ServerConfig {
    let drain_timeout = match backplane {
        BackplaneConfig::Embedded => EMBEDDED_DRAIN_TIMEOUT,
        BackplaneConfig::Redis(_) => DRAIN_TIMEOUT,
    };
    ServerConfig {
        host: reader
            .parsed("HOST", |text, _| match text {
                "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                text => text.parse().ok(),
            })
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        port: reader.number("PORT"),
        tls,
        metrics_port: reader.parsed("METRICS_PORT", |text, _| port_or_off(text)).flatten(),
        metrics_public: reader.flag("METRICS_PUBLIC"),
        cors_origin: reader.parsed("CORS_ORIGIN", |text, _| cors_origin(text)).unwrap_or(CorsOrigin::Any),
        worker_threads: reader.number("WORKER_THREADS"),
        drain_timeout: reader.optional_duration("DRAIN_TIMEOUT").unwrap_or(drain_timeout),
        shutdown_timeout: reader.duration("SHUTDOWN_TIMEOUT"),
    }
}

/// A port, or none where there is to be none; `None` for what is neither.
#[expect(clippy::option_option, reason = "a value that is not sound, and one that says no")]
fn port_or_off(text: &str) -> Option<Option<u16>> {
    if text.eq_ignore_ascii_case("off") {
        return Some(None);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok().map(Some) } else { None }
}

fn cors_origin(text: &str) -> Option<CorsOrigin> {
    if text == "*" {
        return Some(CorsOrigin::Any);
    }
    comma_list(text).map(origin).collect::<Option<Vec<_>>>().map(CorsOrigin::List)
}

/// An origin as browsers send it: in lower case, without a path. A slash at the end is a slip, so it is dropped.
fn origin(text: &str) -> Option<HeaderValue> {
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = text.split_once("://")?;
    let is_origin =
        !scheme.is_empty() && !host.is_empty() && !host.contains(|c: char| "/?#@*".contains(c) || c.is_whitespace());
    if is_origin { HeaderValue::from_str(&text).ok() } else { None }
}

fn backplane(reader: &mut Reader, mode: Mode, warnings: &mut Vec<String>) -> BackplaneConfig {
    let chosen = reader.choice("BACKPLANE");
    if chosen == Some("redis") || (chosen.is_none() && names_a_server(reader)) {
        // Without a server the configuration is refused; which backplane stands in it is of no account then.
        return redis_config(reader).map_or(BackplaneConfig::Embedded, BackplaneConfig::Redis);
    }
    if !reader.is_given("BACKPLANE") && mode == Mode::Production {
        reader.conflict(
            "BACKPLANE",
            "NODE_ENV=production wants the backplane named: REDIS_URL, REDIS_HOST or REDIS_SENTINELS for any number \
             of nodes, or BACKPLANE=embedded for one node that keeps everything in its memory",
        );
    }
    let ignored: Vec<_> =
        reader.names().filter(|name| is_of(Section::Backplane, name) && *name != "BACKPLANE").collect();
    if !ignored.is_empty() {
        let are = if ignored.len() == 1 { "is" } else { "are" };
        let why = match chosen {
            Some(_) => "BACKPLANE=embedded does without Redis",
            None => "none of REDIS_URL, REDIS_HOST and REDIS_SENTINELS says where Redis is",
        };
        warnings.push(format!("{} {are} ignored: {why}", ignored.join(", ")));
    }
    BackplaneConfig::Embedded
}

fn is_of(section: Section, name: &str) -> bool {
    variables().iter().any(|variable| variable.section == section && variable.name == name)
}

fn call(reader: &mut Reader) -> CallConfig {
    CallConfig {
        ring_timeout: reader.duration("CALL_RING_TIMEOUT"),
        max_duration: reader.duration("CALL_MAX_DURATION"),
        caller_away_timeout: reader.duration("CALL_CALLER_AWAY_TIMEOUT"),
        away_timeout: reader.duration("CALL_AWAY_TIMEOUT"),
        busy_window: reader.duration("CALL_BUSY_WINDOW"),
    }
}

fn socket(reader: &mut Reader) -> SocketConfig {
    SocketConfig {
        ping_interval: reader.duration("SOCKET_PING_INTERVAL"),
        ping_timeout: reader.duration("SOCKET_PING_TIMEOUT"),
        connect_timeout: reader.duration("SOCKET_CONNECT_TIMEOUT"),
        request_timeout: reader.duration("REQUEST_TIMEOUT"),
        send_queue: reader.number("SEND_QUEUE"),
    }
}

fn limits(reader: &mut Reader) -> LimitsConfig {
    let limits = LimitsConfig {
        max_connections: reader.number("MAX_CONNECTIONS"),
        max_connections_per_user: reader.number("MAX_CONNECTIONS_PER_USER"),
        max_payload: reader.number("MAX_PAYLOAD"),
        max_sdp_bytes: reader.number("MAX_SDP_BYTES"),
        max_candidate_bytes: reader.number("MAX_CANDIDATE_BYTES"),
        event_rate: reader.number("EVENT_RATE"),
        event_burst: reader.number("EVENT_BURST"),
        event_bytes_rate: reader.number("EVENT_BYTES_RATE"),
        event_bytes_burst: reader.number("EVENT_BYTES_BURST"),
        user_event_rate: reader.number("USER_EVENT_RATE"),
        user_event_burst: reader.number("USER_EVENT_BURST"),
        call_rate_per_minute: reader.number("CALL_RATE"),
        call_burst: reader.number("CALL_BURST"),
        strikes: reader.number("RATE_LIMIT_STRIKES"),
    };
    let burst = usize::try_from(limits.event_bytes_burst).unwrap_or(usize::MAX);
    if burst < limits.max_payload {
        let text = format!(
            "is {burst}, less than MAX_PAYLOAD ({}): the largest packet could never be sent",
            limits.max_payload
        );
        reader.conflict("EVENT_BYTES_BURST", text);
    }
    limits
}

fn inbox(reader: &mut Reader) -> InboxConfig {
    InboxConfig {
        messages: reader.number("INBOX_MESSAGES"),
        bytes: reader.number("INBOX_BYTES"),
        ttl: reader.duration("INBOX_TTL"),
    }
}

fn timelines(reader: &mut Reader) -> Option<TimelineConfig> {
    let (calls, ttl) = (reader.number("TIMELINE_CALLS"), reader.duration("TIMELINE_TTL"));
    (!ttl.is_zero()).then_some(TimelineConfig { calls, ttl })
}

fn logs(reader: &mut Reader, mode: Mode, warnings: &mut Vec<String>) -> LogConfig {
    if reader.is_given("CALL_TTL") {
        warnings.push("CALL_TTL is ignored: a call is kept for as long as it lives, and a minute longer".into());
    }
    if reader.is_given("LOG_FILE") {
        warnings.push("LOG_FILE is ignored; LOG_DIR names a directory for log files".into());
    }
    LogConfig {
        // The words between are those of npm's loggers, which the reference server used.
        level: match reader.choice("LOG_LEVEL") {
            Some("error") => Level::ERROR,
            Some("warn") => Level::WARN,
            Some("verbose" | "debug") => Level::DEBUG,
            Some("silly" | "trace") => Level::TRACE,
            _ => Level::INFO,
        },
        format: match (reader.choice("LOG_FORMAT"), mode) {
            (Some("json"), _) | (None, Mode::Production) => LogFormat::Json,
            (Some(_), _) | (None, Mode::Development) => LogFormat::Text,
        },
        directory: reader.text("LOG_DIR").map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests;
