//! What deployments write into their environment, and what they are told.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;

fn read<const N: usize>(vars: [(&str, &str); N]) -> Config {
    Config::from_vars(vars).unwrap()
}

fn errors<const N: usize>(vars: [(&str, &str); N]) -> String {
    Config::from_vars(vars).unwrap_err().to_string()
}

const SECRET: (&str, &str) = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
const PRODUCTION: (&str, &str) = ("NODE_ENV", "production");
const EMBEDDED: (&str, &str) = ("BACKPLANE", "embedded");
const TURN_URL: (&str, &str) = ("TURN_SERVER_URL", "turn:turn.example.org:3478");

#[test]
fn nothing_set_is_development_with_a_secret_of_its_own() {
    let (config, other) = (read([]), read([]));
    assert_eq!(config.mode, Mode::Development);
    assert!(config.auth.secret_generated && config.auth.required);
    let [secret, other] = [&config, &other].map(|config| config.auth.secret.as_ref().unwrap().expose_secret());
    assert_ne!(secret, other);
    assert!(config.warnings.is_empty());
    assert!(matches!(config.backplane, BackplaneConfig::Embedded));
    assert_eq!(config.server.port, 3000);
    assert_eq!(config.server.drain_timeout, Duration::from_secs(1));
    assert_eq!(config.server.host.to_string(), "0.0.0.0");
    assert_eq!(config.server.cors_origin, CorsOrigin::Any);
    assert!(config.server.worker_threads >= 1);
    assert_eq!(config.auth.token_lifetime, Duration::from_secs(7 * 86_400));
    assert_eq!(config.call.ring_timeout, Duration::from_secs(45));
    assert_eq!(config.limits.max_payload, 1_000_000);
    assert_eq!(config.logs.level, Level::INFO);
    assert_eq!(config.logs.format, LogFormat::Text);
    assert!(config.push.fcm.is_none() && config.push.apns.is_none() && !config.push.skip_online);
    assert!(!config.ice.public);
}

