//! Tokens that are signed with a key whose public half is known here: what is accepted, and every way to smuggle one in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, encode};
use serde_json::json;
use tempfile::NamedTempFile;

use super::testing::*;
use super::*;

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

/// A file of these public keys.
fn pem_file(keys: &[&TestKey]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, keys.iter().map(|key| key.pem.as_str()).collect::<String>()).unwrap();
    file
}

/// A server with these keys and settings.
fn server(keys: &[&TestKey], vars: &[(&str, &str)]) -> Authenticator {
    let file = pem_file(keys);
    let path = [("JWT_PUBLIC_KEY_PATH", file.path().to_str().unwrap())];
    authenticator_with(&[&path[..], vars].concat(), Clock::set_by_hand(NOW).0)
}

fn outcome(authenticator: &Authenticator, token: &str) -> Result<Identity, AuthError> {
    authenticator.authenticate(Some(token), Duration::ZERO).now_or_never().unwrap()
}

fn user(authenticator: &Authenticator, token: &str) -> Result<String, AuthError> {
    outcome(authenticator, token).map(|identity| identity.user.to_string())
}

#[test]
fn each_kind_of_key_is_accepted() {
    let authenticator = server(&[&RSA, &P256, &ED25519], &[]);
    for key in [&*RSA, &P256, &ED25519] {
        for kid in [None, Some("whatever it calls its key")] {
            let identity = outcome(&authenticator, &key.sign(kid, &claims(&json!({})))).unwrap();
            assert_eq!(identity.user.as_str(), "alice");
            assert_eq!(identity.expires_at, Some(NOW.plus(Duration::from_secs(3600))));
        }
    }
    for stranger in [&*OTHER_RSA, &P384] {
        assert_eq!(outcome(&authenticator, &stranger.sign(None, &claims(&json!({})))), Err(AuthError::Invalid));
    }
}

#[test]
fn the_other_algorithms_of_a_key_count_where_they_are_allowed() {
    let all = "rs256, RS384,RS512,PS256,PS384,PS512,ES384";
    let generous = server(&[&RSA, &P384], &[("JWT_ALGORITHMS", all)]);
    let usual = server(&[&RSA], &[]);
    for algorithm in AlgorithmFamily::Rsa.algorithms() {
        let token = RSA.sign_with(&Header::new(*algorithm), &claims(&json!({})));
        assert_eq!(user(&generous, &token).as_deref(), Ok("alice"), "{algorithm:?}");
        assert_eq!(user(&usual, &token).is_ok(), *algorithm == Algorithm::RS256, "{algorithm:?}");
    }
    assert!(user(&generous, &P384.sign(None, &claims(&json!({})))).is_ok());
}

#[test]
fn an_algorithm_that_is_not_allowed_is_refused_though_the_key_is_known() {
    let authenticator = server(&[&RSA, &P256], &[("JWT_ALGORITHMS", "RS256,ES256")]);
    let rs384 = RSA.sign_with(&Header::new(Algorithm::RS384), &claims(&json!({})));
    assert_eq!(outcome(&authenticator, &rs384), Err(AuthError::Invalid));
    let only_es256 = server(&[&P256], &[("JWT_ALGORITHMS", "ES256")]);
    assert_eq!(outcome(&only_es256, &RSA.sign(None, &claims(&json!({})))), Err(AuthError::Invalid));
}

#[test]
fn a_public_key_is_no_secret() {
    // The oldest trick: the public key is known to everybody, so sign with it as if it were the HMAC secret.
    let keys = [&*RSA, &*P256, &*ED25519];
    for authenticator in [server(&keys, &[]), server(&keys, &[("JWT_SECRET", SECRET)])] {
        for key in keys {
            let der = openssl(&["pkey", "-pubin", "-outform", "DER"], key.pem.as_bytes());
            let jwk = key.jwk("k", &json!({}));
            let parts = ["n", "x", "y"].into_iter().filter_map(|name| jwk[name].as_str()).map(str::as_bytes);
            let mut guesses = vec![key.pem.as_bytes(), key.pem.trim_end().as_bytes(), &der, b""];
            guesses.extend(parts);
            for guess in guesses {
                for algorithm in AlgorithmFamily::Hmac.algorithms() {
                    let header = Header { kid: Some("k".into()), ..Header::new(*algorithm) };
                    let forged = encode(&header, &claims(&json!({})), &EncodingKey::from_secret(guess)).unwrap();
                    assert_eq!(outcome(&authenticator, &forged), Err(AuthError::Invalid));
                }
            }
        }
    }
}

