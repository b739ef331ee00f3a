//! ICE servers: STUN for everybody, TURN with credentials for a user.
//!
//! Time-limited credentials follow coturn's `use-auth-secret` scheme (draft-uberti-behave-turn-rest): the user name is
//! `<unix seconds of expiry>:<user>`, the password base64(HMAC-SHA1(secret, user name)). Who may have them is for the
//! HTTP room to decide.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha1::Sha1;

use crate::clock::Clock;
use crate::config::{IceConfig, TurnCredentials};

/// One entry of `iceServers`, as `RTCPeerConnection` takes it. Not `Debug`: it holds a credential.
#[derive(Clone, Serialize)]
pub struct IceServer {
    urls: Urls,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

/// A string where there is one URL, as the reference server had it, an array where there are several.
#[derive(Clone, Serialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Several(Vec<String>),
}

/// Hands out ICE servers.
pub struct IceServers {
    config: IceConfig,
    clock: Clock,
}

impl IceServers {
    /// The configured servers.
    pub fn new(config: &IceConfig, clock: Clock) -> Self {
        Self { config: config.clone(), clock }
    }

    /// The servers anybody may use: STUN.
    pub fn stun_only(&self) -> Vec<IceServer> {
        let urls = Urls::One(self.config.stun_url.clone());
        vec![IceServer { urls, username: None, credential: None }]
    }

    /// The servers `user` may use: STUN, and TURN if it is configured. `user` is a user id or `anonymous`.
    pub fn for_user(&self, user: &str) -> Vec<IceServer> {
        let mut servers = self.stun_only();
        let urls = match self.config.turn_urls.as_slice() {
            [] => return servers,
            [url] => Urls::One(url.clone()),
            urls => Urls::Several(urls.to_vec()),
        };
        let (username, credential) = match &self.config.turn {
            TurnCredentials::None => return servers,
            TurnCredentials::Static { username, credential } => {
                (username.clone(), credential.expose_secret().to_owned())
            }
            TurnCredentials::Secret(secret) => self.time_limited(secret, user),
        };
        servers.push(IceServer { urls, username: Some(username), credential: Some(credential) });
        servers
    }

    /// Whether [`for_user`](Self::for_user) hands out a TURN server.
    pub fn has_turn(&self) -> bool {
        !self.config.turn_urls.is_empty() && !matches!(self.config.turn, TurnCredentials::None)
    }

    /// Whether everybody may have TURN credentials.
    pub fn is_public(&self) -> bool {
        self.config.public
    }

    /// How long credentials are good.
    pub fn ttl(&self) -> Duration {
        self.config.turn_ttl
    }

    fn time_limited(&self, secret: &SecretString, user: &str) -> (String, String) {
        let expiry = self.clock.now().plus(self.config.turn_ttl).0 / 1000;
        // The expiry stands first: coturn would read a user id made of digits as the time.
        let username = format!("{expiry}:{user}");
        let credential = STANDARD.encode(hmac_sha1(secret.expose_secret(), &username));
        (username, credential)
    }
}

fn hmac_sha1(key: &str, message: &str) -> [u8; 20] {
    // HMAC takes keys of any length (RFC 2104, section 3), so there is no error to handle.
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes any key");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Timestamp;
    use crate::config::Config;

    const STUN: &str = "stun:stun.l.google.com:19302";
    const URL: (&str, &str) = ("TURN_SERVER_URL", "turn:turn.example.org:3478");
    const TURN_SECRET: (&str, &str) = ("TURN_STATIC_SECRET", "turn-secret");

    fn servers<const N: usize>(vars: [(&str, &str); N]) -> IceServers {
        let clock = Clock::following_tokio(Timestamp(1_700_000_000_000));
        IceServers::new(&Config::from_vars(vars).unwrap().ice, clock)
    }

    fn for_user<const N: usize>(vars: [(&str, &str); N], user: &str) -> Value {
        serde_json::to_value(servers(vars).for_user(user)).unwrap()
    }

    #[test]
    fn hmac_sha1_agrees_with_rfc_2202() {
        let expected = [
            0xef, 0xfc, 0xdf, 0x6a, 0xe5, 0xeb, 0x2f, 0xa2, 0xd2, 0x74, 0x16, 0xd5, 0xf1, 0x84, 0xdf, 0x9c, 0x25, 0x9a,
            0x7c, 0x79,
        ];
        assert_eq!(hmac_sha1("Jefe", "what do ya want for nothing?"), expected);
    }

    /// The credentials come from `printf 1700086400:alice | openssl dgst -sha1 -hmac turn-secret -binary | base64`.
    #[tokio::test(start_paused = true)]
    async fn a_secret_makes_time_limited_credentials() {
        let cases = [
            ("alice", "1700086400:alice", "5iY+IeUUagohcNcZFo30lkvz3YM="),
            ("12345", "1700086400:12345", "nU6OpVl2LN40AVYhODeXOFS6oeU="),
        ];
        for (user, username, credential) in cases {
            assert_eq!(
                for_user([URL, TURN_SECRET], user),
                json!([{ "urls": STUN }, { "urls": URL.1, "username": username, "credential": credential }])
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_ttl_moves_the_expiry() {
        let answer = for_user([URL, TURN_SECRET, ("TURN_TTL", "60")], "alice");
        assert_eq!(answer[1]["username"], "1700000060:alice");
        assert_eq!(servers([("TURN_TTL", "60")]).ttl(), Duration::from_secs(60));
    }

    #[test]
    fn a_fixed_pair_is_handed_out_as_it_is() {
        let vars = [URL, ("TURN_USERNAME", "u"), ("TURN_CREDENTIAL", "c")];
        let turn = json!({ "urls": URL.1, "username": "u", "credential": "c" });
        assert_eq!(for_user(vars, "alice"), json!([{ "urls": STUN }, turn]));
    }

    #[test]
    fn several_urls_are_an_array() {
        let answer = for_user([("TURN_SERVER_URL", "turn:a,turns:b"), TURN_SECRET], "alice");
        assert_eq!(answer[1]["urls"], json!(["turn:a", "turns:b"]));
    }

    #[test]
    fn without_credentials_there_is_no_turn() {
        assert_eq!(for_user([URL], "alice"), json!([{ "urls": STUN }]));
        assert_eq!(for_user([], "alice"), json!([{ "urls": STUN }]));
        assert!(!servers([URL]).has_turn() && !servers([]).has_turn());
        assert!(servers([URL, TURN_SECRET]).has_turn());
        let stun = serde_json::to_value(servers([URL, TURN_SECRET]).stun_only()).unwrap();
        assert_eq!(stun, json!([{ "urls": STUN }]));
    }
}
