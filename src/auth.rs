//! Tokens: who is it that connects? Nobody else reads a token.
//!
//! A token is a JWT; it names a user by its claim `userId`, or else `sub`. It is signed with the shared HMAC secret, or with a key whose
//! public half is known here, from a file or from an identity provider; the two kinds never meet. Time is the [`Clock`]'s. Whether a
//! connection without a token is let in all the same is for the socket to say.

mod call_token;
mod examination;
mod handshake;
mod key_server;
mod keys;
mod provider;
mod schedule;
mod secrets;

use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily, Header, dangerous, decode_header};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::auth::key_server::KeyServer;
use crate::auth::keys::{VerifyingKey, claims_unread};
use crate::auth::provider::{LEEWAY, Provider, Sought};
use crate::auth::secrets::Secrets;
use crate::clock::{Clock, Timestamp};
use crate::config::AuthConfig;
use crate::ids::UserId;

pub use call_token::CallTokens;
pub use handshake::{HandshakeToken, handshake_schema, token_from_handshake};

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

/// How long a request may wait for a key that has to be fetched: less than a client waits for its answer.
pub const KEY_PATIENCE: Duration = Duration::from_secs(2);

/// Who a token names, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// The first moment at which the token is no longer good; `None` if it never expires.
    pub expires_at: Option<Timestamp>,
}

/// Why a token was refused. Displayed, these are the messages of the wire contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token.
    #[error("Authentication required")]
    Missing,
    /// It is not a token, is not signed with a key of ours, is not meant for us, or names nobody.
    #[error("Invalid token")]
    Invalid,
    /// It was good once.
    #[error("Token expired")]
    Expired,
    /// It will be good later (`nbf`).
    #[error("Authentication failed")]
    NotYetValid,
    /// The key it is signed with may exist, but could not be fetched. The same token may be good a moment later.
    #[error("Temporarily unavailable")]
    Unavailable,
}

impl AuthError {
    /// Those that are final: the others go away by themselves.
    pub const REFUSALS: [Self; 4] = [Self::Missing, Self::Invalid, Self::Expired, Self::NotYetValid];
}

type Claims = Map<String, Value>;

/// Checks tokens, and makes those of the demo page and the command line.
pub struct Authenticator {
    secret: Option<Secrets>,
    public: Option<PublicKeys>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    clock: Clock,
}

/// The keys that only somebody else can sign with.
struct PublicKeys {
    allowed: Vec<Algorithm>,
    from_file: Vec<VerifyingKey>,
    provider: Option<Provider>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MintedClaims<'a> {
    user_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    iat: u64,
    exp: u64,
}

impl Authenticator {
    /// An authenticator for tokens that are signed as configured.
    pub fn new(config: &AuthConfig, clock: Clock) -> Self {
        let known = config.algorithms.iter().filter_map(|name| name.parse::<Algorithm>().ok());
        let (hmac, allowed): (Vec<_>, Vec<_>) = known.partition(|it| it.family() == AlgorithmFamily::Hmac);
        let secret = config.secret.as_ref().map(|secret| Secrets::new(secret, claims_unread(hmac), clock));
        let from_file = config.public_keys.iter().filter_map(|key| VerifyingKey::from_file(key, &allowed)).collect();
        let key_server = config.keys_url.as_ref().map(|url| KeyServer::new(url.clone(), allowed.clone()));
        let provider = key_server.map(|server| Provider::new(server, clock));
        let has_public_keys = provider.is_some() || !config.public_keys.is_empty();
        Self {
            secret,
            public: has_public_keys.then_some(PublicKeys { allowed, from_file, provider }),
            issuers: config.issuers.clone(),
            audiences: config.audiences.clone(),
            clock,
        }
    }

