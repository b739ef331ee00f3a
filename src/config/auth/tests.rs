//! What the settings of tokens mean, and what is wrong with others.

use std::process::Command;

use tempfile::NamedTempFile;

use super::*;
use crate::config::{Config, PublicKeyKind};

const URL: (&str, &str) = ("JWT_JWKS_URL", "https://id.example.org/keys");
const SECRET: (&str, &str) = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
const PRODUCTION: [(&str, &str); 2] = [("NODE_ENV", "production"), ("BACKPLANE", "embedded")];

fn read(vars: &[(&str, &str)]) -> AuthConfig {
    Config::from_vars(vars.iter().copied()).unwrap().auth
}

fn problems(vars: &[(&str, &str)]) -> String {
    Config::from_vars(vars.iter().copied()).unwrap_err().to_string()
}

fn warnings(vars: &[(&str, &str)]) -> String {
    Config::from_vars(vars.iter().copied()).unwrap().warnings.join("\n")
}

/// A file with what `openssl` says.
fn made_by_openssl(commands: &[&str]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
        assert!(output.status.success(), "openssl is missing: tests/run installs it");
        let before = std::fs::read(&file).unwrap();
        std::fs::write(&file, [before, output.stdout].concat()).unwrap();
    }
    file
}

fn of_file(file: &NamedTempFile, vars: &[(&str, &str)]) -> Result<AuthConfig, String> {
    let path = [("JWT_PUBLIC_KEY_PATH", file.path().to_str().unwrap())];
    Config::from_vars([&path[..], vars].concat()).map(|config| config.auth).map_err(|errors| errors.to_string())
}

#[test]
fn nothing_said_is_a_secret_of_its_own_and_hmac() {
    let auth = read(&[]);
    assert!(
        auth.secret_generated && auth.secret.is_some_and(|secret| secret.expose_secret().len() >= SECRET_BYTES_MIN)
    );
    assert_eq!(auth.algorithms, HMAC_ALGORITHMS);
}

#[test]
fn with_public_keys_no_secret_is_made_up() {
    let auth = read(&[URL]);
    assert!(auth.secret.is_none() && !auth.secret_generated);
    assert_eq!(auth.algorithms, ["RS256", "ES256", "EdDSA"]);
    assert_eq!(auth.keys_url.unwrap().as_str(), URL.1);
    let both = read(&[URL, SECRET]);
    assert!(both.secret.is_some() && !both.secret_generated);
    assert_eq!(both.algorithms, ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"]);
}

#[test]
fn production_wants_a_secret_or_public_keys() {
    assert!(problems(&PRODUCTION).starts_with("JWT_SECRET: NODE_ENV=production needs it"));
    assert!(Config::from_vars([&PRODUCTION[..], &[URL]].concat()).is_ok());
    assert!(Config::from_vars([&PRODUCTION[..], &[SECRET]].concat()).is_ok());
}

#[test]
fn what_everybody_knows_is_no_secret() {
    for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"] {
        for line_end in ["\n", "\\n"] {
            let pem =
                ["-----BEGIN ", label, "-----", line_end, "c2VjcmV0", line_end, "-----END ", label, "-----"].concat();
            let text = problems(&[("JWT_SECRET", &pem)]);
            assert!(text.starts_with("JWT_SECRET: holds a public key"), "{text}");
            assert!(!text.contains("c2VjcmV0"));
        }
    }
}

