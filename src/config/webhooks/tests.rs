//! What operators write about webhooks, and what they are told.

use secrecy::ExposeSecret;

use crate::config::{Config, WebhookConfig};

const PRODUCTION: [(&str, &str); 3] =
    [("NODE_ENV", "production"), ("BACKPLANE", "embedded"), ("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
const URL: (&str, &str) = ("WEBHOOK_URL", "https://hooks.example.org/calls");
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn read(vars: &[(&str, &str)]) -> Result<Config, String> {
    Config::from_vars([&PRODUCTION, vars].concat()).map_err(|errors| errors.to_string())
}

fn webhooks(vars: &[(&str, &str)]) -> WebhookConfig {
    read(vars).unwrap().webhooks.unwrap()
}

fn error(vars: &[(&str, &str)]) -> String {
    read(vars).unwrap_err()
}

#[test]
fn an_address_and_a_secret_are_enough() {
    let config = webhooks(&[URL, ("WEBHOOK_SECRET", SECRET)]);
    assert_eq!(config.url.as_str(), URL.1);
    assert_eq!(config.events, ["call.started", "call.answered", "call.ended", "call.missed"]);
    assert_eq!(config.keys.len(), 1);
    assert_eq!(config.keys[0].expose_secret()[..3], [0x31, 0xf2, 0x90]);
    assert!(read(&[]).unwrap().webhooks.is_none());
}

#[test]
fn events_are_chosen_by_name() {
    let secret = ("WEBHOOK_SECRET", SECRET);
    let config = webhooks(&[URL, secret, ("WEBHOOK_EVENTS", "call.missed, Call.Ended")]);
    assert_eq!(config.events, ["call.missed", "call.ended"]);
    assert!(error(&[URL, secret, ("WEBHOOK_EVENTS", "call.missed,call.lost")]).contains("WEBHOOK_EVENTS"));
}

#[test]
fn a_secret_is_plain_or_encoded_and_has_a_successor() {
    let plain = "a plain one with blanks is none".replace(' ', "-");
    let config = webhooks(&[URL, ("WEBHOOK_SECRET", &format!("{SECRET}AA==  {plain}\n"))]);
    let unpadded = webhooks(&[URL, ("WEBHOOK_SECRET", &format!("{SECRET}AA"))]);
    assert_eq!(config.keys[0].expose_secret(), unpadded.keys[0].expose_secret());
    assert_eq!(config.keys.len(), 2);
    assert_eq!(config.keys[1].expose_secret(), plain.as_bytes());
    assert!(error(&[URL, ("WEBHOOK_SECRET", "a b c")]).contains("more than two"));
    for bad in ["whsec_", "whsec_hunter2!"] {
        let error = error(&[URL, ("WEBHOOK_SECRET", bad)]);
        assert!(error.contains("no Base64") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn secrets_are_shown_to_nobody() {
    let config = read(&[URL, ("WEBHOOK_SECRET", "hunter2")]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(config.warnings.iter().any(|warning| warning.contains("WEBHOOK_SECRET") && !warning.contains("hunter2")));
}

#[test]
fn what_is_of_no_use_alone_is_said() {
    let warnings = read(&[("WEBHOOK_SECRET", SECRET)]).unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with("WEBHOOK_SECRET is ignored")), "{warnings:?}");
    assert!(error(&[URL]).contains("WEBHOOK_SECRET: is needed"));
}

#[test]
fn the_way_is_encrypted_or_stays_within_this_network() {
    let fits = |url| read(&[("WEBHOOK_URL", url), ("WEBHOOK_SECRET", SECRET)]).is_ok();
    for good in ["http://localhost:8080/x", "http://hooks:8080", "http://hooks.apps.svc.cluster.local/calls?v=1"] {
        assert!(fits(good), "{good}");
    }
    for bad in ["http://hooks.example.org", "http://10.0.0.1", "ftp://hooks", "https://u:p@hooks.example.org", "x"] {
        assert!(!fits(bad), "{bad}");
    }
    let development = [("WEBHOOK_URL", "http://hooks.example.org"), ("WEBHOOK_SECRET", SECRET)];
    assert!(Config::from_vars(development).is_ok());
}
