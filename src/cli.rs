//! The command line: what the program is asked to do, and the answers that need no server.

mod call;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use url::Url;

use crate::api_doc;
use crate::auth::Authenticator;
use crate::clock::Clock;
use crate::config::{self, Config, parse_lifetime};
use crate::ids::{CallId, UserId};

pub use call::{CallError, call, own_node};

#[derive(Parser)]
#[command(
    name = "switchboard",
    version,
    about = "Call-signaling server for WebRTC apps",
    after_help = "Every setting is an environment variable; --help lists them.",
    after_long_help = config::help()
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What the program is asked to do.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the server (the default)
    Serve,
    /// Print a token for a user, signed with `JWT_SECRET`
    Token {
        /// The user the token names
        #[arg(long, value_parser = user)]
        user: UserId,
        /// Its lifetime, such as 7d, 12h, 30m or 45s [default: `JWT_EXPIRY`]
        #[arg(long, value_parser = lifetime)]
        expires: Option<Duration>,
    },
    /// Print what happened to a call: who was told, woken and heard from, and why no phone rang
    Call {
        /// The call
        #[arg(value_parser = call_id)]
        id: CallId,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
        /// Where a node answers the inside [default: `METRICS_PORT` of this machine]
        #[arg(long, value_name = "URL", value_parser = node)]
        node: Option<Url>,
    },
    /// Print `docs/metrics.md`
    #[command(hide = true)]
    MetricsDoc,
    /// Print `docs/asyncapi.json` or `docs/openapi.json`
    #[command(hide = true)]
    ApiDoc {
        /// Which of them
        kind: ApiDoc,
    },
    /// Check the configuration, and print it without its secrets
    CheckConfig,
    /// Check Redis, push services, TURN and whatever else a node needs, and say what to change
    ///
    /// Exit code 0 if nothing is broken (there may be warnings), 1 if something is, 2 if the configuration is not valid. It starts no node and
    /// changes nothing.
    Doctor {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// A document about the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiDoc {
    /// Events over Socket.IO
    Asyncapi,
    /// Endpoints of HTTP
    Openapi,
}

impl ApiDoc {
    /// Its text.
    pub fn document(self) -> String {
        match self {
            Self::Asyncapi => api_doc::asyncapi(),
            Self::Openapi => api_doc::openapi(),
        }
    }
}

/// Reads the command line. Prints and exits where it is wrong or asks for help or the version.
pub fn parse() -> Command {
    CommandLine::parse().command.unwrap_or(Command::Serve)
}

fn user(text: &str) -> Result<UserId, &'static str> {
    UserId::parse(text).ok_or("a user id is 1 to 128 printable characters")
}

fn lifetime(text: &str) -> Result<Duration, &'static str> {
    parse_lifetime(text).ok_or("wants a duration such as 7d, 12h, 30m or 45s, at most 3650d")
}

fn call_id(text: &str) -> Result<CallId, &'static str> {
    CallId::parse(text).ok_or("a call id is 36 characters, as clients get it: 67e55044-10b1-426f-9247-bb680e5fe0c8")
}

fn node(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or("wants the address of a node, such as http://10.0.0.7:9464")
}

/// No token was made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Tokens are signed with keys whose private half is elsewhere.
    #[error("JWT_SECRET is not set: tokens come from whoever has the private key, such as your identity provider")]
    OthersSign,
    /// The secret would be known to this process only.
    #[error("JWT_SECRET is not set: a token signed with a made-up secret is of no use to any server")]
    NoSecret,
}

/// A token for `user`, good for `expires` or else the configured lifetime.
///
/// # Errors
/// If no secret is configured.
pub fn token(config: &Config, user: &UserId, expires: Option<Duration>) -> Result<String, TokenError> {
    if config.auth.secret_generated {
        return Err(TokenError::NoSecret);
    }
    let lifetime = expires.unwrap_or(config.auth.token_lifetime);
    Authenticator::new(&config.auth, Clock::system()).mint(user, lifetime).ok_or(TokenError::OthersSign)
}

/// What a node in development mode says when it is up: where to look, and how to get in. It makes tokens itself if it has a secret.
pub fn welcome(scheme: &str, address: SocketAddr, makes_tokens: bool) -> String {
    let reachable = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    let url = format!("{scheme}://{}", SocketAddr::new(reachable, address.port()));
    let how = if makes_tokens {
        format!(
            "  open     {url}  and press \"Open a second tab\"\n\
             \n  a token  curl -s -X POST {url}/demo/token -H 'content-type: application/json' -d '{{\"userId\":\"alice\"}}'\n\
             \n           or, with JWT_SECRET set:  switchboard token --user alice\n\
             \n  connect  io(\"{url}\", {{ auth: {{ token }} }})\n\
             \n  Whoever reaches this port gets a token for any name. NODE_ENV=production turns that off.\n"
        )
    } else {
        format!(
            "  a token  comes from your identity provider: without JWT_SECRET this server makes none, and the page has none\n\
             \n  connect  io(\"{url}\", {{ auth: {{ token }} }})\n"
        )
    };
    format!("switchboard is up, in development mode\n\n{how}")
}

