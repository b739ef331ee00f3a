//! ICE servers: STUN for everybody, TURN with credentials for a user.
//!
//! Time-limited credentials follow coturn's `use-auth-secret` scheme (draft-uberti-behave-turn-rest): the user name is
//! `<unix seconds of expiry>:<user>`, the password base64(HMAC-SHA1(secret, user name)). One secret signs; while it is
//! exchanged for another one, it is the TURN server that has to know both. Who may have credentials is for the rooms to decide
//! that hand them out.

mod examination;
mod message;
mod url;
mod wire;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use parking_lot::RwLock;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha1::{Digest, Sha1};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::{IceConfig, TurnCredentials};

/// What the user part of a TURN user name is when nobody is named.
pub const ANONYMOUS: &str = "anonymous";

/// Longest user part of a user name. Chromium throws at user names of more than 509 bytes, coturn refuses those of more than 513;
/// ten digits and a colon stand before it. (Measured with Chromium, coturn 4.6.1.)
const SPELLED_BYTES_MAX: usize = 509 - 11;

/// One entry of `iceServers`, as `RTCPeerConnection` takes it. Not `Debug`: it holds a credential.
#[derive(Clone, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct IceServer {
    urls: Urls,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    credential: Option<String>,
}

/// A string where there is one URL, as the reference server had it, an array where there are several.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum Urls {
    One(String),
    Several(Vec<String>),
}

/// Which TURN servers a client wants: those of a region, or those for everybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Region(Option<usize>);

/// Hands out ICE servers.
pub struct IceServers {
    config: IceConfig,
    /// What signs: the secret of the configuration, as it is at present.
    secret: RwLock<Option<SecretString>>,
    rotated: Notify,
    clock: Clock,
}

impl IceServers {
    /// The configured servers.
    pub fn new(config: &IceConfig, clock: Clock) -> Self {
        let secret = match &config.turn {
            TurnCredentials::Secret(secret) => Some(secret.clone()),
            TurnCredentials::None | TurnCredentials::Static { .. } => None,
        };
        Self { config: config.clone(), secret: RwLock::new(secret), rotated: Notify::new(), clock }
    }

    /// The region a client calls by this name; an unknown one is that of a client that names none.
    pub fn region(&self, name: Option<&str>) -> Region {
        let is_meant = |name: &str| self.config.turn_regions.iter().position(|r| r.name.eq_ignore_ascii_case(name));
        Region(name.and_then(is_meant))
    }

    /// The servers anybody may use: STUN.
    pub fn stun_only(&self) -> Vec<IceServer> {
        let urls = Urls::One(self.config.stun_url.clone());
        vec![IceServer { urls, username: None, credential: None }]
    }

    /// The servers `user` may use: STUN, and TURN if it is configured. `user` is a user id or [`ANONYMOUS`].
    pub fn for_user(&self, user: &str, region: Region) -> Vec<IceServer> {
        let mut servers = self.stun_only();
        let urls = match self.turn_urls(region) {
            [] => return servers,
            [url] => Urls::One(url.clone()),
            urls => Urls::Several(urls.to_vec()),
        };
        let Some((username, credential)) = self.credentials(user) else { return servers };
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

    /// How long after credentials were handed out a device in a call gets fresh ones: a quarter of their life is left then for a
    /// device that is out of reach for a moment. `None` where credentials do not expire, or there are none.
    pub fn renew_after(&self) -> Option<Duration> {
        let expire = matches!(self.config.turn, TurnCredentials::Secret(_));
        (expire && self.has_turn()).then(|| self.config.turn_ttl * 3 / 4)
    }

    /// Waits until another secret signs than before.
    pub async fn rotation(&self) {
        self.rotated.notified().await;
    }

    /// Signs with this secret from here on.
    pub fn sign_with(&self, secret: &SecretString) {
        let is_same = self.secret.read().as_ref().is_some_and(|old| old.expose_secret() == secret.expose_secret());
        if !is_same {
            *self.secret.write() = Some(secret.clone());
            self.rotated.notify_one();
        }
    }

    fn turn_urls(&self, region: Region) -> &[String] {
        let of_region = region.0.and_then(|index| self.config.turn_regions.get(index));
        of_region.map_or(&self.config.turn_urls, |region| &region.urls)
    }

    /// What `user` shows to the TURN servers.
    fn credentials(&self, user: &str) -> Option<(String, String)> {
        match &self.config.turn {
            TurnCredentials::None => None,
            TurnCredentials::Static { username, credential } => {
                Some((username.clone(), credential.expose_secret().to_owned()))
            }
            TurnCredentials::Secret(_) => Some(self.time_limited(user)),
        }
    }

    fn time_limited(&self, user: &str) -> (String, String) {
        let expiry = self.clock.now().plus(self.config.turn_ttl).0 / 1000;
        // The expiry stands first: coturn would read a user id made of digits as the time.
        let username = format!("{expiry}:{}", spelled(user));
        let secret = self.secret.read();
        let secret = secret.as_ref().map_or("", ExposeSecret::expose_secret);
        let credential = STANDARD.encode(hmac_sha1(secret, &username));
        (username, credential)
    }
}

/// A user id as it stands in a user name: what coturn takes for an attack and answers with 400, as in a URL. That is some characters,
/// and "union" and "select" in one name. (Measured with 4.6.1.) What would be too long is its digest.
fn spelled(user: &str) -> String {
    let lower = user.to_ascii_lowercase();
    let is_like_sql = lower.contains("union") && lower.contains("select");
    let mut text = String::with_capacity(user.len());
    for char in user.chars() {
        match char {
            ' ' | '\'' | '"' | '\\' | '%' => escape(&mut text, char),
            'U' | 'u' if is_like_sql => escape(&mut text, char),
            char => text.push(char),
        }
    }
    if text.len() <= SPELLED_BYTES_MAX { text } else { format!("{:x}", Sha1::digest(user)) }
}

/// Appends an ASCII character as a URL has it.
fn escape(text: &mut String, char: char) {
    text.extend(['%', hex(char as u32 >> 4), hex(char as u32 & 15)]);
}

fn hex(digit: u32) -> char {
    char::from_digit(digit, 16).unwrap_or_default().to_ascii_uppercase()
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
        in_region(&servers(vars), user, None)
    }

