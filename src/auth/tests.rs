//! Tokens of the shared secret: which are accepted, for whom, and what the others are told.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use jsonwebtoken::{EncodingKey, encode};
use serde_json::json;

use super::*;
use crate::config::Config;

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const NOW_SECONDS: u64 = NOW.0 / 1000;

fn authenticator(clock: Clock) -> Authenticator {
    Authenticator::new(&Config::from_vars([("JWT_SECRET", SECRET)]).unwrap().auth, clock)
}

fn authenticate(token: &str) -> Result<Identity, AuthError> {
    outcome(&authenticator(stopped()), Some(token))
}

/// What is signed with the secret has nothing to wait for.
fn outcome(authenticator: &Authenticator, token: Option<&str>) -> Result<Identity, AuthError> {
    authenticator.authenticate(token, Duration::ZERO).now_or_never().unwrap()
}

/// Close enough to stopped: without a runtime tokio's clock is the system's, so bounds below are whole minutes.
fn stopped() -> Clock {
    Clock::following_tokio(NOW)
}

fn sign(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn token(claims: &Value) -> String {
    sign(Algorithm::HS256, SECRET, claims)
}

fn user_of(claims: &Value) -> Result<String, AuthError> {
    authenticate(&token(claims)).map(|identity| identity.user.to_string())
}

#[test]
fn messages_are_those_of_the_contract() {
    let errors =
        [AuthError::Missing, AuthError::Invalid, AuthError::Expired, AuthError::NotYetValid, AuthError::Unavailable];
    assert_eq!(
        errors.map(|error| error.to_string()),
        [
            "Authentication required",
            "Invalid token",
            "Token expired",
            "Authentication failed",
            "Temporarily unavailable"
        ]
    );
}

#[test]
fn without_a_token_nobody_is_named() {
    let authenticator = authenticator(stopped());
    assert_eq!(outcome(&authenticator, None), Err(AuthError::Missing));
    let outcome = |token| authenticator.authenticate_handshake(&token, Duration::ZERO).now_or_never().unwrap();
    assert_eq!(outcome(HandshakeToken::Missing), Err(AuthError::Missing));
    assert_eq!(outcome(HandshakeToken::Malformed), Err(AuthError::Invalid));
    let good = HandshakeToken::Token(token(&json!({ "userId": "alice" })));
    assert_eq!(outcome(good).unwrap().user.as_str(), "alice");
}

#[test]
fn garbage_is_invalid() {
    let bearer = format!("Bearer {}", token(&json!({ "userId": "alice" })));
    for garbage in ["", "x", "a.b.c", "....", "é.é.é", &bearer] {
        assert_eq!(authenticate(garbage), Err(AuthError::Invalid), "{garbage}");
    }
}

#[test]
fn hs256_hs384_and_hs512_are_accepted() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = sign(algorithm, SECRET, &json!({ "userId": "alice" }));
        assert_eq!(authenticate(&token).unwrap().user.as_str(), "alice");
    }
}

#[test]
fn signatures_are_checked() {
    let claims = json!({ "userId": "alice" });
    let forged = sign(Algorithm::HS256, "another secret", &claims);
    assert_eq!(authenticate(&forged), Err(AuthError::Invalid));

    let good = token(&claims);
    let parts: Vec<_> = good.split('.').collect();
    let mallory = URL_SAFE_NO_PAD.encode(r#"{"userId":"mallory"}"#);
    let changed = format!("{}.{mallory}.{}", parts[0], parts[2]);
    assert_eq!(authenticate(&changed), Err(AuthError::Invalid));
    assert_eq!(authenticate(&format!("{}.{}.", parts[0], parts[1])), Err(AuthError::Invalid));

    for algorithm in ["none", "None", "RS256", "ES256", "HS1"] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#));
        for signature in ["", parts[2]] {
            let token = format!("{header}.{}.{signature}", parts[1]);
            assert_eq!(authenticate(&token), Err(AuthError::Invalid), "{algorithm}");
        }
    }
}

