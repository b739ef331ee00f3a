//! What operators write about push services, and what they are told.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::config::Config;

const PRODUCTION: [(&str, &str); 3] =
    [("NODE_ENV", "production"), ("BACKPLANE", "embedded"), ("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const RSA_KEY: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

/// A fresh private key in PEM.
fn key(kind: [&str; 4]) -> String {
    let made = Command::new("openssl").arg("genpkey").args(kind).output().expect("tests/run installs openssl");
    String::from_utf8(made.stdout).unwrap()
}

/// A folder of key files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn account(&self, change: impl Fn(&mut Value)) -> String {
        let mut account = json!({
            "type": "service_account",
            "project_id": "an-app",
            "private_key_id": "k1",
            "private_key": key(RSA_KEY),
            "client_email": "push@an-app.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
        });
        change(&mut account);
        self.write("account.json", &account.to_string())
    }
}

fn config_of(vars: &[(&str, &str)]) -> Config {
    Config::from_vars(vars.iter().copied()).unwrap()
}

fn errors(vars: &[(&str, &str)]) -> String {
    Config::from_vars(vars.iter().copied()).unwrap_err().to_string()
}

#[test]
fn a_service_account_is_all_that_firebase_needs() {
    let files = Files::new();
    let path = files.account(|_| {});
    let config = config_of(&[("FIREBASE_PRIVATE_KEY_PATH", &path)]);
    let fcm = config.push.fcm.as_ref().unwrap();
    assert_eq!((fcm.project.as_str(), fcm.key_id.as_deref()), ("an-app", Some("k1")));
    assert_eq!(fcm.endpoint.as_str(), "https://fcm.googleapis.com/");
    assert_eq!(fcm.token_uri.as_str(), "https://oauth2.googleapis.com/token");
    assert!(config.warnings.is_empty() && !format!("{config:?}").contains("BEGIN"));
    let other = config_of(&[("FIREBASE_PRIVATE_KEY_PATH", &path), ("FIREBASE_PROJECT_ID", "other")]);
    assert_eq!(other.push.fcm.unwrap().project, "other");
}

#[test]
fn a_service_account_that_will_not_do_is_refused_without_a_word_of_it() {
    let files = Files::new();
    let told = |change: fn(&mut Value)| errors(&[("FIREBASE_PRIVATE_KEY_PATH", &files.account(change))]);
    let is_none = "FIREBASE_PRIVATE_KEY_PATH: the file is that of no service account: no";
    assert_eq!(told(|account| account["client_email"] = Value::Null), format!("{is_none} client_email"));
    assert_eq!(told(|account| account["private_key"] = json!("  ")), format!("{is_none} private_key"));
    assert_eq!(
        told(|account| account["private_key"] = json!("hunter2")),
        "FIREBASE_PRIVATE_KEY_PATH: the private_key in the file is no RSA key in PKCS #8"
    );
    assert_eq!(
        told(|account| account["private_key"] = json!(key(P256))),
        "FIREBASE_PRIVATE_KEY_PATH: the private_key in the file is no RSA key in PKCS #8"
    );
    assert_eq!(
        told(|account| account["token_uri"] = json!("ftp://hunter2")),
        "FIREBASE_PRIVATE_KEY_PATH: the token_uri in the file wants to start with https://"
    );
    assert_eq!(
        told(|account| {
            account.as_object_mut().unwrap().remove("project_id");
        }),
        "FIREBASE_PROJECT_ID: is not set, and the file of FIREBASE_PRIVATE_KEY_PATH names no project"
    );
    let garbage = files.write("garbage", "hunter2");
    assert_eq!(errors(&[("FIREBASE_PRIVATE_KEY_PATH", &garbage)]), "FIREBASE_PRIVATE_KEY_PATH: the file is no JSON");
    let text = errors(&[("FIREBASE_PRIVATE_KEY_PATH", "/nowhere/at.all"), ("FIREBASE_PROJECT_ID", "a b")]);
    assert!(text.contains("FIREBASE_PRIVATE_KEY_PATH: cannot be read: "), "{text}");
    assert!(text.contains("FIREBASE_PROJECT_ID: got \"a b\""), "{text}");
}