#[test]
fn every_problem_is_listed_at_once() {
    let text = errors([
        ("PORT", "abc"),
        ("HOST", "example.org"),
        ("CALL_RING_TIMEOUT", "45s"),
        ("CALL_RING_TIMOUT", "45000"),
        ("EVENT_RATE", "0"),
        ("AUTH_REQUIRED", "maybe"),
        ("NODE_ENV", "staging"),
    ]);
    let expected = [
        "NODE_ENV: got \"staging\", wants development or production",
        "HOST: got \"example.org\", wants an IP address such as 0.0.0.0 or ::1",
        "PORT: got \"abc\", wants a port number from 0 to 65535",
        "AUTH_REQUIRED: got \"maybe\", wants true or false",
        "CALL_RING_TIMEOUT: got \"45s\", wants milliseconds from 100 to 600000",
        "EVENT_RATE: got \"0\", wants a whole number from 1 to 1000000",
        "unknown variable CALL_RING_TIMOUT; did you mean CALL_RING_TIMEOUT?",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn production_needs_a_secret_and_a_named_backplane() {
    let text = errors([PRODUCTION]);
    let ways_out = "BACKPLANE: NODE_ENV=production wants the backplane named: REDIS_URL, REDIS_HOST or REDIS_SENTINELS \
                    for any number of nodes, or BACKPLANE=embedded for one node that keeps everything in its memory";
    assert_eq!(text.lines().next(), Some(ways_out));
    assert!(text.contains("JWT_SECRET: NODE_ENV=production needs it"), "{text}");
    let config = read([PRODUCTION, EMBEDDED, SECRET]);
    assert_eq!(config.mode, Mode::Production);
    assert_eq!(config.logs.format, LogFormat::Json);
    assert!(!config.auth.secret_generated && config.warnings.is_empty());
    let short = read([PRODUCTION, EMBEDDED, ("JWT_SECRET", "hunter2")]);
    assert_eq!(short.warnings.len(), 1);
    assert!(!short.warnings[0].contains("hunter2"));
}

#[test]
fn a_named_redis_is_the_backplane_unless_the_embedded_one_is_asked_for() {
    let is_redis = |config: &Config| matches!(config.backplane, BackplaneConfig::Redis(_));
    for named in [("REDIS_URL", "redis://r"), ("REDIS_HOST", "r"), ("REDIS_SENTINELS", "s")] {
        // Is refused where it is out of place, so it goes with the last alone.
        let master = ("REDIS_SENTINEL_MASTER", if named.0 == "REDIS_SENTINELS" { "m" } else { "" });
        assert!(is_redis(&read([named, master])), "{named:?}");
        assert!(is_redis(&read([("BACKPLANE", "redis"), named, master])), "{named:?}");
        let production = read([PRODUCTION, SECRET, named, master]);
        assert!(is_redis(&production) && production.warnings.is_empty(), "{named:?}");
    }
    let embedded = read([EMBEDDED, ("REDIS_HOST", "r")]);
    assert!(!is_redis(&embedded));
    assert_eq!(embedded.warnings, ["REDIS_HOST is ignored: BACKPLANE=embedded does without Redis"]);
}

#[test]
fn redis_settings_without_redis_are_ignored_aloud() {
    let several = read([EMBEDDED, ("REDIS_URL", "x"), ("REDIS_HOST", "/"), ("REDIS_TIMEOUT", "1")]);
    let expected = "REDIS_HOST, REDIS_TIMEOUT, REDIS_URL are ignored: BACKPLANE=embedded does without Redis";
    assert_eq!(several.warnings, [expected]);
    let nowhere = read([("REDIS_PASSWORD", "hunter2")]);
    let expected = "REDIS_PASSWORD is ignored: none of REDIS_URL, REDIS_HOST and REDIS_SENTINELS says where Redis is";
    assert_eq!(nowhere.warnings, [expected]);
}

#[test]
fn a_service_called_metrics_gives_no_port() {
    assert_eq!(read([("METRICS_PORT", "tcp://10.0.0.1:80")]).server.metrics_port, Some(9464));
    assert!(errors([("METRICS_PORT", "udp://10.0.0.1:80")]).starts_with("METRICS_PORT: got"));
}

#[test]
fn origins_are_normalised() {
    let list = |text| read([("CORS_ORIGIN", text)]).server.cors_origin;
    assert_eq!(list("*"), CorsOrigin::Any);
    let expected = ["https://a.example", "http://localhost:5173"].map(HeaderValue::from_static);
    assert_eq!(list("https://A.example/, http://localhost:5173"), CorsOrigin::List(expected.to_vec()));
    for bad in ["example.org", "https://a/b", "https://*.a", "*,https://a", "https://a,null", "://a"] {
        assert!(errors([("CORS_ORIGIN", bad)]).starts_with("CORS_ORIGIN: got"), "{bad}");
    }
}

#[test]
fn a_payload_must_fit_into_the_burst() {
    let text = errors([("MAX_PAYLOAD", "5000000")]);
    assert!(text.starts_with("EVENT_BYTES_BURST: is 4194304, less than MAX_PAYLOAD"), "{text}");
    read([("MAX_PAYLOAD", "5000000"), ("EVENT_BYTES_BURST", "5000000")]);
}

#[test]
fn what_has_no_effect_is_said() {
    let config = read([("FIREBASE_PROJECT_ID", "p"), ("LOG_FILE", "x.log"), ("AUTH_REQUIRED", "false"), EMBEDDED]);
    assert!(config.push.fcm.is_none() && !config.auth.required);
    let names: Vec<_> = config.warnings.iter().map(|w| w.split([' ', '=']).next().unwrap_or_default()).collect();
    assert_eq!(names, ["AUTH_REQUIRED", "FIREBASE_PROJECT_ID", "LOG_FILE"]);
}

#[test]
fn npm_log_levels_are_understood() {
    let level = |text| read([("LOG_LEVEL", text)]).logs.level;
    assert_eq!(level("silly"), Level::TRACE);
    assert_eq!(level("verbose"), Level::DEBUG);
    assert_eq!(level("http"), Level::INFO);
    assert_eq!(level("WARN"), Level::WARN);
    assert!(errors([("LOG_LEVEL", "loud")]).contains("wants one of error, warn, info, "));
}

#[test]
fn secrets_are_never_shown() {
    let config = read([
        EMBEDDED,
        TURN_URL,
        ("JWT_SECRET", "hunter2-jwt"),
        ("REDIS_URL", "redis://:hunter2-url@r"),
        ("REDIS_PASSWORD", "hunter2-redis"),
        ("REDIS_SENTINEL_PASSWORD", "hunter2-sentinel"),
        ("TURN_STATIC_SECRET", "hunter2-turn"),
        ("TURN_USERNAME", "u"),
        ("TURN_CREDENTIAL", "hunter2-credential"),
    ]);
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let generated = read([]);
    assert!(!format!("{generated:?}").contains(generated.auth.secret.as_ref().unwrap().expose_secret()));
    let refused = errors([("TURN_STATIC_SECRET", "hunter2"), ("PORT", "x")]);
    assert!(!refused.contains("hunter2"), "{refused}");
}
