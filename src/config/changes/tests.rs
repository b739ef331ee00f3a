//! What operators change while a server runs.

use std::fs;

use secrecy::ExposeSecret;
use tracing::Level;

use super::*;

const REDIS: [(&str, &str); 2] = [("REDIS_HOST", "redis"), ("REDIS_PASSWORD", "one")];

fn config(vars: &[(&str, &str)]) -> Config {
    Config::from_vars(vars.iter().copied()).unwrap()
}

/// What changes between the two, as it is told, and `!` before what needs a restart.
fn told(before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
    let changes = config(before).changes(&config(after));
    changes.iter().map(|change| format!("{}{change}", if change.is_hot { "" } else { "!" })).collect()
}

#[test]
fn nothing_has_changed_where_nothing_has() {
    assert!(told(&[], &[]).is_empty(), "a secret that is made up is no change");
    assert!(told(&[("PORT", "1"), REDIS[0], REDIS[1]], &[REDIS[1], ("PORT", " 1 "), REDIS[0]]).is_empty());
}

#[test]
fn what_is_taken_over_and_what_needs_a_restart_is_told_apart() {
    let after = [
        ("LOG_LEVEL", "debug"),
        ("EVENT_RATE", "5"),
        ("MAX_CONNECTIONS", "9"),
        ("PORT", "4000"),
        ("MAX_PAYLOAD", "2000"),
    ];
    let expected = [
        "!PORT: 3000 -> 4000",
        "LOG_LEVEL: info -> debug",
        "MAX_CONNECTIONS: 100000 -> 9",
        "!MAX_PAYLOAD: 1000000 -> 2000",
        "EVENT_RATE: 100 -> 5",
    ];
    assert_eq!(told(&[], &after), expected);
    let (mut running, newer) = (config(&[]), config(&after));
    running.take_over(&newer, &running.changes(&newer));
    assert_eq!((running.logs.level, running.limits.event_rate, running.limits.max_connections), (Level::DEBUG, 5, 9));
    assert_eq!((running.server.port, running.limits.max_payload), (3000, 1_000_000));
    let left: Vec<_> = running.changes(&newer).iter().map(ToString::to_string).collect();
    assert_eq!(left, ["PORT: 3000 -> 4000", "MAX_PAYLOAD: 1000000 -> 2000"]);
    assert!(running.changes(&config(&[])).iter().all(|change| change.is_hot), "back to what it was at the start");
}

#[test]
fn secrets_are_taken_over_and_never_told() {
    let told = told(
        &[("JWT_SECRET", "hunter2"), REDIS[0], REDIS[1]],
        &[("JWT_SECRET", "hunter3"), REDIS[0], ("REDIS_PASSWORD", "two")],
    );
    assert_eq!(told, ["REDIS_PASSWORD: another one", "JWT_SECRET: another one"]);
}

#[test]
fn a_secret_that_was_not_there_or_goes_needs_a_restart() {
    let one = [("JWT_SECRET", "hunter2")];
    assert_eq!(told(&[], &one).len(), 1);
    assert!(
        told(&[], &one)[0].starts_with("!JWT_SECRET: (made up")
            && told(&one, &[])[0].starts_with("!JWT_SECRET: [redacted]")
    );
    let turn = ("TURN_SERVER_URL", "turn:a");
    let pair = [turn, ("TURN_USERNAME", "u"), ("TURN_CREDENTIAL", "c")];
    let secret = [turn, ("TURN_STATIC_SECRET", "s")];
    assert!(told(&pair, &secret).iter().all(|change| change.starts_with('!')));
    assert_eq!(told(&secret, &[turn, ("TURN_STATIC_SECRET", "t")]), ["TURN_STATIC_SECRET: another one"]);
}

#[test]
fn redis_may_have_another_password_but_not_be_another_one() {
    let url = |text| [("REDIS_URL", text)];
    assert_eq!(told(&url("redis://:a@h/1"), &url("redis://:b@h/1")), ["REDIS_URL: another one"]);
    assert_eq!(told(&url("redis://:a@h/1"), &url("redis://:a@other/1")), ["!REDIS_URL: another one"]);
    assert_eq!(told(&url("redis://:a@h/1"), &url("redis://:a@h/2")), ["!REDIS_URL: another one"]);
    assert_eq!(
        told(&REDIS, &[REDIS[0], ("REDIS_PASSWORD", "two"), ("REDIS_DB", "1")]),
        ["!REDIS_PASSWORD: another one", "!REDIS_DB: 0 -> 1"],
        "a password for another database is no password for this one"
    );
    let sentinels = [("REDIS_SENTINELS", "a,b"), ("REDIS_SENTINEL_MASTER", "m"), ("REDIS_SENTINEL_PASSWORD", "one")];
    let others = [sentinels[0], sentinels[1], ("REDIS_SENTINEL_PASSWORD", "two")];
    assert_eq!(told(&sentinels, &others), ["REDIS_SENTINEL_PASSWORD: another one"]);
}

#[test]
fn files_are_read_again_and_one_that_gives_nothing_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let files = [("JWT_SECRET_FILE", path("jwt")), ("REDIS_PASSWORD_FILE", path("redis"))];
    let (jwt, redis) = ("before\n", "password\n");
    fs::write(path("jwt"), jwt).unwrap();
    fs::write(path("redis"), redis).unwrap();
    let vars = files.iter().map(|(name, path)| (*name, path.to_str().unwrap())).chain([REDIS[0]]);
    let mut running = Config::from_vars(vars).unwrap();
    let look = running.look();
    assert_eq!(running.look(), look);

    fs::write(path("jwt"), "after\n").unwrap();
    fs::remove_file(path("redis")).unwrap();
    assert_ne!(running.look(), look);
    let newer = running.with_files_again().unwrap();
    assert_eq!(newer.stale().len(), 1);
    assert!(newer.stale()[0].to_string().starts_with("REDIS_PASSWORD_FILE: cannot be read"));
    let changes = running.changes(&newer);
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["JWT_SECRET: another one"]);
    running.take_over(&newer, &changes);
    assert_eq!(running.auth.secret.as_ref().unwrap().expose_secret(), "after");

    fs::write(path("jwt"), "").unwrap();
    fs::write(path("redis"), "other").unwrap();
    let newer = running.with_files_again().unwrap();
    let told: Vec<_> = running.changes(&newer).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["REDIS_PASSWORD: another one"]);
    assert_eq!(newer.auth.secret.unwrap().expose_secret(), "after", "what counts is the last one, not the first");

    fs::write(path("jwt"), "-----BEGIN PUBLIC KEY-----").unwrap();
    let told = running.with_files_again().unwrap_err().to_string();
    assert!(told.starts_with("JWT_SECRET_FILE: holds a public key"), "{told}");
}

#[test]
fn a_key_that_is_read_at_the_start_is_told_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let key = |byte: char| {
        format!(
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA{}=\n-----END PUBLIC KEY-----\n",
            byte.to_string().repeat(43)
        )
    };
    fs::write(&path, key('A')).unwrap();
    let vars = [("JWT_PUBLIC_KEY_PATH", path.to_str().unwrap()), ("JWT_ALGORITHMS", "EdDSA")];
    let running = config(&vars);
    fs::write(&path, key('E')).unwrap();
    let changes = running.changes(&config(&vars));
    assert_eq!(changes[0].to_string(), "JWT_PUBLIC_KEY_PATH: another one");
    assert!(!changes[0].is_hot && changes.len() == 1);
}
