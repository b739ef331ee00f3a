//! What the settings say by themselves.

use secrecy::{ExposeSecret, SecretString};

use crate::config::{BackplaneConfig, Config, Mode, RedisServers, TurnCredentials};
use crate::finding::{Finding, Mark, spoken};
use crate::lifecycle::LAST_WORDS_TIMEOUT;

/// Below this a secret may be guessed by trying.
const SECRET_BYTES_MIN: usize = 16;
/// What stands in examples and in the minds of those who are in a hurry.
const KNOWN_SECRETS: &[&str] = &[
    "your-super-secret-key",
    "your-secret-key",
    "secret",
    "changeme",
    "change-me",
    "password",
    "credential",
    "turn-secret",
    "hunter2",
];

/// What is to be said about settings that are valid.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![kind(config)];
    let is_told = findings[0].mark == Mark::Warning;
    let warnings = config.warnings.iter().filter(|warning| !(is_told && warning.starts_with("NODE_ENV=")));
    findings.extend(warnings.map(|warning| warned(warning)));
    findings.extend(secrets(config));
    findings.push(end(config));
    findings
}

fn kind(config: &Config) -> Finding {
    let backplane = match &config.backplane {
        BackplaneConfig::Embedded => "calls in the memory of one node",
        BackplaneConfig::Redis(redis) => match redis.servers {
            RedisServers::Sentinel { .. } => "calls in Redis, found by Sentinels",
            RedisServers::Tcp { .. } | RedisServers::Unix(_) => "calls in Redis",
        },
    };
    let is_public = !config.server.host.is_loopback();
    if config.mode == Mode::Development && is_public {
        return Finding::warning(
            "NODE_ENV",
            format!(
                "development, open to the network (HOST={}): whoever reaches the port gets a token for any user",
                config.server.host
            ),
            "Set NODE_ENV=production, unless this is a test",
        );
    }
    Finding::ok("settings", format!("valid; {}, {backplane}", config.mode.as_str()))
}

/// A warning of the configuration, with what to do about it.
fn warned(warning: &str) -> Finding {
    let subject: String =
        warning.chars().take_while(|c| c.is_ascii_uppercase() || matches!(c, '_' | '0'..='9')).collect();
    let advice = match subject.as_str() {
        "AUTH_REQUIRED" => "Take AUTH_REQUIRED=false away as soon as all apps send a token".to_owned(),
        "JWT_SECRET" => {
            "Set JWT_SECRET to what `openssl rand -base64 32` prints, on every node and wherever tokens are made"
                .to_owned()
        }
        "NODE_ENV" => "Set NODE_ENV=production, unless this is a test".to_owned(),
        "JWT_ISSUER" | "JWT_AUDIENCE" => {
            "Set JWT_ISSUER and JWT_AUDIENCE to what stands in the tokens of your app (iss, aud)".to_owned()
        }
        "TURN_SERVER_URL" => "Set TURN_STATIC_SECRET_FILE or TURN_STATIC_SECRET to the secret of coturn".to_owned(),
        "TLS_CERT" => "Renew the certificate, and look why that has not happened by itself".to_owned(),
        "WEBHOOK_SECRET" if !warning.contains("ignored") => {
            "Set WEBHOOK_SECRET to what `openssl rand -base64 32` prints, and give it to the receiver".to_owned()
        }
        "OTEL_EXPORTER_OTLP_HEADERS" => "Set the address of the collector to one that begins with https".to_owned(),
        other => format!("Take {other} out of the environment, or set what it belongs to"),
    };
    Finding::warning("settings", warning, advice)
}

fn secrets(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut weak = |name: &str, secret: &SecretString, least: usize| {
        let secret = secret.expose_secret();
        let found = if KNOWN_SECRETS.iter().any(|known| secret.eq_ignore_ascii_case(known)) {
            "stands in examples, and everybody knows it".to_owned()
        } else if secret.len() < least {
            format!("is shorter than {least} bytes and may be guessed")
        } else {
            return;
        };
        findings.push(Finding::warning(name, found, format!("Set {name} to what `openssl rand -base64 32` prints")));
    };
    if let Some(secret) = config.auth.secret.as_ref().filter(|_| !config.auth.secret_generated) {
        // Where it is short, production has said so among the warnings.
        weak("JWT_SECRET", secret, if config.mode == Mode::Production { 0 } else { SECRET_BYTES_MIN });
    }
    match &config.ice.turn {
        TurnCredentials::Secret(secret) => weak("TURN_STATIC_SECRET", secret, SECRET_BYTES_MIN),
        TurnCredentials::Static { credential, .. } => weak("TURN_CREDENTIAL", credential, SECRET_BYTES_MIN / 2),
        TurnCredentials::None => {}
    }
    findings
}