    fn in_region(servers: &IceServers, user: &str, region: Option<&str>) -> Value {
        serde_json::to_value(servers.for_user(user, servers.region(region))).unwrap()
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
    async fn what_coturn_refuses_is_spelled_as_in_a_url() {
        let answer = for_user([URL, TURN_SECRET], "Zoë: 100% \"a\\b\" 'c'");
        assert_eq!(answer[1]["username"], "1700086400:Zoë:%20100%25%20%22a%5Cb%22%20%27c%27");
    }

    #[tokio::test(start_paused = true)]
    async fn what_coturn_takes_for_sql_is_spelled_otherwise() {
        let username = |user| for_user([URL, TURN_SECRET], user)[1]["username"].clone();
        assert_eq!(username("Union-select%55"), "1700086400:%55nion-select%2555");
        assert_eq!(username("SELECT_the_union_u"), "1700086400:SELECT_the_%75nion_%75");
        assert_eq!(username("union"), "1700086400:union");
        assert_eq!(username("selected"), "1700086400:selected");
    }

    /// The digest is what `sha1sum` makes of the user id.
    #[tokio::test(start_paused = true)]
    async fn what_is_too_long_for_browsers_is_its_digest() {
        let username = |user: &str| for_user([URL, TURN_SECRET], user)[1]["username"].as_str().unwrap().to_owned();
        let fits = "\u{1f600}".repeat(124);
        assert_eq!(username(&format!("{fits}ab")), format!("1700086400:{fits}ab"));
        assert_eq!(username(&"\u{1f600}".repeat(128)), "1700086400:420fd1892f250314c4a7857ac92e772a48c854cb");
        assert_ne!(username(&format!("{fits}abc")), username(&format!("{fits}abd")));
        assert_eq!(username(&"'".repeat(128)).len(), 395);
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

    #[test]
    fn a_region_has_servers_of_its_own_and_an_unknown_one_those_of_everybody() {
        let regions = ("TURN_REGIONS", "eu=turn:eu,turns:eu; us=turn:us");
        let servers = servers([URL, TURN_SECRET, regions]);
        let urls = |region| in_region(&servers, "alice", region)[1]["urls"].clone();
        assert_eq!(urls(Some("eu")), json!(["turn:eu", "turns:eu"]));
        assert_eq!(urls(Some("US")), json!("turn:us"));
        for other in [None, Some(""), Some("ap"), Some("eu;us")] {
            assert_eq!(urls(other), json!(URL.1), "{other:?}");
        }
    }

    #[test]
    fn what_expires_is_renewed_with_a_quarter_of_its_life_left() {
        assert_eq!(servers([URL, TURN_SECRET]).renew_after(), Some(Duration::from_secs(64_800)));
        assert_eq!(servers([URL, ("TURN_USERNAME", "u"), ("TURN_CREDENTIAL", "c")]).renew_after(), None);
        assert_eq!(servers([URL]).renew_after(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn another_secret_signs_and_is_told_once() {
        let servers = servers([URL, TURN_SECRET]);
        let credential = || in_region(&servers, "alice", None)[1]["credential"].clone();
        let signed = |secret: &str, username: &Value| STANDARD.encode(hmac_sha1(secret, username.as_str().unwrap()));
        let username = || in_region(&servers, "alice", None)[1]["username"].clone();
        assert_eq!(credential(), signed("turn-secret", &username()));
        servers.sign_with(&"after".into());
        servers.rotation().await;
        assert_eq!(credential(), signed("after", &username()));
        servers.sign_with(&"after".into());
        assert!(tokio::time::timeout(Duration::from_secs(1), servers.rotation()).await.is_err());
    }
}
