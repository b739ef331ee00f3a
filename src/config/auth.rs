//! What tokens are accepted: the secret, the public keys, and what they have to say.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::percent_decode_str;
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Mode;
use super::public_key::{PublicKey, public_keys};
use super::reader::{Reader, comma_list};
use super::service_url::given_service;
use super::variables::{ALGORITHMS, HMAC_ALGORITHMS, Kind};

/// RFC 7518, section 3.2: a key as long as the hash output, here of SHA-256.
const SECRET_BYTES_MIN: usize = 32;
/// What tokens with a public key are signed by where nothing else is said: what identity providers use.
const USUAL_ALGORITHMS: &[&str] = &["RS256", "ES256", "EdDSA"];
/// Whose keys sign the tokens of Firebase, those of all projects of everybody. Part of the path at which Google publishes them.
const FIREBASE_SIGNER: &str = "securetoken@system.gserviceaccount.com";

/// Tokens.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The HMAC key tokens are signed with; `None` where only public keys count.
    pub secret: Option<SecretString>,
    /// Whether the secret was made up at this start, so that no token outlives the process.
    pub secret_generated: bool,
    /// Where an identity provider publishes its keys; `https`, or `http` where that is harmless.
    pub keys_url: Option<Url>,
    /// The public keys that tokens may be signed with besides.
    pub public_keys: Vec<PublicKey>,
    /// The algorithms a token may be signed by, spelled as in a token.
    pub algorithms: Vec<&'static str>,
    /// What `iss` has to be, one of these; anything if there are none.
    pub issuers: Vec<String>,
    /// What `aud` has to be or contain, one of these; anything if there are none.
    pub audiences: Vec<String>,
    /// Lifetime of the tokens this program makes.
    pub token_lifetime: Duration,
    /// Whether a connection without a token is refused.
    pub required: bool,
}

pub(super) fn auth_config(reader: &mut Reader, mode: Mode, warnings: &mut Vec<String>) -> AuthConfig {
    const PUBLIC: [&str; 2] = ["JWT_JWKS_URL", "JWT_PUBLIC_KEY_PATH"];
    let given = reader.text("JWT_SECRET").map(SecretString::from);
    let has_public_keys = PUBLIC.iter().any(|name| reader.is_given(name));
    secret_advice(reader, given.as_ref(), has_public_keys, mode, warnings);
    let keys_url = given_service(reader, "JWT_JWKS_URL", mode, |_| true);
    let public_keys = key_file(reader);
    let secret_generated = given.is_none() && !has_public_keys;
    let algorithms = algorithms(reader, given.is_some() || secret_generated, has_public_keys);
    for key in &public_keys {
        if !key.kind.algorithms().iter().any(|algorithm| algorithms.contains(algorithm)) {
            let wanted = key.kind.algorithms().join(" or ");
            let text = format!("holds a key for {wanted}, by which JWT_ALGORITHMS allows no token to be signed");
            reader.conflict("JWT_PUBLIC_KEY_PATH", text);
        }
    }
    let [issuers, audiences] = ["JWT_ISSUER", "JWT_AUDIENCE"].map(|name| texts(reader, name));
    if let Some(url) = &keys_url {
        foreign_tokens(reader, url, warnings);
    }
    let required = reader.flag("AUTH_REQUIRED");
    if !required {
        warnings.push("AUTH_REQUIRED=false: ANYBODY MAY CONNECT WITHOUT A TOKEN AND TAKE THE CALLS OF ANY USER".into());
    }
    AuthConfig {
        secret: if secret_generated { Some(generated_secret()) } else { given },
        secret_generated,
        keys_url,
        public_keys,
        algorithms,
        issuers,
        audiences,
        token_lifetime: reader.duration("JWT_EXPIRY"),
        required,
    }
}

fn secret_advice(
    reader: &mut Reader,
    given: Option<&SecretString>,
    has_public_keys: bool,
    mode: Mode,
    warnings: &mut Vec<String>,
) {
    if given.is_some_and(|secret| is_public(secret.expose_secret())) {
        reader.conflict(
            "JWT_SECRET",
            "holds a public key, with which anybody who knows it could make tokens; JWT_PUBLIC_KEY_PATH names a file of such keys",
        );
    }
    match (given, mode) {
        (None, Mode::Production) if !has_public_keys => reader.conflict(
            "JWT_SECRET",
            "NODE_ENV=production needs it (`openssl rand -base64 32` makes one), or the public keys of an identity \
             provider: JWT_JWKS_URL or JWT_PUBLIC_KEY_PATH",
        ),
        (Some(secret), Mode::Production) if secret.expose_secret().len() < SECRET_BYTES_MIN => {
            warnings.push(format!(
                "JWT_SECRET is shorter than {SECRET_BYTES_MIN} bytes and may be guessed from any one token"
            ));
        }
        (Some(_), Mode::Development) => warnings.push(
            "NODE_ENV=development: the demo page hands a token for any user to whoever reaches this port; \
             NODE_ENV=production turns that off"
                .into(),
        ),
        (Some(_) | None, Mode::Production) | (None, Mode::Development) => {}
    }
}