/// How long the end of a node takes: whoever ends it has to wait for so long.
fn end(config: &Config) -> Finding {
    let (drain, shutdown) = (config.server.drain_timeout, config.server.shutdown_timeout);
    let all = drain + shutdown + LAST_WORDS_TIMEOUT;
    Finding::ok(
        "DRAIN_TIMEOUT",
        format!(
            "a node ends within {} (DRAIN_TIMEOUT {}, SHUTDOWN_TIMEOUT {}, {} for its last words): give it more in TimeoutStopSec, \
             terminationGracePeriodSeconds or stop_grace_period",
            spoken(all),
            spoken(drain),
            spoken(shutdown),
            spoken(LAST_WORDS_TIMEOUT)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<const N: usize>(vars: [(&str, &str); N]) -> Vec<Finding> {
        findings(&Config::from_vars(vars).unwrap())
    }

    const LONG: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn settings_of_a_careful_operator_have_nothing_to_change() {
        let findings = found([("NODE_ENV", "production"), ("JWT_SECRET", LONG), ("REDIS_HOST", "redis")]);
        assert!(findings.iter().all(|finding| finding.mark == Mark::Ok), "{findings:?}");
        assert_eq!(findings[0].found, "valid; production, calls in Redis");
        assert!(
            findings[1].found.starts_with(
                "a node ends within 22 s (DRAIN_TIMEOUT 10 s, SHUTDOWN_TIMEOUT 10 s, 2 s for its last words): "
            ),
            "{findings:?}"
        );
    }

    #[test]
    fn every_warning_has_something_to_change() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        let made = std::process::Command::new("openssl")
            .args(
                "req -x509 -newkey ed25519 -nodes -subj /CN=localhost -days 1 -keyout key.pem -out cert.pem".split(' '),
            )
            .current_dir(&folder)
            .output();
        assert!(made.expect("tests/run installs openssl").status.success());
        let findings = found([
            ("TLS_CERT", certificate.to_str().unwrap()),
            ("TLS_KEY", key.to_str().unwrap()),
            ("WEBHOOK_URL", "https://example.org/calls"),
            ("WEBHOOK_SECRET", "hunter2"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example.org:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "key=hunter2"),
            ("JWT_SECRET", "hunter2"),
            ("AUTH_REQUIRED", "false"),
            ("LOG_FILE", "x"),
            ("CALL_TTL", "5"),
            ("REDIS_DB", "3"),
            ("TURN_SERVER_URL", "turn:t"),
            ("APNS_TOPIC", "t"),
            ("JWT_JWKS_URL", "https://id.example.org/keys"),
        ]);
        let (warnings, rest): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.mark == Mark::Warning);
        assert_eq!((warnings.len(), rest.len()), (12, 1), "{findings:?}");
        let advice: Vec<_> = warnings.iter().map(|finding| finding.advice.as_deref().unwrap()).collect();
        for words in [
            "AUTH_REQUIRED=false away",
            "Take LOG_FILE",
            "Take REDIS_DB",
            "JWT_ISSUER and",
            "secret of coturn",
            "Take APNS_TOPIC",
            "Renew the certificate",
            "Set WEBHOOK_SECRET",
            "begins with https",
        ] {
            assert!(advice.iter().any(|advice| advice.contains(words)), "{words} in {advice:?}");
        }
        assert!(!format!("{findings:?}").contains("hunter2"), "no secret is shown");
    }

    #[test]
    fn a_secret_that_everybody_knows_is_warned_of_wherever_it_is() {
        let url = ("TURN_SERVER_URL", "turn:t");
        let of = |name, value| {
            found([("HOST", "localhost"), url, (name, value)])
                .into_iter()
                .find(|it| it.subject == name)
                .map(|it| it.found)
        };
        assert_eq!(of("TURN_STATIC_SECRET", "turn-secret").unwrap(), "stands in examples, and everybody knows it");
        assert_eq!(of("TURN_STATIC_SECRET", "short").unwrap(), "is shorter than 16 bytes and may be guessed");
        assert_eq!(of("TURN_STATIC_SECRET", LONG), None);
    }
}
