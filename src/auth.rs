//! Tokens: who is it that connects? Nobody else reads a token.
//!
//! A token is a JWT signed with the shared HMAC secret; it names a user by its claim `userId`, or else `sub`.
//! Time is the [`Clock`]'s. Whether a connection without a token is let in all the same is for the socket to say.

mod call_token;
mod handshake;

use std::time::Duration;

use jsonwebtoken::{AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::{Clock, Timestamp};
use crate::config::AuthConfig;
use crate::ids::UserId;

pub use call_token::CallTokens;
pub use handshake::{HandshakeToken, token_from_handshake};

/// Longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

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
    /// It is not a token, is not signed with our secret, or names nobody.
    #[error("Invalid token")]
    Invalid,
    /// It was good once.
    #[error("Token expired")]
    Expired,
    /// It will be good later (`nbf`).
    #[error("Authentication failed")]
    NotYetValid,
}

/// Checks tokens, and makes those of the demo page and the command line.
pub struct Authenticator {
    decoding_key: DecodingKey,
    encoding_key: EncodingKey,
    validation: Validation,
    clock: Clock,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MintedClaims<'a> {
    user_id: &'a str,
    iat: u64,
    exp: u64,
}

impl Authenticator {
    /// An authenticator for tokens signed with the configured secret.
    pub fn new(config: &AuthConfig, clock: Clock) -> Self {
        let secret = config.secret.expose_secret().as_bytes();
        let mut validation = Validation::new_for_family(AlgorithmFamily::Hmac);
        // The library would judge by the system's clock, and `aud` was never part of the contract.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        Self {
            decoding_key: DecodingKey::from_secret(secret),
            encoding_key: EncodingKey::from_secret(secret),
            validation,
            clock,
        }
    }

    /// Who `token` names.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn authenticate(&self, token: Option<&str>) -> Result<Identity, AuthError> {
        let token = token.ok_or(AuthError::Missing)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AuthError::Invalid);
        }
        let claims = decode::<Map<String, Value>>(token, &self.decoding_key, &self.validation)
            .map_err(|_| AuthError::Invalid)?
            .claims;
        let now = self.clock.now();
        if moment(&claims, "nbf")?.is_some_and(|not_before| now < not_before) {
            return Err(AuthError::NotYetValid);
        }
        let expires_at = moment(&claims, "exp")?;
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(AuthError::Expired);
        }
        let user = named_user(&claims).ok_or(AuthError::Invalid)?;
        Ok(Identity { user, expires_at })
    }

    /// Who the token of a handshake names.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn authenticate_handshake(&self, token: &HandshakeToken) -> Result<Identity, AuthError> {
        match token {
            HandshakeToken::Missing => Err(AuthError::Missing),
            HandshakeToken::Malformed => Err(AuthError::Invalid),
            HandshakeToken::Token(token) => self.authenticate(Some(token)),
        }
    }

    /// A token for `user` that expires after `lifetime`, rounded up to whole seconds.
    pub fn mint(&self, user: &UserId, lifetime: Duration) -> String {
        let now = self.clock.now();
        let claims =
            MintedClaims { user_id: user.as_str(), iat: now.0 / 1000, exp: now.plus(lifetime).0.div_ceil(1000) };
        // Fails for a key that is not an HMAC key, or claims that are not JSON: both are fixed above.
        encode(&Header::default(), &claims, &self.encoding_key).expect("an HMAC key signs HS256")
    }
}

/// The user the claims name: `userId`, or `sub` where that is absent or empty.
fn named_user(claims: &Map<String, Value>) -> Option<UserId> {
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

/// The moment a claim names in seconds since the epoch, fractions allowed; `None` if it is absent.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, AuthError> {
    let Some(claim) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = claim.as_f64().ok_or(AuthError::Invalid)?;
    // A float-to-integer cast saturates: before the epoch is 0, and after the year 584 million is the end of time.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(Some(Timestamp((seconds * 1000.0) as u64)))
}

#[cfg(test)]
mod tests;
