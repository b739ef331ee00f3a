//! An identity provider over real HTTP: its keys change, it is away, slow or broken, and it is asked no more often than it has to be.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::auth::testing::*;
use crate::auth::{AuthError, Authenticator};
use crate::clock::Clock;

use super::*;

const A_MINUTE: Duration = Duration::from_secs(60);

/// A node that has this key server for its provider.
struct Node {
    authenticator: Arc<Authenticator>,
    _keeping: AbortOnDropHandle<()>,
}

impl Node {
    fn start(server: &StandIn, vars: &[(&str, &str)], clock: Clock) -> Self {
        let url = [("JWT_JWKS_URL", server.url.as_str())];
        let authenticator = Arc::new(authenticator_with(&[&url[..], vars].concat(), clock));
        let kept = authenticator.clone();
        let keeping = tokio::spawn(async move { kept.keep_keys(CancellationToken::new()).await });
        Self { authenticator, _keeping: AbortOnDropHandle::new(keeping) }
    }

    /// One whose clock is moved by hand, when it has its first keys.
    async fn ready(server: &StandIn, vars: &[(&str, &str)]) -> (Self, &'static AtomicU64) {
        let (clock, hand) = Clock::set_by_hand(NOW);
        let node = Self::start(server, vars, clock);
        let mut known = node.provider().known.subscribe();
        let first = tokio::time::timeout(PATIENCE, known.wait_for(|known| known.times == 1));
        first.await.expect("no keys come").unwrap();
        (node, hand)
    }

    fn provider(&self) -> &Provider {
        self.authenticator.public.as_ref().unwrap().provider.as_ref().unwrap()
    }

    async fn ask_for(&self, token: &str, patience: Duration) -> Result<String, AuthError> {
        Ok(self.authenticator.authenticate(Some(token), patience).await?.user.to_string())
    }

    async fn ask(&self, token: &str) -> Result<String, AuthError> {
        self.ask_for(token, PATIENCE).await
    }
}

fn keys(keys: &[Value]) -> Answer {
    Answer::Keys(key_set(keys), "public, max-age=3600")
}

fn rsa(kid: &str) -> Value {
    RSA.jwk(kid, &json!({ "use": "sig", "alg": "RS256" }))
}

#[tokio::test]
async fn tokens_of_each_kind_wait_for_the_first_keys_and_are_good() {
    let set = keys(&[rsa("r"), P256.jwk("p", &json!({})), ED25519.jwk("e", &json!({ "use": "sig" }))]);
    let server = StandIn::start([set]).await;
    let node = Node::start(&server, &[], Clock::set_by_hand(NOW).0);
    assert!(!node.authenticator.has_keys());
    for (key, kid) in [(&*RSA, "r"), (&P256, "p"), (&ED25519, "e")] {
        assert_eq!(node.ask(&key.sign(Some(kid), &claims(&json!({})))).await.as_deref(), Ok("alice"));
        // The only key that fits needs no name.
        assert_eq!(node.ask(&key.sign(None, &claims(&json!({})))).await.as_deref(), Ok("alice"));
    }
    assert_eq!(server.times(), 1);
    assert!(node.authenticator.has_keys());
}