/// Whether the text is PEM of what is not secret. Libraries that choose the algorithm by the key take either in one setting.
fn is_public(secret: &str) -> bool {
    ["PUBLIC KEY", "CERTIFICATE"].iter().any(|label| secret.contains(&format!("{label}-----")))
}

fn generated_secret() -> SecretString {
    let mut bytes = [0; SECRET_BYTES_MIN];
    rand::rngs::OsRng.fill_bytes(&mut bytes);
    STANDARD_NO_PAD.encode(bytes).into()
}

fn key_file(reader: &mut Reader) -> Vec<PublicKey> {
    let Some(path) = reader.text("JWT_PUBLIC_KEY_PATH") else {
        return Vec::new();
    };
    public_keys(&path).unwrap_or_else(|problem| {
        reader.conflict("JWT_PUBLIC_KEY_PATH", problem);
        Vec::new()
    })
}

fn texts(reader: &mut Reader, name: &str) -> Vec<String> {
    let list = |text: &str, _| {
        let list: Vec<String> = comma_list(text).map(str::to_owned).collect();
        (!list.is_empty()).then_some(list)
    };
    reader.parsed(name, list).unwrap_or_default()
}

/// The algorithms that count: as listed, or what fits the keys there are.
fn algorithms(reader: &mut Reader, has_secret: bool, has_public_keys: bool) -> Vec<&'static str> {
    let list = |text: &str, kind| {
        let Kind::Choices(words) = kind else { return None };
        let known = |item: &str| words.iter().copied().find(|word| item.eq_ignore_ascii_case(word));
        let list: Vec<_> = comma_list(text).map(known).collect::<Option<_>>()?;
        (!list.is_empty()).then_some(list)
    };
    let Some(listed) = reader.parsed("JWT_ALGORITHMS", list) else {
        let of = |counts: bool, algorithms: &'static [&'static str]| if counts { algorithms } else { &[] };
        return [of(has_secret, HMAC_ALGORITHMS), of(has_public_keys, USUAL_ALGORITHMS)].concat();
    };
    let (with_secret, with_key): (Vec<&str>, Vec<&str>) =
        listed.iter().partition(|name| HMAC_ALGORITHMS.contains(name));
    let public_only = ALGORITHMS.iter().filter(|name| !HMAC_ALGORITHMS.contains(name));
    match (has_secret, with_secret.is_empty()) {
        (true, true) => reader.conflict(
            "JWT_ALGORITHMS",
            format!("has none of {}, so no token of JWT_SECRET would be accepted", HMAC_ALGORITHMS.join(", ")),
        ),
        (false, false) => {
            reader.conflict("JWT_ALGORITHMS", format!("has {}, which needs JWT_SECRET", with_secret.join(", ")));
        }
        (true, false) | (false, true) => {}
    }
    match (has_public_keys, with_key.is_empty()) {
        (true, true) => reader.conflict(
            "JWT_ALGORITHMS",
            format!(
                "has none of {}, so no token of a public key would be accepted",
                public_only.copied().collect::<Vec<_>>().join(", ")
            ),
        ),
        (false, false) => reader.conflict(
            "JWT_ALGORITHMS",
            format!("has {}, which needs JWT_JWKS_URL or JWT_PUBLIC_KEY_PATH", with_key.join(", ")),
        ),
        (true, false) | (false, true) => {}
    }
    listed
}

/// An identity provider signs tokens for others than this server, too.
fn foreign_tokens(reader: &mut Reader, url: &Url, warnings: &mut Vec<String>) {
    let missing: Vec<_> = ["JWT_ISSUER", "JWT_AUDIENCE"].into_iter().filter(|name| !reader.is_given(name)).collect();
    let path = percent_decode_str(url.path()).decode_utf8_lossy();
    if path.contains(FIREBASE_SIGNER) {
        for name in missing {
            reader.conflict(
                name,
                "is needed with the keys of Firebase, which sign the tokens of all projects of everybody; for project \
                 P set JWT_ISSUER=https://securetoken.google.com/P and JWT_AUDIENCE=P",
            );
        }
    } else if !missing.is_empty() {
        warnings.push(format!(
            "{} {} not set: A TOKEN THAT THE IDENTITY PROVIDER HAS MADE FOR ANOTHER APP IS GOOD HERE TOO",
            missing.join(" and "),
            if missing.len() == 1 { "is" } else { "are" }
        ));
    }
}

#[cfg(test)]
mod tests;