    /// Who `token` names. Where the key it is signed with has to be fetched first, that is waited for as long as `patience` lasts.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn authenticate(&self, token: Option<&str>, patience: Duration) -> Result<Identity, AuthError> {
        let token = token.ok_or(AuthError::Missing)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(invalid("it is too long"));
        }
        let header = decode_header(token).map_err(|_| invalid("it is no JWT with an algorithm that is known"))?;
        // RFC 7515, section 4.1.11: what must be understood, and is not, makes a token invalid.
        if header.crit.is_some() {
            return Err(invalid("its header has `crit`"));
        }
        if header.alg.family() == AlgorithmFamily::Hmac {
            let secret =
                self.secret.as_ref().ok_or_else(|| invalid("it is signed with a secret, and there is none"))?;
            let claims = secret.claims(token)?;
            // Beside an identity provider, what is said about issuer and audience is said about that.
            if self.public.is_none() {
                self.check_for_us(&claims)?;
            }
            return self.identity(&claims, Duration::ZERO);
        }
        let public =
            self.public.as_ref().ok_or_else(|| invalid("it is signed with a public key, and there is none"))?;
        let claims = public.claims(token, &header, patience).await?;
        self.check_for_us(&claims)?;
        // One that never expires could not be taken back: keys are replaced, not withdrawn.
        if !claims.contains_key("exp") {
            return Err(invalid("it has no `exp`"));
        }
        self.identity(&claims, LEEWAY)
    }

    /// Who the token of a handshake names.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn authenticate_handshake(
        &self,
        token: &HandshakeToken,
        patience: Duration,
    ) -> Result<Identity, AuthError> {
        match token {
            HandshakeToken::Missing => Err(AuthError::Missing),
            HandshakeToken::Malformed => Err(AuthError::Invalid),
            HandshakeToken::Token(token) => self.authenticate(Some(token), patience).await,
        }
    }

    /// Whether there is anybody who could be let in: not while all keys are still to be fetched.
    pub fn has_keys(&self) -> bool {
        let has = |public: &PublicKeys| {
            !public.from_file.is_empty() || public.provider.as_ref().is_some_and(Provider::has_keys)
        };
        self.secret.is_some() || self.public.as_ref().is_some_and(has)
    }

    /// Signs with this secret from here on. The one before is good for a while yet: whoever makes tokens may hear of the new one later.
    /// Without a secret so far nothing changes.
    pub fn rotate(&self, secret: &SecretString) {
        if let Some(secrets) = &self.secret {
            secrets.rotate(secret);
        }
    }

    /// Fetches the keys of the identity provider, if there is one, whenever it is time, until the node stops.
    pub async fn keep_keys(&self, stopping: CancellationToken) {
        if let Some(provider) = self.public.as_ref().and_then(|public| public.provider.as_ref()) {
            provider.keep(stopping).await;
        }
    }

    /// A token for `user` that expires after `lifetime`, rounded up to whole seconds; `None` where there is no secret, and so only
    /// others make tokens.
    pub fn mint(&self, user: &UserId, lifetime: Duration) -> Option<String> {
        let secret = self.secret.as_ref()?;
        let now = self.clock.now();
        let claims = MintedClaims {
            user_id: user.as_str(),
            iss: self.issuers.first().map(String::as_str),
            aud: self.audiences.first().map(String::as_str),
            iat: now.0 / 1000,
            exp: now.plus(lifetime).0.div_ceil(1000),
        };
        secret.sign(&claims)
    }

    fn check_for_us(&self, claims: &Claims) -> Result<(), AuthError> {
        let one_of = |wanted: &[String], value: &Value| value.as_str().is_some_and(|it| wanted.iter().any(|w| w == it));
        let is_from = self.issuers.is_empty() || claims.get("iss").is_some_and(|iss| one_of(&self.issuers, iss));
        let is_to = self.audiences.is_empty()
            || claims.get("aud").is_some_and(|aud| match aud {
                Value::Array(list) => list.iter().any(|aud| one_of(&self.audiences, aud)),
                aud => one_of(&self.audiences, aud),
            });
        match (is_from, is_to) {
            (true, true) => Ok(()),
            (false, _) => Err(invalid("its `iss` is not JWT_ISSUER")),
            (true, false) => Err(invalid("its `aud` is not JWT_AUDIENCE")),
        }
    }

    /// Who is named by claims that are true; `leeway` is by how much the clock of who made them may be ahead.
    fn identity(&self, claims: &Claims, leeway: Duration) -> Result<Identity, AuthError> {
        let now = self.clock.now();
        let of = |name| moment(claims, name).map_err(|NotAMoment| invalid("its `nbf` or `exp` is no number"));
        if of("nbf")?.is_some_and(|not_before| now.plus(leeway) < not_before) {
            return Err(AuthError::NotYetValid);
        }
        let expires_at = of("exp")?;
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(AuthError::Expired);
        }
        let user = named_user(claims).ok_or_else(|| invalid("neither `userId` nor `sub` is the id of a user"))?;
        Ok(Identity { user, expires_at })
    }
}

impl PublicKeys {
    /// The claims of a token with this header, if one of these keys has signed it. Keys and addresses of keys that stand in the header are
    /// nothing to go by.
    async fn claims(&self, token: &str, header: &Header, patience: Duration) -> Result<Claims, AuthError> {
        if !self.allowed.contains(&header.alg) {
            return Err(invalid("its algorithm is not one of JWT_ALGORITHMS"));
        }
        let mut fitting = self.from_file.iter().filter(|key| key.fits(header.alg));
        if let Some(claims) = fitting.find_map(|key| key.verify(token)) {
            return Ok(claims);
        }
        let unknown = || invalid("none of the keys has signed it");
        let provider = self.provider.as_ref().ok_or_else(unknown)?;
        let unverified: Option<Claims> = dangerous::insecure_decode_claims(token).ok();
        let made_at = unverified.and_then(|claims| moment(&claims, "iat").ok().flatten());
        let sought = Sought { name: header.kid.as_deref(), algorithm: header.alg, made_at };
        provider.key(sought, patience).await?.verify(token).ok_or_else(unknown)
    }
}

/// An invalid token. The client is told no more; why stands in the log, where the operator has asked for it.
fn invalid(why: &'static str) -> AuthError {
    tracing::debug!(why, "a token is refused");
    AuthError::Invalid
}

/// The user the claims name: `userId`, or `sub` where that is absent or empty.
fn named_user(claims: &Claims) -> Option<UserId> {
    match claims.get("userId") {
        None | Some(Value::Null) => {}
        Some(Value::String(user)) if user.is_empty() => {}
        Some(Value::String(user)) => return UserId::parse(user),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return None;
        }
    }
    UserId::parse(claims.get("sub")?.as_str()?)
}

/// A claim that is no number.
struct NotAMoment;

/// The moment a claim names in seconds since the epoch, fractions allowed; `None` if it is absent.
fn moment(claims: &Claims, name: &str) -> Result<Option<Timestamp>, NotAMoment> {
    let Some(claim) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = claim.as_f64().ok_or(NotAMoment)?;
    // A float-to-integer cast saturates: before the epoch is 0, and after the year 584 million is the end of time.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(Some(Timestamp((seconds * 1000.0) as u64)))
}

#[cfg(test)]
mod public_key_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