#[tokio::test]
async fn a_storm_of_unknown_keys_is_one_fetch() {
    let server = StandIn::start([keys(&[rsa("r")])]).await;
    let (node, hand) = Node::ready(&server, &[]).await;
    hand.store(NOW.plus(A_MINUTE).0, Ordering::SeqCst);
    let strangers: Vec<_> =
        (0..100).map(|n| OTHER_RSA.sign(Some(&format!("unknown-{n}")), &claims(&json!({})))).collect();
    for outcome in join_all(strangers.iter().map(|token| node.ask(token))).await {
        assert_eq!(outcome, Err(AuthError::Invalid));
    }
    assert_eq!(server.times(), 2);
    // For a minute the answer is known without asking.
    for token in &strangers {
        assert_eq!(node.ask(token).await, Err(AuthError::Invalid));
    }
    assert_eq!(server.times(), 2);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_the_first_token_names_it_and_a_withdrawn_one_is_forgotten() {
    let server = StandIn::start([keys(&[rsa("old")])]).await;
    let (node, _) = Node::ready(&server, &[]).await;
    let old = RSA.sign(Some("old"), &claims(&json!({ "iat": NOW_SECONDS - 600 })));
    assert_eq!(node.ask(&old).await.as_deref(), Ok("alice"));

    server.answers(keys(&[P256.jwk("new", &json!({}))]));
    let new = P256.sign(Some("new"), &claims(&json!({})));
    assert_eq!(node.ask(&new).await.as_deref(), Ok("alice"));
    assert_eq!(server.times(), 2);
    assert_eq!(node.ask(&old).await, Err(AuthError::Invalid));
}

#[tokio::test]
async fn within_the_minute_a_token_made_since_is_put_off_and_an_older_one_refused() {
    let server = StandIn::start([keys(&[rsa("old")])]).await;
    let (node, hand) = Node::ready(&server, &[]).await;
    let stranger = OTHER_RSA.sign(Some("unknown"), &claims(&json!({})));
    assert_eq!(node.ask(&stranger).await, Err(AuthError::Invalid));
    server.answers(keys(&[OTHER_RSA.jwk("new", &json!({}))]));
    let made = |at: u64| OTHER_RSA.sign(Some("new"), &claims(&json!({ "iat": at })));
    assert_eq!(node.ask(&made(NOW_SECONDS - 31)).await, Err(AuthError::Invalid));
    assert_eq!(node.ask_for(&made(NOW_SECONDS + 5), Duration::ZERO).await, Err(AuthError::Unavailable));
    assert_eq!(server.times(), 2);
    hand.store(NOW.plus(A_MINUTE).0, Ordering::SeqCst);
    assert_eq!(node.ask(&made(NOW_SECONDS + 5)).await.as_deref(), Ok("alice"));
    assert_eq!(server.times(), 3);
}

#[tokio::test]
async fn whatever_a_broken_key_server_sends_the_keys_that_are_known_stay() {
    let endless = Answer::Endless(b"{\"keys\":[]}                                                     ");
    let elsewhere = StandIn::start([keys(&[OTHER_RSA.jwk("new", &json!({}))])]).await;
    let many: Vec<_> = (0..65).map(|n| rsa(&format!("{n}"))).collect();
    let plain = |text: &str| Answer::Keys(text.into(), "max-age=3600");
    let broken = [
        Answer::Status(500),
        Answer::Status(404),
        Answer::Redirect(elsewhere.url.clone()),
        endless,
        plain(""),
        plain("<html>"),
        plain("[]"),
        plain(r#"{"keys":7}"#),
        plain(r#"{"keys":[]}"#),
        keys(&[json!({ "kty": "RSA", "kid": "new", "n": "AQAB", "e": "AQAB" }), json!(7)]),
        keys(&many),
    ];
    for answer in broken {
        let server = StandIn::start([keys(&[rsa("r")])]).await;
        let (node, hand) = Node::ready(&server, &[]).await;
        server.answers(answer);
        hand.store(NOW.plus(A_MINUTE).0, Ordering::SeqCst);
        let new = OTHER_RSA.sign(Some("new"), &claims(&json!({})));
        let (outcome, ()) = tokio::join!(node.ask_for(&new, Duration::from_millis(300)), server.asked(2));
        assert_eq!(outcome, Err(AuthError::Unavailable));
        assert_eq!(node.ask(&RSA.sign(Some("r"), &claims(&json!({})))).await.as_deref(), Ok("alice"));
    }
    assert_eq!(elsewhere.times(), 0);
}

#[tokio::test]
async fn a_key_server_that_is_silent_holds_up_nobody_whose_key_is_known() {
    let server = StandIn::start([keys(&[rsa("r")])]).await;
    let (node, hand) = Node::ready(&server, &[]).await;
    server.answers(Answer::Silence);
    hand.store(NOW.plus(A_MINUTE).0, Ordering::SeqCst);
    let new = OTHER_RSA.sign(Some("new"), &claims(&json!({})));
    assert_eq!(node.ask_for(&new, Duration::ZERO).await, Err(AuthError::Unavailable));
    server.asked(2).await;
    assert_eq!(node.ask_for(&RSA.sign(Some("r"), &claims(&json!({}))), Duration::ZERO).await.as_deref(), Ok("alice"));
}

#[tokio::test]
async fn a_key_server_that_is_away_at_the_start_is_asked_again() {
    let server = StandIn::start([Answer::Status(503), Answer::Status(503), keys(&[rsa("r")])]).await;
    let node = Node::start(&server, &[], Clock::following_tokio(NOW));
    let token = RSA.sign(Some("r"), &claims(&json!({})));
    assert_eq!(node.ask_for(&token, Duration::ZERO).await, Err(AuthError::Unavailable));
    // Whoever waits is let in as soon as there are keys.
    assert_eq!(node.ask(&token).await.as_deref(), Ok("alice"));
    assert_eq!(server.times(), 3);
}

#[tokio::test]
async fn a_clock_that_is_set_back_holds_up_no_fetch() {
    let server = StandIn::start([Answer::Status(503), Answer::Status(503), keys(&[rsa("r")])]).await;
    let (clock, hand) = Clock::set_by_hand(NOW);
    let node = Node::start(&server, &[], clock);
    server.asked(1).await;
    hand.store(NOW.0 - 3_600_000, Ordering::SeqCst);
    let token = RSA.sign(Some("r"), &claims(&json!({})));
    assert_eq!(node.ask(&token).await.as_deref(), Ok("alice"));
}

#[tokio::test]
async fn keys_are_replaced_in_the_background_before_they_are_stale() {
    let server = StandIn::start([keys(&[rsa("old")])]).await;
    let node = Node::start(&server, &[], Clock::following_tokio(NOW));
    assert_eq!(node.ask(&RSA.sign(Some("old"), &claims(&json!({})))).await.as_deref(), Ok("alice"));
    server.answers(keys(&[OTHER_RSA.jwk("new", &json!({}))]));
    // Four fifths of the hour that they are good for.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2881)).await;
    tokio::time::resume();
    server.asked(2).await;
    let mut known = node.provider().known.subscribe();
    tokio::time::timeout(PATIENCE, known.wait_for(|known| known.times == 2)).await.unwrap().unwrap();
    let token = OTHER_RSA.sign(Some("new"), &claims(&json!({})));
    assert_eq!(node.ask_for(&token, Duration::ZERO).await.as_deref(), Ok("alice"));
    assert_eq!(server.times(), 2);
}

#[tokio::test]
async fn a_key_is_for_what_it_says_and_nothing_else() {
    const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
    let oct = json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": "c2VjcmV0" });
    let x25519 = ED25519.jwk("x25519", &json!({ "crv": "X25519" }));
    let set = keys(&[
        rsa("r"),
        P256.jwk("p", &json!({})),
        oct,
        x25519,
        OTHER_RSA.jwk("enc", &json!({ "use": "enc" })),
        OTHER_RSA.jwk("rs512", &json!({ "alg": "RS512" })),
        OTHER_RSA.jwk("oaep", &json!({ "alg": "RSA-OAEP" })),
        OTHER_RSA.jwk("signs", &json!({ "key_ops": ["sign"] })),
        OTHER_RSA.jwk("hs", &json!({ "alg": "HS256" })),
        SHORT_RSA.jwk("short", &json!({})),
        P384.jwk("p384", &json!({})),
        P256.jwk("off", &json!({ "x": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" })),
        OTHER_RSA.jwk("verifies", &json!({ "key_ops": ["verify"] })),
    ]);
    let server = StandIn::start([set]).await;
    for vars in [&[][..], &[("JWT_SECRET", SECRET)]] {
        let (node, _) = Node::ready(&server, vars).await;
        let times = server.times();
        assert_eq!(node.provider().known.borrow().keys.len(), 3);
        assert_eq!(node.ask(&OTHER_RSA.sign(Some("verifies"), &claims(&json!({})))).await.as_deref(), Ok("alice"));
        let long_ago = claims(&json!({ "iat": NOW_SECONDS - 600 }));
        let mut refused = Vec::new();
        for kid in ["enc", "rs512", "oaep", "signs", "hs", "r", "p"] {
            refused.push(OTHER_RSA.sign(Some(kid), &long_ago));
        }
        refused.push(SHORT_RSA.sign(Some("short"), &long_ago));
        refused.push(P384.sign(Some("p384"), &long_ago));
        refused.push(ED25519.sign(Some("x25519"), &long_ago));
        refused.push(P256.sign(Some("r"), &long_ago));
        refused.push(RSA.sign(Some("p"), &long_ago));
        // Two keys fit, and the token does not say which.
        refused.push(RSA.sign(None, &long_ago));
        for kid in ["oct", "hs", "r"] {
            let header = Header { kid: Some(kid.into()), ..Header::default() };
            refused.push(encode(&header, &long_ago, &EncodingKey::from_secret(b"secret")).unwrap());
        }
        for token in refused {
            assert_eq!(node.ask(&token).await, Err(AuthError::Invalid));
        }
        // Keys that are of no use are not known, and sought once more.
        assert_eq!(server.times(), times + 1);
    }
}

#[tokio::test]
async fn a_file_and_a_provider_may_be_used_together() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &P256.pem).unwrap();
    let server = StandIn::start([keys(&[rsa("r")])]).await;
    let (node, _) = Node::ready(&server, &[("JWT_PUBLIC_KEY_PATH", file.path().to_str().unwrap())]).await;
    assert_eq!(node.ask(&RSA.sign(Some("r"), &claims(&json!({})))).await.as_deref(), Ok("alice"));
    assert_eq!(node.ask(&P256.sign(Some("mine"), &claims(&json!({})))).await.as_deref(), Ok("alice"));
    assert_eq!(server.times(), 1);
}

#[tokio::test]
async fn an_id_token_of_firebase_names_its_user() {
    let firebase = Answer::Keys(key_set(&[rsa("2f9e1c")]), "public, max-age=19302, must-revalidate, no-transform");
    let server = StandIn::start([firebase]).await;
    let vars = [
        ("JWT_ISSUER", "https://securetoken.google.com/my-project"),
        ("JWT_AUDIENCE", "my-project"),
        ("JWT_ALGORITHMS", "RS256"),
    ];
    let (node, _) = Node::ready(&server, &vars).await;
    let uid = "Zk3mYbQ1nXhWJfT0c8pLr5vS2du1";
    let id_token = |project: &str| {
        RSA.sign(
            Some("2f9e1c"),
            &json!({
                "iss": format!("https://securetoken.google.com/{project}"), "aud": project, "auth_time": NOW_SECONDS - 60,
                "user_id": uid, "sub": uid, "iat": NOW_SECONDS - 60, "exp": NOW_SECONDS + 3540, "name": "Alice",
                "email": "alice@example.org", "email_verified": true,
                "firebase": { "identities": { "email": ["alice@example.org"] }, "sign_in_provider": "password" },
            }),
        )
    };
    assert_eq!(node.ask(&id_token("my-project")).await.as_deref(), Ok(uid));
    assert_eq!(node.ask(&id_token("another-project")).await, Err(AuthError::Invalid));
}
