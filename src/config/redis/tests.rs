//! How deployments say where their Redis is, and what they are told when it does not fit together.

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::config::{BackplaneConfig, Config};

fn read<const N: usize>(vars: [(&str, &str); N]) -> RedisConfig {
    match Config::from_vars(vars).unwrap().backplane {
        BackplaneConfig::Redis(config) => config,
        BackplaneConfig::Embedded => panic!("{vars:?} gave the embedded backplane"),
    }
}

fn errors<const N: usize>(vars: [(&str, &str); N]) -> Vec<String> {
    Config::from_vars(vars).unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn url(text: &str) -> RedisConfig {
    read([("REDIS_URL", text)])
}

fn refusal(text: &str) -> String {
    errors([("REDIS_URL", text)]).join("\n")
}

/// Where Redis is, as text.
fn place(config: &RedisConfig) -> String {
    match &config.servers {
        RedisServers::Tcp { host, port } => format!("{host} {port}"),
        RedisServers::Unix(path) => path.display().to_string(),
        RedisServers::Sentinel { sentinels, master, .. } => format!("{master} {sentinels:?}"),
    }
}

fn password(config: &RedisConfig) -> Option<&str> {
    config.password.as_ref().map(ExposeSecret::expose_secret)
}

const URL: (&str, &str) = ("REDIS_URL", "redis://r");
const HOST: (&str, &str) = ("REDIS_HOST", "r");
const SENTINELS: (&str, &str) = ("REDIS_SENTINELS", "s");
const MASTER: (&str, &str) = ("REDIS_SENTINEL_MASTER", "m");

#[test]
fn a_host_is_enough() {
    let config = read([HOST]);
    assert_eq!(place(&config), "r 6379");
    assert!(config.username.is_none() && config.password.is_none() && config.tls.is_none());
    assert_eq!((config.db, config.key_prefix.as_str(), config.timeout), (0, "", Duration::from_millis(800)));
}

#[test]
fn every_setting_has_its_variable() {
    let config = read([
        ("REDIS_HOST", "[2001:db8::1]"),
        ("REDIS_PORT", "6380"),
        ("REDIS_USERNAME", "u"),
        ("REDIS_PASSWORD", "p"),
        ("REDIS_DB", "3"),
        ("REDIS_TLS", "yes"),
        ("REDIS_TLS_CA", "ca.pem"),
        ("REDIS_TLS_CERT", "cert.pem"),
        ("REDIS_TLS_KEY", "key.pem"),
        ("REDIS_KEY_PREFIX", "calls:"),
        ("REDIS_TIMEOUT", "50"),
    ]);
    assert_eq!(place(&config), "2001:db8::1 6380");
    assert_eq!((config.username.as_deref(), password(&config), config.db), (Some("u"), Some("p"), 3));
    let tls = config.tls.unwrap();
    assert_eq!(tls.ca.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(tls.client, Some(("cert.pem".into(), "key.pem".into())));
    assert_eq!((config.key_prefix.as_str(), config.timeout), ("calls:", Duration::from_millis(50)));
}

#[test]
fn hosts_are_names_or_addresses() {
    for good in ["localhost", "redis-0.redis.svc", "under_score", "10.0.0.1", "::1", "[::1]"] {
        assert_eq!(place(&read([("REDIS_HOST", good)])), format!("{} 6379", good.trim_matches(['[', ']'])));
    }
    for bad in ["redis://r", "r:6379", "u@r", "a b", "[r]", "[::1", "1::2::3", "é", &"a".repeat(254)] {
        let text = errors([("REDIS_HOST", bad)]).join("\n");
        assert!(text.starts_with("REDIS_HOST: got") && text.contains("wants a host name or an IP address"), "{text}");
    }
    assert_eq!(errors([HOST, ("REDIS_PORT", "0")]), ["REDIS_PORT: got \"0\", wants a whole number from 1 to 65535"]);
}

#[test]
fn what_kubernetes_sets_by_itself_is_ignored() {
    let injected = ("REDIS_PORT", "tcp://10.0.0.1:6379");
    for config in [read([HOST, injected]), read([URL, injected])] {
        assert_eq!(place(&config), "r 6379");
    }
    assert_eq!(place(&read([HOST, ("REDIS_PORT", "6380"), injected])), "r 6380", "of the .env file, which comes first");
    assert!(Config::from_vars([injected]).unwrap().warnings.is_empty());
    assert_eq!(errors([HOST, ("REDIS_PORT", "udp://r")]).len(), 1);
}

#[test]
fn a_url_says_where_and_who() {
    let full = url("redis://us%65r:p%40ss%2F@r.example:6380/5");
    assert_eq!(place(&full), "r.example 6380");
    assert_eq!((full.username.as_deref(), password(&full), full.db), (Some("user"), Some("p@ss/"), 5));
    assert!(full.tls.is_none());
    let short = url("rediss://:p+a@ss@[::1]?db=65535");
    assert_eq!(place(&short), "::1 6379");
    assert_eq!((short.username.as_deref(), password(&short), short.db), (None, Some("p+a@ss"), 65_535));
    let tls = short.tls.unwrap();
    assert!(tls.ca.is_none() && tls.client.is_none());
    let bare = url("REDIS://10.0.0.1/");
    assert_eq!((place(&bare).as_str(), bare.db), ("10.0.0.1 6379", 0));
}

#[test]
fn a_url_may_be_that_of_a_socket() {
    for same in ["unix:///run/my%20redis.sock?db=2", "redis+unix:///run/my redis.sock?db=2"] {
        let config = url(same);
        assert_eq!((place(&config).as_str(), config.db), ("/run/my redis.sock", 2), "{same}");
        assert!(config.username.is_none() && config.password.is_none() && config.tls.is_none());
    }
    let config = url("unix://u:p%3A@/run/a@/r.sock");
    assert_eq!(place(&config), "/run/a@/r.sock");
    assert_eq!((config.username.as_deref(), password(&config), config.db), (Some("u"), Some("p:"), 0));
}

#[test]
fn a_url_is_refused_in_words_that_repeat_nothing_of_it() {
    let cases = [
        ("hunter2", "can be read"),
        ("redis://:hun/ter2@r", "can be read"),
        ("redis://:hun#ter2@r", "can be read"),
        ("redis://hunter2#@r", "can be read"),
        ("redis://:hunter2@r:port", "can be read"),
        ("redis://:hunter2@", "can be read"),
        ("redis://:hunter2@/0", "can be read"),
        ("http://:hunter2@r", "wants a URL that starts with redis://, rediss:// or unix://"),
        ("hunter2:6379", "wants a URL that starts with redis://, rediss:// or unix://"),
        ("redis:hunter2", "names no host"),
        ("redis:///hunter2", "names no host"),
        ("redis://hunter%32", "names no host"),
        ("redis://:hunter2@r:0", "names port 0"),
        ("redis://r/hunter2", "wants a number from 0 to 65535"),
        ("redis://r/65536", "wants a number from 0 to 65535"),
        ("redis://r/0/1", "wants a number from 0 to 65535"),
        ("redis://r?db=", "wants a number from 0 to 65535"),
        ("redis://r/1?db=1", "names the database twice"),
        ("redis://r?hunter2=1", "no other parameter"),
        ("redis://:%FFhunter2@r", "not UTF-8"),
        ("redis://hunter2@r", "names a user without a password"),
        ("unix://hunter2/redis.sock", "names no socket"),
        ("unix:hunter2", "names no socket"),
        ("unix:///", "names no socket"),
    ];
    for (text, expected) in cases {
        let refusal = refusal(text);
        assert!(refusal.starts_with("REDIS_URL: ") && refusal.contains(expected), "{text}: {refusal}");
        assert!(!refusal.contains("hun") && !refusal.contains("ter2") && !refusal.contains('\n'), "{text}: {refusal}");
    }
}

#[test]
fn what_the_url_lacks_is_filled_in() {
    let outside = [("REDIS_USERNAME", "u"), ("REDIS_PASSWORD", "p"), ("REDIS_DB", "7")];
    let [user, pass, db] = outside;
    let config = read([URL, user, pass, db]);
    assert_eq!((config.username.as_deref(), password(&config), config.db), (Some("u"), Some("p"), 7));
    let config = read([("REDIS_URL", "redis://v@r"), pass]);
    assert_eq!((config.username.as_deref(), password(&config)), (Some("v"), Some("p")));
    let config = read([("REDIS_URL", "redis://:q@r/0"), user]);
    assert_eq!((config.username.as_deref(), password(&config)), (Some("u"), Some("q")));
    let config = read([("REDIS_URL", "unix:///r.sock"), user, pass, db]);
    assert_eq!((config.username.as_deref(), password(&config), config.db), (Some("u"), Some("p"), 7));

    let twice = [
        "REDIS_USERNAME: REDIS_URL names a user already",
        "REDIS_PASSWORD: REDIS_URL names a password already",
        "REDIS_DB: REDIS_URL names a database already",
    ];
    assert_eq!(errors([("REDIS_URL", "redis://u:p@r/7"), user, pass, db]), twice);
    assert_eq!(errors([URL, user]), ["REDIS_USERNAME: is set without REDIS_PASSWORD"]);
}

#[test]
fn one_variable_says_where_redis_is() {
    let beside = |name, first| format!("{name}: is set beside {first}; only one of them may say where Redis is");
    assert_eq!(errors([URL, HOST]), [beside("REDIS_HOST", "REDIS_URL")]);
    assert_eq!(errors([URL, SENTINELS, MASTER]), [beside("REDIS_SENTINELS", "REDIS_URL")]);
    assert_eq!(errors([HOST, SENTINELS, MASTER]), [beside("REDIS_SENTINELS", "REDIS_HOST")]);
    let all = [beside("REDIS_HOST", "REDIS_URL"), beside("REDIS_SENTINELS", "REDIS_URL")];
    assert_eq!(errors([URL, HOST, SENTINELS, MASTER]), all);
    let port = ("REDIS_PORT", "6379");
    assert_eq!(errors([URL, port]), ["REDIS_PORT: is set beside REDIS_URL, where the port has its place"]);
    assert_eq!(
        errors([SENTINELS, MASTER, port]),
        ["REDIS_PORT: is set beside REDIS_SENTINELS, where the port has its place"]
    );
    let nowhere = "BACKPLANE: is redis, but nothing says where: set REDIS_URL, REDIS_HOST or REDIS_SENTINELS";
    assert_eq!(errors([("BACKPLANE", "redis")]), [nowhere]);
    assert_eq!(errors([("BACKPLANE", "redis"), port, ("REDIS_DB", "1")]), [nowhere]);
}

#[test]
fn sentinels_have_a_master_and_their_own_login() {
    let config = read([
        ("REDIS_SENTINELS", "one, two:26380,[::1]:5000,2001:db8::1,"),
        MASTER,
        ("REDIS_SENTINEL_USERNAME", "su"),
        ("REDIS_SENTINEL_PASSWORD", "sp"),
        ("REDIS_USERNAME", "u"),
        ("REDIS_PASSWORD", "p"),
        ("REDIS_TLS", "true"),
    ]);
    assert_eq!((config.username.as_deref(), password(&config)), (Some("u"), Some("p")));
    assert!(config.tls.is_some());
    let RedisServers::Sentinel { sentinels, master, username, password } = config.servers else {
        panic!("{config:?}");
    };
    let expected = [("one", 26379), ("two", 26380), ("::1", 5000), ("2001:db8::1", 26379)];
    assert_eq!(sentinels, expected.map(|(host, port)| (host.to_owned(), port)));
    assert_eq!((master.as_str(), username.as_deref()), ("m", Some("su")));
    assert_eq!(password.as_ref().map(ExposeSecret::expose_secret), Some("sp"));

    for bad in [",", "a b", "s:0", "s:65536", "s:x", "s:", ":26379", "redis://s", "u@s", "1::2::3:26379", "s,/"] {
        let text = errors([("REDIS_SENTINELS", bad), MASTER]).join("\n");
        assert!(text.starts_with("REDIS_SENTINELS: got") && text.contains("sentinel-1:26379"), "{text}");
    }
    assert_eq!(errors([SENTINELS]), ["REDIS_SENTINELS: is set without REDIS_SENTINEL_MASTER"]);
    assert_eq!(
        errors([SENTINELS, MASTER, ("REDIS_SENTINEL_USERNAME", "su")]),
        ["REDIS_SENTINEL_USERNAME: is set without REDIS_SENTINEL_PASSWORD"]
    );
    assert_eq!(
        errors([HOST, MASTER, ("REDIS_SENTINEL_PASSWORD", "sp")]),
        [
            "REDIS_SENTINEL_MASTER: is set without REDIS_SENTINELS",
            "REDIS_SENTINEL_PASSWORD: is set without REDIS_SENTINELS"
        ]
    );
}

#[test]
fn tls_is_asked_for_and_has_whole_certificates() {
    let on = ("REDIS_TLS", "true");
    let [ca, cert, key] = [("REDIS_TLS_CA", "c"), ("REDIS_TLS_CERT", "x"), ("REDIS_TLS_KEY", "k")];
    assert!(read([URL, on]).tls.is_some() && read([HOST, ("REDIS_TLS", "false")]).tls.is_none());
    assert!(read([("REDIS_URL", "rediss://r"), ca, cert, key]).tls.unwrap().client.is_some());
    assert_eq!(errors([HOST, on, cert]), ["REDIS_TLS_CERT: is set without REDIS_TLS_KEY"]);
    assert_eq!(errors([HOST, on, key]), ["REDIS_TLS_KEY: is set without REDIS_TLS_CERT"]);
    assert_eq!(errors([HOST, ca]), ["REDIS_TLS_CA: is set without TLS: set REDIS_TLS=true, or use rediss://"]);
    assert_eq!(
        errors([("REDIS_URL", "rediss://r"), ("REDIS_TLS", "no")]),
        ["REDIS_TLS: is false, but REDIS_URL starts with rediss://"]
    );
    let socket = ("REDIS_URL", "unix:///r.sock");
    let no_tls = |name| format!("{name}: a Unix socket, which REDIS_URL names, has no TLS");
    let all = ["REDIS_TLS", "REDIS_TLS_CA", "REDIS_TLS_CERT", "REDIS_TLS_KEY"];
    assert_eq!(errors([socket, on, ca, cert, key]), all.map(no_tls));
    assert!(read([socket, ("REDIS_TLS", "false")]).tls.is_none());
}

#[test]
fn a_key_prefix_is_short_and_printable() {
    let longest = "é".repeat(64);
    assert_eq!(read([HOST, ("REDIS_KEY_PREFIX", &longest)]).key_prefix, longest);
    for bad in ["a\nb", &"a".repeat(65)] {
        let text = errors([HOST, ("REDIS_KEY_PREFIX", bad)]).join("\n");
        assert!(text.ends_with("wants printable text up to 64 characters"), "{text}");
    }
}

#[test]
fn every_problem_is_listed_and_none_that_follows_from_another() {
    let vars = [
        ("BACKPLANE", "reddis"),
        ("REDIS_URL", "rediss://:hun/ter2@r"),
        ("REDIS_HOST", "r:1"),
        ("REDIS_PORT", "x"),
        ("REDIS_USERNAME", "u"),
        ("REDIS_DB", "-1"),
        ("REDIS_TLS", "maybe"),
        ("REDIS_TLS_CA", "c"),
        ("REDIS_TIMEOUT", "49"),
    ];
    let expected = [
        "BACKPLANE: got \"reddis\", wants embedded or redis",
        "REDIS_HOST: is set beside REDIS_URL; only one of them may say where Redis is",
        "REDIS_URL: is not a URL that can be read; in a user name and a password, \
         characters such as / ? # and % stand percent-encoded (%2F, %3F, %23, %25)",
        "REDIS_PORT: got \"x\", wants a whole number from 1 to 65535",
        "REDIS_HOST: got \"r:1\", wants a host name or an IP address",
        "REDIS_DB: got \"-1\", wants a whole number from 0 to 65535",
        "REDIS_TLS: got \"maybe\", wants true or false",
        "REDIS_TIMEOUT: got \"49\", wants milliseconds from 50 to 10000",
    ];
    assert_eq!(errors(vars), expected);
}

#[test]
fn secrets_are_shown_nowhere() {
    let whole = [("REDIS_URL", "redis://u:hunter2@r")];
    let outside = [SENTINELS, MASTER, ("REDIS_PASSWORD", "hunter2"), ("REDIS_SENTINEL_PASSWORD", "hunter2")];
    for config in [Config::from_vars(whole).unwrap(), Config::from_vars(outside).unwrap()] {
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(config.settings.iter().any(|setting| setting.value == "[redacted]"));
    }
}