#[test]
fn the_user_is_user_id_or_else_sub() {
    for claims in [json!({ "userId": "a", "sub": "b" }), json!({ "userId": "a", "sub": 7 })] {
        assert_eq!(user_of(&claims).unwrap(), "a");
    }
    for claims in [json!({ "sub": "b" }), json!({ "userId": "", "sub": "b" }), json!({ "userId": null, "sub": "b" })] {
        assert_eq!(user_of(&claims).unwrap(), "b");
    }
}

#[test]
fn a_token_that_names_nobody_is_invalid() {
    for claims in [
        json!({}),
        json!({ "id": "a" }),
        json!({ "userId": "" }),
        json!({ "userId": "", "sub": "" }),
        json!({ "userId": 7 }),
        json!({ "userId": 7, "sub": "b" }),
        json!({ "userId": {} }),
        json!({ "userId": ["a"] }),
        json!({ "userId": false, "sub": "b" }),
        json!({ "sub": 7 }),
        json!({ "userId": "   " }),
        json!({ "userId": "x".repeat(129) }),
        json!({ "userId": "a\nb" }),
        json!("alice"),
        json!(["alice"]),
    ] {
        assert_eq!(user_of(&claims), Err(AuthError::Invalid), "{claims}");
    }
}

#[test]
fn exp_is_optional_and_may_be_fractional() {
    let expiry = |exp: Value| authenticate(&token(&json!({ "userId": "a", "exp": exp })));
    assert_eq!(authenticate(&token(&json!({ "userId": "a" }))).unwrap().expires_at, None);
    let in_an_hour = NOW_SECONDS + 3600;
    assert_eq!(expiry(json!(in_an_hour)).unwrap().expires_at, Some(Timestamp(in_an_hour * 1000)));
    let half = expiry(json!(1_700_003_600.5)).unwrap();
    assert_eq!(half.expires_at, Some(Timestamp(1_700_003_600_500)));
    assert_eq!(expiry(json!(1e300)).unwrap().expires_at, Some(Timestamp(u64::MAX)));
    for past in [json!(NOW_SECONDS - 1), json!(NOW_SECONDS), json!(0), json!(-5), json!(1.5)] {
        assert_eq!(expiry(past.clone()), Err(AuthError::Expired), "{past}");
    }
    for strange in [json!("soon"), json!(null), json!({})] {
        assert_eq!(expiry(strange.clone()), Err(AuthError::Invalid), "{strange}");
    }
}

#[test]
fn nbf_counts_and_iat_aud_and_iss_do_not() {
    let with = |name: &str, value: Value| user_of(&json!({ "userId": "a", name: value }));
    assert_eq!(with("nbf", json!(NOW_SECONDS + 60)), Err(AuthError::NotYetValid));
    assert_eq!(with("nbf", json!("soon")), Err(AuthError::Invalid));
    assert_eq!(with("nbf", json!(NOW_SECONDS)).unwrap(), "a");
    assert_eq!(with("iat", json!(NOW_SECONDS + 3600)).unwrap(), "a");
    assert_eq!(with("aud", json!("somebody")).unwrap(), "a");
    assert_eq!(with("iss", json!("anybody")).unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_minted_token_lives_exactly_its_lifetime() {
    let authenticator = authenticator(Clock::following_tokio(NOW));
    let alice = UserId::parse("alice").unwrap();
    let token = authenticator.mint(&alice, Duration::from_secs(60)).unwrap();
    let identity = outcome(&authenticator, Some(&token)).unwrap();
    assert_eq!(identity, Identity { user: alice, expires_at: Some(NOW.plus(Duration::from_secs(60))) });

    tokio::time::advance(Duration::from_millis(59_999)).await;
    assert!(outcome(&authenticator, Some(&token)).is_ok());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(outcome(&authenticator, Some(&token)), Err(AuthError::Expired));
}

#[test]
fn tokens_of_other_libraries_are_read() {
    // Made with: `openssl dgst -sha256 -hmac SECRET -binary`, the claims as the README's `jwt.sign` has them.
    let token =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VySWQiOiJ1c2VyMTIzIn0.svYRTUt6nSwmNwt2MR7N3Hh34B-u2GcrbiElr0Ug9iA";
    assert_eq!(authenticate(token).unwrap().user.as_str(), "user123");
}