#[test]
fn keys_come_encrypted_or_from_this_machine() {
    let url = |vars: &[(&'static str, &'static str)], url| {
        let vars = [vars, &[("JWT_JWKS_URL", url)]].concat();
        Config::from_vars(vars)
            .map(|config| config.auth.keys_url.map(String::from))
            .map_err(|errors| errors.to_string())
    };
    for good in ["https://id.example.org/a?p=b", "http://localhost:8080/", "http://127.0.0.2/keys", "http://[::1]:1/"] {
        assert_eq!(url(&PRODUCTION, good), Ok(Some(good.into())));
    }
    assert!(url(&[], "http://keycloak:8080/keys").is_ok());
    let wants = "wants a URL that starts with https://; http:// is for this machine, and for development";
    for bad in ["http://id.example.org/keys", "http://localhost.example.org/"] {
        assert_eq!(url(&PRODUCTION, bad), Err(format!("JWT_JWKS_URL: got {bad:?}, {wants}")));
    }
    for bad in ["id.example.org", "ftp://id.example.org/", "file:///keys", "https://i/#k", "ftp://i/keys@now"] {
        assert!(url(&[], bad).unwrap_err().ends_with(wants), "{bad}");
    }
    for bad in ["https://u:hush@i/", "https://hush@i/", "https:u:hush@i", "https//u:hush@i/", "u:hush@i/keys"] {
        let text = url(&[], bad).unwrap_err();
        assert!(text.starts_with("JWT_JWKS_URL: names a user or a password") && !text.contains("hush"), "{text}");
    }
}

#[test]
fn algorithms_have_to_fit_the_keys() {
    let algorithms = |list, vars: &[_]| {
        let vars = [vars, &[("JWT_ALGORITHMS", list)]].concat();
        Config::from_vars(vars).map(|config| config.auth.algorithms).map_err(|errors| errors.to_string())
    };
    assert_eq!(algorithms("rs256, eddsa", &[URL]), Ok(vec!["RS256", "EdDSA"]));
    assert_eq!(algorithms("HS256,ES384", &[URL, SECRET]), Ok(vec!["HS256", "ES384"]));
    assert_eq!(algorithms("HS512", &[]), Ok(vec!["HS512"]));
    for (list, vars, problem) in [
        ("RS256", &[URL, SECRET][..], "JWT_ALGORITHMS: has none of HS256, HS384, HS512, so no token of JWT_SECRET"),
        (
            "HS256",
            &[URL, SECRET],
            "JWT_ALGORITHMS: has none of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
        ),
        ("HS256,RS256", &[URL], "JWT_ALGORITHMS: has HS256, which needs JWT_SECRET"),
        ("HS256,RS256", &[SECRET], "JWT_ALGORITHMS: has RS256, which needs JWT_JWKS_URL or JWT_PUBLIC_KEY_PATH"),
        ("none", &[SECRET], "JWT_ALGORITHMS: got \"none\", wants some of HS256"),
        ("RS256 ES256", &[URL], "JWT_ALGORITHMS: got"),
        (",", &[URL], "JWT_ALGORITHMS: got"),
    ] {
        let got = algorithms(list, vars).unwrap_err();
        assert!(got.starts_with(problem), "{got}");
    }
}

#[test]
fn issuers_and_audiences_are_lists() {
    let auth = read(&[URL, ("JWT_ISSUER", "https://a.example.org/"), ("JWT_AUDIENCE", "web, ios ,android")]);
    assert_eq!(auth.issuers, ["https://a.example.org/"]);
    assert_eq!(auth.audiences, ["web", "ios", "android"]);
}

#[test]
fn tokens_for_others_are_warned_of_and_those_of_firebase_need_a_project() {
    assert!(warnings(&[URL]).contains("JWT_ISSUER and JWT_AUDIENCE are not set: A TOKEN"));
    assert!(warnings(&[URL, ("JWT_ISSUER", "i")]).contains("JWT_AUDIENCE is not set: A TOKEN"));
    assert!(!warnings(&[URL, ("JWT_ISSUER", "i"), ("JWT_AUDIENCE", "a")]).contains("A TOKEN"));
    let keys = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";
    let firebase = ("JWT_JWKS_URL", keys);
    for spelling in [keys.to_owned(), keys.replace('@', "%40"), format!("{keys}?a=b"), keys.replace(".com/", ".com./")]
    {
        let text = problems(&[("JWT_JWKS_URL", &spelling)]);
        assert!(text.contains("JWT_ISSUER: is needed with the keys of Firebase"), "{text}");
        assert!(text.contains("\nJWT_AUDIENCE: is"), "{text}");
    }
    let issuer = ("JWT_ISSUER", "https://securetoken.google.com/my-project");
    assert!(Config::from_vars([firebase, issuer, ("JWT_AUDIENCE", "my-project")]).is_ok());
}