/// The configuration in effect as lines of a `.env` file, defaults as comments, and the warnings.
pub fn check_config(config: &Config) -> String {
    let mut text = String::new();
    for setting in &config.settings {
        let comment = if setting.given { "" } else { "# " };
        let _ = writeln!(text, "{comment}{}={}", setting.name, setting.value);
    }
    for warning in &config.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text.push_str("The configuration is valid.");
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn command(args: &[&str]) -> Result<Command, clap::Error> {
        let args = ["switchboard"].iter().chain(args);
        CommandLine::try_parse_from(args).map(|line| line.command.unwrap_or(Command::Serve))
    }

    fn alice() -> UserId {
        UserId::parse("alice").unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(command(&[]).unwrap(), Command::Serve);
        assert_eq!(command(&["serve"]).unwrap(), Command::Serve);
        assert_eq!(command(&["check-config"]).unwrap(), Command::CheckConfig);
        assert_eq!(command(&["doctor"]).unwrap(), Command::Doctor { json: false });
        assert_eq!(command(&["doctor", "--json"]).unwrap(), Command::Doctor { json: true });
        let kind = ApiDoc::Openapi;
        assert_eq!(command(&["api-doc", "openapi"]).unwrap(), Command::ApiDoc { kind });
        let expires = Some(Duration::from_secs(604_800));
        assert_eq!(
            command(&["token", "--user", "alice", "--expires", "7d"]).unwrap(),
            Command::Token { user: alice(), expires }
        );
        let (id, text) = (CallId::from_u128(7), CallId::from_u128(7).to_string());
        assert_eq!(command(&["call", &text]).unwrap(), Command::Call { id, json: false, node: None });
        let node = Some(Url::parse("http://[::1]:9464").unwrap());
        assert_eq!(
            command(&["call", &text, "--json", "--node", "http://[::1]:9464"]).unwrap(),
            Command::Call { id, json: true, node }
        );
        for bad in [&["call"][..], &["call", "7"], &["call", &text, "--node", "10.0.0.7:9464"]] {
            assert!(command(bad).is_err(), "{bad:?}");
        }
        for bad in [&["token"][..], &["token", "--user", ""], &["dance"], &["api-doc"], &["--port", "1"]] {
            assert!(command(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn help_lists_every_variable() {
        let error = command(&["--help"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayHelp);
        let text = error.to_string();
        for variable in config::variables() {
            assert!(text.contains(variable.name), "{}", variable.name);
        }
        assert!(text.contains("check-config") && text.contains("PORT [default: 3000]"));
    }

    #[tokio::test]
    async fn a_token_is_good_for_a_server_with_the_same_secret() {
        let config = Config::from_vars([("JWT_SECRET", "hunter2")]).unwrap();
        let token = token(&config, &alice(), None).unwrap();
        let authenticator = Authenticator::new(&config.auth, Clock::system());
        assert_eq!(authenticator.authenticate(Some(&token), Duration::ZERO).await.unwrap().user, alice());
    }

    #[test]
    fn a_made_up_secret_signs_nothing() {
        let config = Config::from_vars([("PORT", "0")]).unwrap();
        assert_eq!(token(&config, &alice(), None), Err(TokenError::NoSecret));
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        let config = Config::from_vars([("JWT_JWKS_URL", "https://id.example.org/keys")]).unwrap();
        assert_eq!(token(&config, &alice(), None), Err(TokenError::OthersSign));
        let address = SocketAddr::from(([0, 0, 0, 0], 3000));
        assert!(welcome("https", address, true).contains("https://127.0.0.1:3000/demo/token"));
        let text = welcome("http", address, false);
        assert!(text.contains("identity provider") && !text.contains("/demo/token"), "{text}");
    }

    #[test]
    fn check_config_shows_what_is_in_effect_without_secrets() {
        let vars = [("PORT", "4000"), ("JWT_SECRET", "hunter2"), ("LOG_FILE", "x")];
        let text = check_config(&Config::from_vars(vars).unwrap());
        let expected = ["\nPORT=4000\n", "\n# HOST=0.0.0.0\n", "\nJWT_SECRET=[redacted]\n", "\nwarning: LOG_FILE"];
        for line in expected {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("hunter2"));
    }
}
