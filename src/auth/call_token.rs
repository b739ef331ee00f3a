//! Tokens that let whoever holds them ask how one call stands, and nothing else: they travel in push messages, to apps that have to
//! know before they ring and have not connected yet.
//!
//! `<unix seconds of expiry>.<base64url(HMAC-SHA256(key, call id and expiry))>`. The key is derived from the configured secret,
//! so that neither kind of token can be taken for the other.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::auth::AuthError;
use crate::auth::secrets::Rotating;
use crate::clock::{Clock, Timestamp};
use crate::ids::CallId;

/// How long a call can be asked about after it has stopped ringing: as long as it is remembered.
const VALID_AFTER_RINGING: Duration = Duration::from_secs(60);
/// What sets the key apart from the secret it is made of.
const PURPOSE: &[u8] = b"switchboard: how a call stands";

/// Makes and checks them.
#[derive(Clone)]
pub struct CallTokens {
    keys: Arc<RwLock<Rotating<Hmac<Sha256>>>>,
    clock: Clock,
}

impl fmt::Debug for CallTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallTokens")
    }
}

impl CallTokens {
    /// Tokens of all nodes with the same secret.
    pub fn new(secret: &SecretString, clock: Clock) -> Self {
        Self { keys: Arc::new(RwLock::new(Rotating::new(key_of(secret)))), clock }
    }

    /// Signs with this secret from here on; the one before is good for a while yet.
    pub fn rotate(&self, secret: &SecretString) {
        self.keys.write().rotate(key_of(secret), self.clock.now());
    }

    /// A token for a call that rings until then.
    pub fn mint(&self, call: CallId, rings_until: Timestamp) -> String {
        let expiry = rings_until.plus(VALID_AFTER_RINGING).0.div_ceil(1000);
        format!(
            "{expiry}.{}",
            URL_SAFE_NO_PAD.encode(signing(&self.keys.read().present, call, expiry).finalize().into_bytes())
        )
    }

    /// Whether `token` lets its holder ask about `call`.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], or [`AuthError::Expired`].
    pub fn check(&self, call: CallId, token: &str) -> Result<(), AuthError> {
        let (expiry, signature) = token.split_once('.').ok_or(AuthError::Invalid)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| AuthError::Invalid)?;
        let seconds: u64 = expiry.parse().map_err(|_| AuthError::Invalid)?;
        let now = self.clock.now();
        let has_signed = |key: &Hmac<Sha256>| signing(key, call, seconds).verify_slice(&signature).is_ok();
        if !self.keys.read().good_at(now).any(has_signed) {
            return Err(AuthError::Invalid);
        }
        if now.0 / 1000 < seconds { Ok(()) } else { Err(AuthError::Expired) }
    }
}

fn signing(key: &Hmac<Sha256>, call: CallId, expiry: u64) -> Hmac<Sha256> {
    key.clone().chain_update(format!("{call}.{expiry}"))
}

fn key_of(secret: &SecretString) -> Hmac<Sha256> {
    keyed(&keyed(secret.expose_secret().as_bytes()).chain_update(PURPOSE).finalize().into_bytes())
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104, section 3), so there is no error to handle.
    Hmac::new_from_slice(key).expect("HMAC takes any key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_for_its_call_while_that_is_remembered() {
        let clock = Clock::following_tokio(Timestamp(1_700_000_000_000));
        let tokens = CallTokens::new(&"secret".into(), clock);
        let (call, other) = (CallId::from_u128(1), CallId::from_u128(2));
        let token = tokens.mint(call, clock.now().plus(Duration::from_secs(45)));
        assert_eq!(tokens.check(call, &token), Ok(()));
        assert_eq!(CallTokens::new(&"secret".into(), clock).check(call, &token), Ok(()), "another node");
        assert_eq!(tokens.check(other, &token), Err(AuthError::Invalid));
        assert_eq!(CallTokens::new(&"other".into(), clock).check(call, &token), Err(AuthError::Invalid));
        let stretched = token.replacen("17", "18", 1);
        for forged in [stretched.as_str(), "", ".", "1700000105.", "x.y", &token[..token.len() - 1]] {
            assert_eq!(tokens.check(call, forged), Err(AuthError::Invalid), "{forged}");
        }
        tokens.rotate(&"another".into());
        assert_eq!(tokens.check(call, &token), Ok(()), "the secret before is good for a while");
        let fresh = tokens.mint(call, clock.now().plus(Duration::from_secs(45)));
        assert_eq!(CallTokens::new(&"another".into(), clock).check(call, &fresh), Ok(()));
        tokio::time::advance(Duration::from_secs(104)).await;
        assert_eq!(tokens.check(call, &token), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(tokens.check(call, &token), Err(AuthError::Expired));
    }
}