#[test]
fn apples_key_comes_with_its_names() {
    let files = Files::new();
    let path = files.write("key.p8", &key(P256));
    let names = [("APNS_KEY_ID", "ABC1234567"), ("APNS_TEAM_ID", "TEAM123456"), ("APNS_TOPIC", "org.example.app")];
    let with = |more: &[(&str, &str)]| {
        config_of(&[&[("APNS_KEY_PATH", &*path)][..], &names, more].concat()).push.apns.unwrap()
    };
    let apns = with(&[]);
    assert_eq!((apns.topic.as_str(), apns.endpoint.as_str()), ("org.example.app.voip", "https://api.push.apple.com/"));
    assert_eq!(with(&[("APNS_ENVIRONMENT", "sandbox")]).endpoint.as_str(), "https://api.sandbox.push.apple.com/");
    assert_eq!(with(&[("APNS_TOPIC", "a.voip")]).topic, "a.voip");
    assert_eq!(with(&[("APNS_ENDPOINT", "https://a.example/p")]).endpoint.as_str(), "https://a.example/p");
    assert_eq!(
        errors(&[("APNS_KEY_PATH", &path), ("APNS_TOPIC", "org example")]).lines().collect::<Vec<_>>(),
        [
            "APNS_TOPIC: got \"org example\", wants printable text up to 128 characters",
            "APNS_KEY_ID: is needed beside APNS_KEY_PATH",
            "APNS_TEAM_ID: is needed beside APNS_KEY_PATH",
        ]
    );
    for wrong in [key(P384), key(RSA_KEY), "hunter2".to_owned()] {
        let path = files.write("wrong.p8", &wrong);
        let text = errors(&[&[("APNS_KEY_PATH", &*path)][..], &names].concat());
        assert_eq!(text, "APNS_KEY_PATH: the file holds no P-256 key in PKCS #8");
    }
}

#[test]
fn key_files_end_and_may_come_from_windows() {
    let names = [("APNS_KEY_ID", "ABC1234567"), ("APNS_TEAM_ID", "TEAM123456"), ("APNS_TOPIC", "org.example.app")];
    for name in ["FIREBASE_PRIVATE_KEY_PATH", "APNS_KEY_PATH"] {
        let text = errors(&[&[(name, "/dev/zero")][..], &names].concat());
        assert_eq!(text, format!("{name}: names something that is no file"));
    }
    let files = Files::new();
    let marked = |path: &str| files.write("marked", &format!("\u{feff}{}", fs::read_to_string(path).unwrap()));
    let account = marked(&files.account(|_| {}));
    assert!(config_of(&[("FIREBASE_PRIVATE_KEY_PATH", &account)]).push.fcm.is_some());
    let key = marked(&files.write("key.p8", &key(P256)));
    assert!(config_of(&[&[("APNS_KEY_PATH", &*key)][..], &names].concat()).push.apns.is_some());
}

#[test]
fn services_are_reached_unencrypted_within_this_machine_only() {
    let files = Files::new();
    let path = files.account(|_| {});
    let with = |address| {
        Config::from_vars(
            [&PRODUCTION[..], &[("FIREBASE_PRIVATE_KEY_PATH", &path), ("FCM_ENDPOINT", address)]].concat(),
        )
    };
    for good in ["https://proxy.example.org/fcm", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost"] {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in ["http://proxy.example.org", "ftp://127.0.0.1", "https://a.example/?x", "fcm"] {
        let text = with(bad).unwrap_err().to_string();
        assert!(text.starts_with("FCM_ENDPOINT: got "), "{text}");
    }
    let text = with("https://u:hush@a.example").unwrap_err().to_string();
    assert_eq!(text, "FCM_ENDPOINT: names a user or a password, which have no place in an address that is shown");
    let development = config_of(&[("FIREBASE_PRIVATE_KEY_PATH", &path), ("FCM_ENDPOINT", "http://proxy.example.org")]);
    assert_eq!(development.push.fcm.unwrap().endpoint.as_str(), "http://proxy.example.org/");
}

#[test]
fn what_is_of_no_use_alone_is_ignored_aloud() {
    let config = config_of(&[("FCM_ENDPOINT", "https://a.example"), ("APNS_TOPIC", "a"), ("APNS_TEAM_ID", "b")]);
    assert_eq!(
        config.warnings,
        [
            "FCM_ENDPOINT is ignored: FIREBASE_PRIVATE_KEY_PATH is not set, so there are no such pushes",
            "APNS_TEAM_ID, APNS_TOPIC are ignored: APNS_KEY_PATH is not set, so there are no such pushes",
        ]
    );
}

#[test]
fn nodes_with_the_same_key_have_a_secret_in_common() {
    let secret = |vars: &[(&str, &str)]| {
        let config = config_of(vars);
        config.push.shared_secret().map(|secret| secret.expose_secret().to_owned())
    };
    let (files, others) = (Files::new(), Files::new());
    let account = files.account(|_| {});
    let of_account = [("FIREBASE_PRIVATE_KEY_PATH", account.as_str())];
    assert_eq!(secret(&of_account), secret(&of_account));
    assert_ne!(secret(&of_account), secret(&[("FIREBASE_PRIVATE_KEY_PATH", &others.account(|_| {}))]));
    let apple = files.write("apple.p8", &key(P256));
    let of_apple = [
        ("APNS_KEY_PATH", apple.as_str()),
        ("APNS_KEY_ID", "K"),
        ("APNS_TEAM_ID", "T"),
        ("APNS_TOPIC", "org.example.app"),
    ];
    assert!(secret(&of_apple).is_some());
    assert_eq!(secret(&[]), None);
}