#[test]
fn a_file_may_hold_several_public_keys() {
    let file = made_by_openssl(&[
        "echo for the first app",
        "openssl genrsa 2048 | openssl pkey -pubout",
        "openssl genrsa 2048 | openssl rsa -RSAPublicKey_out",
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 | openssl pkey -pubout",
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 | openssl pkey -pubout",
        "openssl genpkey -algorithm ED25519 | openssl pkey -pubout",
    ]);
    let auth = of_file(&file, &[("JWT_ALGORITHMS", "RS256,ES256,ES384,EdDSA")]).unwrap();
    let kinds: Vec<_> = auth.public_keys.iter().map(|key| key.kind).collect();
    let (rsa, p256) = (PublicKeyKind::Rsa, PublicKeyKind::P256);
    assert_eq!(kinds, [rsa, rsa, p256, PublicKeyKind::P384, PublicKeyKind::Ed25519]);
    let text = of_file(&file, &[]).unwrap_err();
    assert_eq!(
        text,
        "JWT_PUBLIC_KEY_PATH: holds a key for ES384, by which JWT_ALGORITHMS allows no token to be signed"
    );
}

#[test]
fn a_file_with_anything_else_is_refused_and_not_shown() {
    let many = "for n in 1 2 3 4 5 6 7 8 9; do openssl genpkey -algorithm ED25519 | openssl pkey -pubout; done";
    for (command, problem) in [
        ("true", "holds no public key; it wants PEM, -----BEGIN PUBLIC KEY-----"),
        ("echo c2VjcmV0", "holds no public key"),
        ("openssl genrsa 2048", "holds a PRIVATE key"),
        ("openssl genrsa -traditional 2048", "holds a PRIVATE key"),
        ("openssl genrsa 1024 | openssl pkey -pubout", "holds an RSA key of 1024 bits; it wants 2048 to 4096"),
        ("openssl genpkey -algorithm X25519 | openssl pkey -pubout", "holds a key that is neither RSA"),
        (
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 | openssl pkey -pubout",
            "holds a key that is neither RSA",
        ),
        (
            "printf -- '-----BEGIN PUBLIC KEY-----\\nc2VjcmV0\\n-----END PUBLIC KEY-----\\n'",
            "holds a block that cannot be",
        ),
        ("printf -- '-----BEGIN PUBLIC KEY-----\\nc2VjcmV0\\n'", "holds a block that cannot be read as PEM"),
        ("printf -- '-----BEGIN CERTIFICATE-----\\nc2VjcmV0\\n-----END CERTIFICATE-----\\n'", "holds a certificate"),
        (
            "printf -- '-----BEGIN GOSSIP-----\\nc2VjcmV0\\n-----END GOSSIP-----\\n'",
            "holds something that is no public",
        ),
        ("head -c 70000 /dev/zero | tr '\\0' x", "names a file of more than 65536 bytes"),
        (many, "holds 9 keys, more than 8"),
    ] {
        let text = of_file(&made_by_openssl(&[command]), &[]).unwrap_err();
        assert!(text.starts_with(&format!("JWT_PUBLIC_KEY_PATH: {problem}")), "{text}");
        assert!(!text.contains("c2VjcmV0"));
    }
    assert!(
        problems(&[("JWT_PUBLIC_KEY_PATH", "/does/not/exist.pem")])
            .starts_with("JWT_PUBLIC_KEY_PATH: cannot be read: ")
    );
    let problem = problems(&[("JWT_PUBLIC_KEY_PATH", "/dev/zero")]);
    assert_eq!(problem, "JWT_PUBLIC_KEY_PATH: names something that is no file");
}

#[test]
fn a_file_may_come_from_windows() {
    let file =
        made_by_openssl(&["printf '\\357\\273\\277'", "openssl genpkey -algorithm ED25519 | openssl pkey -pubout"]);
    assert_eq!(of_file(&file, &[]).unwrap().public_keys.len(), 1);
}