#[test]
fn what_the_header_says_of_keys_and_algorithms_is_not_believed() {
    let authenticator = server(&[&RSA], &[("JWT_SECRET", SECRET)]);
    let mallory: Jwk = serde_json::from_value(OTHER_RSA.jwk("mallory", &json!({}))).unwrap();
    let headers = [
        Header { jwk: Some(mallory), ..Header::new(Algorithm::RS256) },
        Header { jku: Some("http://127.0.0.1:1/keys".into()), ..Header::new(Algorithm::RS256) },
        Header { x5u: Some("http://127.0.0.1:1/chain".into()), ..Header::new(Algorithm::RS256) },
    ];
    for header in headers {
        let forged = OTHER_RSA.sign_with(&header, &claims(&json!({})));
        assert_eq!(outcome(&authenticator, &forged), Err(AuthError::Invalid));
    }
    let critical = Header { crit: Some(vec!["exp".into()]), ..Header::new(Algorithm::RS256) };
    assert_eq!(outcome(&authenticator, &RSA.sign_with(&critical, &claims(&json!({})))), Err(AuthError::Invalid));
    let critical = Header { alg: Algorithm::HS256, ..critical };
    let with_secret = encode(&critical, &claims(&json!({})), &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    assert_eq!(outcome(&authenticator, &with_secret), Err(AuthError::Invalid));

    let good = RSA.sign(None, &claims(&json!({})));
    let parts: Vec<_> = good.split('.').collect();
    for algorithm in ["none", "None", "nOnE", "", "HS256", "ES256", "PS256", "RS384"] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "typ": "JWT" }).to_string());
        for signature in ["", parts[2]] {
            let forged = format!("{header}.{}.{signature}", parts[1]);
            assert_eq!(outcome(&authenticator, &forged), Err(AuthError::Invalid), "{algorithm}");
        }
    }
    let mallory = URL_SAFE_NO_PAD.encode(claims(&json!({ "sub": "mallory" })).to_string());
    assert_eq!(outcome(&authenticator, &format!("{}.{mallory}.{}", parts[0], parts[2])), Err(AuthError::Invalid));
}

#[test]
fn issuer_and_audience_have_to_be_ours() {
    let vars = [("JWT_ISSUER", "https://id.example.org/"), ("JWT_AUDIENCE", "app, other-app")];
    let authenticator = server(&[&RSA], &vars);
    let outcome = |fields: Value| user(&authenticator, &RSA.sign(None, &claims(&fields)));
    let iss = "https://id.example.org/";
    for aud in [json!("app"), json!("other-app"), json!(["app"]), json!(["somebody", "other-app", 7])] {
        assert_eq!(outcome(json!({ "iss": iss, "aud": aud })).as_deref(), Ok("alice"), "{aud}");
    }
    let app = json!("app");
    for aud in [json!("App"), json!("app,other-app"), json!([]), json!(["somebody"]), json!({ "app": "app" }), json!(7)]
    {
        assert_eq!(outcome(json!({ "iss": iss, "aud": aud })), Err(AuthError::Invalid), "{aud}");
    }
    for iss in
        [json!("https://id.example.org"), json!("https://evil.example.org/"), json!([iss]), json!(null), json!(1)]
    {
        assert_eq!(outcome(json!({ "iss": iss, "aud": app })), Err(AuthError::Invalid), "{iss}");
    }
    assert_eq!(outcome(json!({ "iss": iss })), Err(AuthError::Invalid));
    assert_eq!(outcome(json!({ "aud": app })), Err(AuthError::Invalid));
}

