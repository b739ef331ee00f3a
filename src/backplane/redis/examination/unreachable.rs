//! Why no connection came about, and what helps against that.

use redis::{ErrorKind, RedisError};

use crate::backplane::redis::link::plain;
use crate::config::{RedisConfig, RedisServers};
use crate::finding::Finding;

/// The finding for a Redis at `address` that could not be connected to.
pub(super) fn told(address: String, config: &RedisConfig, error: &RedisError) -> Finding {
    let words = error.to_string();
    let where_it_is = match &config.servers {
        RedisServers::Tcp { .. } => "REDIS_URL, or REDIS_HOST and REDIS_PORT,",
        RedisServers::Unix(_) => "the path in REDIS_URL",
        RedisServers::Sentinel { .. } => "what the Sentinels say (sentinel announce-ip, replica-announce-ip)",
    };
    let advice = if is_about_certificates(&words) {
        "Set REDIS_TLS_CA to the authority that has signed the certificate of Redis, and name Redis as its certificate does".to_owned()
    } else if error.is_timeout() {
        let tls = if config.tls.is_some() {
            "that Redis speaks TLS there"
        } else {
            "whether Redis wants TLS there (REDIS_TLS=true)"
        };
        format!("Check that {where_it_is} is right, that no firewall is in between, and {tls}")
    } else {
        match error.code() {
            Some("WRONGPASS") => "Set REDIS_USERNAME and REDIS_PASSWORD to a user and password that this Redis has (ACL LIST, requirepass in redis.conf)".to_owned(),
            Some("NOAUTH") => "Set REDIS_PASSWORD: this Redis has requirepass or a password for the default user".to_owned(),
            Some("NOPERM") => "Allow the user of REDIS_USERNAME what README.md lists under \"A user of its own\"".to_owned(),
            Some("LOADING") => "Wait until Redis has read its data".to_owned(),
            _ if error.kind() == ErrorKind::AuthenticationFailed => {
                "Set REDIS_USERNAME and REDIS_PASSWORD to those that this Redis has (requirepass in redis.conf)".to_owned()
            }
            _ if words.contains("refused") => format!("Start Redis, or correct {where_it_is} to where it listens (bind, port and protected-mode in redis.conf)"),
            _ if config.tls.is_none() && error.is_connection_dropped() => "Set REDIS_TLS=true if Redis wants TLS there".to_owned(),
            _ => format!("Correct {where_it_is} or what is in the way"),
        }
    };
    let found = if error.is_timeout() { "no answer in time".to_owned() } else { plain(error) };
    Finding::problem(address, format!("cannot be connected to: {found}"), advice)
}

fn is_about_certificates(words: &str) -> bool {
    ["certificate", "UnknownIssuer", "NotValidForName"].iter().any(|word| words.contains(word))
}
