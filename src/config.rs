//! Configuration: environment variables, a `.env` file and files of secrets, every problem reported at once; and what of it has changed
//! when it is read again.
//!
//! [`variables`] is the one table of names, defaults and bounds; parsing, `--help` and the README are made
//! from it. Past this room a setting is valid by its type, and nobody else looks at the environment.

mod auth;
mod changes;
mod document;
mod file;
mod ice;
mod near_miss;
mod problem;
mod public_key;
mod push;
mod read;
mod reader;
mod redis;
mod secret_files;
mod sections;
mod service_url;
mod source;
mod tls;
mod traces;
mod variables;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

pub use auth::AuthConfig;
pub use changes::{Change, Look};
pub use document::{help, markdown_table};
pub use problem::{ConfigErrors, Problem};
pub use public_key::{PublicKey, PublicKeyKind};
pub use push::{ApnsConfig, FcmConfig, PushConfig};
pub use sections::{
    BackplaneConfig, CallConfig, CorsOrigin, IceConfig, InboxConfig, LimitsConfig, LogConfig, LogFormat, Mode,
    RedisConfig, RedisServers, RedisTls, ServerConfig, SocketConfig, TimelineConfig, TurnCredentials, TurnRegion,
};
pub use tls::TlsIdentity;
pub use traces::TracesConfig;
pub use variables::{Fallback, Kind, Section, Variable, variables};
pub use webhooks::WebhookConfig;

/// Everything the server was told. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Development or production.
    pub mode: Mode,
    /// The listener and the process.
    pub server: ServerConfig,
    /// What remembers calls and carries messages.
    pub backplane: BackplaneConfig,
    /// Tokens.
    pub auth: AuthConfig,
    /// Push services.
    pub push: PushConfig,
    /// Webhooks, if there are any.
    pub webhooks: Option<WebhookConfig>,
    /// STUN and TURN.
    pub ice: IceConfig,
    /// The durations of a call.
    pub call: CallConfig,
    /// The transport.
    pub socket: SocketConfig,
    /// Bounds on what a client may do.
    pub limits: LimitsConfig,
    /// Messages kept for absent devices.
    pub inbox: InboxConfig,
    /// Logs.
    pub logs: LogConfig,
    /// Timelines of calls; none are kept if `None`.
    pub timelines: Option<TimelineConfig>,
    /// Traces, if there are to be any.
    pub traces: Option<TracesConfig>,
    /// What the operator should know although the server starts.
    pub warnings: Vec<String>,
    /// The value of every variable as it is in effect, secrets redacted.
    pub settings: Vec<Setting>,
    origin: changes::Origin,
}

impl Config {
    /// Reads the file of settings and the environment, which wins.
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn load() -> Result<Self, ConfigErrors> {
        read::config(source::read(None)?.0, None)
    }

    /// Reads the given variables; of two with the same name the later wins, an empty value counts as unset.
    ///
    /// # Errors
    /// Every problem found, at once.
    pub fn from_vars<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<Self, ConfigErrors>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        read::config(Arc::new(vars), None)
    }
}

/// One variable as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its value, or what stands for it; never a secret.
    pub value: String,
    /// Whether it was given, rather than being the default.
    pub given: bool,
}

/// Reads a lifetime: `7d`, `12h`, `30m`, `45s`, or a bare number of seconds; at least one second, at most ten years.
pub fn parse_lifetime(text: &str) -> Option<Duration> {
    const LONGEST: u64 = 3650 * 86_400;
    let text = text.trim();
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 's') => (&text[..at], 1),
        (at, 'm') => (&text[..at], 60),
        (at, 'h') => (&text[..at], 3_600),
        (at, 'd') => (&text[..at], 86_400),
        _ => (text, 1),
    };
    let seconds = reader::whole_number(digits)?.checked_mul(unit)?;
    (1..=LONGEST).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_has_a_unit_or_is_in_seconds() {
        let cases = [("45s", 45), ("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("90", 90)];
        for (text, seconds) in cases {
            assert_eq!(parse_lifetime(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "d", "0", "-5s", "+5", "1.5h", "7w", "7 d", "99999999999d", "4000d", "é"] {
            assert_eq!(parse_lifetime(bad), None, "{bad}");
        }
    }
}