#[test]
fn times_are_checked_with_some_leeway_for_nbf() {
    let authenticator = server(&[&RSA], &[]);
    let outcome = |fields: Value| user(&authenticator, &RSA.sign(None, &claims(&fields)));
    assert_eq!(outcome(json!({ "exp": NOW_SECONDS })), Err(AuthError::Expired));
    assert!(outcome(json!({ "exp": NOW_SECONDS + 1 })).is_ok());
    assert!(outcome(json!({ "nbf": NOW_SECONDS + 30, "iat": NOW_SECONDS + 30 })).is_ok());
    assert_eq!(outcome(json!({ "nbf": NOW_SECONDS + 31 })), Err(AuthError::NotYetValid));
    let without_exp = json!({ "sub": "alice", "iat": NOW_SECONDS });
    assert_eq!(user(&authenticator, &RSA.sign(None, &without_exp)), Err(AuthError::Invalid));
    assert_eq!(outcome(json!({ "sub": "" })), Err(AuthError::Invalid));
    assert_eq!(outcome(json!({ "userId": "bob" })).as_deref(), Ok("bob"));
}

#[test]
fn during_a_migration_both_kinds_of_tokens_are_good() {
    let file = pem_file(&[&RSA]);
    let vars = [
        ("JWT_PUBLIC_KEY_PATH", file.path().to_str().unwrap()),
        ("JWT_SECRET", SECRET),
        ("JWT_ISSUER", "https://id.example.org/"),
    ];
    let authenticator = authenticator_with(&vars, Clock::set_by_hand(NOW).0);
    let old = encode(&Header::default(), &json!({ "userId": "bob" }), &EncodingKey::from_secret(SECRET.as_bytes()));
    assert_eq!(user(&authenticator, &old.unwrap()).as_deref(), Ok("bob"));
    let new = RSA.sign(None, &claims(&json!({ "iss": "https://id.example.org/" })));
    assert_eq!(user(&authenticator, &new).as_deref(), Ok("alice"));
    assert_eq!(user(&authenticator, &RSA.sign(None, &claims(&json!({})))), Err(AuthError::Invalid));
    assert!(authenticator.mint(&UserId::parse("alice").unwrap(), Duration::from_secs(60)).is_some());
}

#[test]
fn without_a_secret_nothing_is_signed_with_one() {
    let authenticator = server(&[&RSA], &[]);
    assert_eq!(authenticator.mint(&UserId::parse("alice").unwrap(), Duration::from_secs(60)), None);
    for secret in [SECRET, ""] {
        let token = encode(&Header::default(), &claims(&json!({})), &EncodingKey::from_secret(secret.as_bytes()));
        assert_eq!(outcome(&authenticator, &token.unwrap()), Err(AuthError::Invalid));
    }
}

#[test]
fn with_a_secret_alone_issuer_and_audience_count_too_and_are_minted() {
    let vars = [("JWT_SECRET", SECRET), ("JWT_ISSUER", "shop"), ("JWT_AUDIENCE", "app"), ("JWT_ALGORITHMS", "HS512")];
    let authenticator = authenticator_with(&vars, Clock::set_by_hand(NOW).0);
    let alice = UserId::parse("alice").unwrap();
    let minted = authenticator.mint(&alice, Duration::from_secs(60)).unwrap();
    assert_eq!(user(&authenticator, &minted).as_deref(), Ok("alice"));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let sign = |algorithm, fields| encode(&Header::new(algorithm), &claims(&fields), &key).unwrap();
    let ours = json!({ "iss": "shop", "aud": ["app"] });
    assert!(user(&authenticator, &sign(Algorithm::HS512, ours.clone())).is_ok());
    for (algorithm, fields) in [(Algorithm::HS256, ours), (Algorithm::HS512, json!({ "iss": "shop", "aud": "x" }))] {
        assert_eq!(user(&authenticator, &sign(algorithm, fields)), Err(AuthError::Invalid));
    }
}
