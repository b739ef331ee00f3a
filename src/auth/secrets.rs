//! The HMAC secret that tokens are signed with, and for a while the ones before it.

use std::time::Duration;

use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, decode, encode};
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::auth::{AuthError, Claims, invalid};
use crate::clock::{Clock, Timestamp};

/// How long a secret is good after another one has come: nodes and whoever makes tokens do not hear of it at the same moment, and apps
/// hold tokens.
pub(super) const ACCEPTED_FOR: Duration = Duration::from_secs(3600);
/// Most earlier secrets that are good at a time; of more, the oldest are forgotten at once.
pub(super) const EARLIER_MAX: usize = 3;

/// The secrets.
pub(super) struct Secrets {
    keys: RwLock<Rotating<Keys>>,
    validation: Validation,
    clock: Clock,
}

struct Keys {
    secret: SecretString,
    decoding_key: DecodingKey,
    encoding_key: EncodingKey,
}

impl Keys {
    fn new(secret: &SecretString) -> Self {
        let bytes = secret.expose_secret().as_bytes();
        Self {
            secret: secret.clone(),
            decoding_key: DecodingKey::from_secret(bytes),
            encoding_key: EncodingKey::from_secret(bytes),
        }
    }
}

impl Secrets {
    /// `validation` says by which algorithms.
    pub(super) fn new(secret: &SecretString, validation: Validation, clock: Clock) -> Self {
        Self { keys: RwLock::new(Rotating::new(Keys::new(secret))), validation, clock }
    }

    /// Signs with `secret` from here on.
    pub(super) fn rotate(&self, secret: &SecretString) {
        let mut keys = self.keys.write();
        if keys.present.secret.expose_secret() != secret.expose_secret() {
            keys.rotate(Keys::new(secret), self.clock.now());
        }
    }

    /// A token with these claims, signed with the present secret.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Option<String> {
        let algorithm = *self.validation.algorithms.first()?;
        encode(&Header::new(algorithm), claims, &self.keys.read().present.encoding_key).ok()
    }

    /// The claims of `token`, if one of the secrets has signed it.
    pub(super) fn claims(&self, token: &str) -> Result<Claims, AuthError> {
        let keys = self.keys.read();
        let signed =
            keys.good_at(self.clock.now()).find_map(|keys| decode(token, &keys.decoding_key, &self.validation).ok());
        let why = "it is signed with another secret, or by an algorithm that is not allowed";
        Ok(signed.ok_or_else(|| invalid(why))?.claims)
    }
}

/// A value, and those before it for as long as they are good.
pub(super) struct Rotating<T> {
    pub(super) present: T,
    /// The latest first, each with the moment from which on it is good no more.
    earlier: Vec<(T, Timestamp)>,
}

impl<T> Rotating<T> {
    pub(super) fn new(present: T) -> Self {
        Self { present, earlier: Vec::new() }
    }

    pub(super) fn rotate(&mut self, next: T, now: Timestamp) {
        let before = std::mem::replace(&mut self.present, next);
        self.earlier.insert(0, (before, now.plus(ACCEPTED_FOR)));
        self.earlier.truncate(EARLIER_MAX);
    }

    /// What is good, the present one first.
    pub(super) fn good_at(&self, now: Timestamp) -> impl Iterator<Item = &T> {
        let earlier = self.earlier.iter().filter(move |(_, until)| now < *until).map(|(value, _)| value);
        std::iter::once(&self.present).chain(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Authenticator;
    use crate::config::Config;
    use crate::ids::UserId;

    const LIFETIME: Duration = Duration::from_secs(86_400);

    #[tokio::test(start_paused = true)]
    async fn an_earlier_secret_is_good_for_an_hour() {
        let clock = Clock::following_tokio(Timestamp(1_700_000_000_000));
        let tokens = Authenticator::new(&Config::from_vars([("JWT_SECRET", "first")]).unwrap().auth, clock);
        let user = UserId::parse("alice").unwrap();
        let mint = || tokens.mint(&user, LIFETIME).unwrap();
        let is_good = async |token: &str| tokens.authenticate(Some(token), Duration::ZERO).await.is_ok();
        let first = mint();
        tokens.rotate(&"second".into());
        tokens.rotate(&"second".into());
        let second = mint();
        let nearly = Duration::from_secs(3599);
        tokio::time::advance(nearly).await;
        assert!(is_good(&first).await && is_good(&second).await);
        tokio::time::advance(ACCEPTED_FOR.saturating_sub(nearly)).await;
        assert!(!is_good(&first).await && is_good(&second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn not_many_are_good_at_a_time() {
        let clock = Clock::following_tokio(Timestamp(1_700_000_000_000));
        let tokens = Authenticator::new(&Config::from_vars([("JWT_SECRET", "first")]).unwrap().auth, clock);
        let user = UserId::parse("alice").unwrap();
        let first = tokens.mint(&user, LIFETIME).unwrap();
        for (at, secret) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let is_good = tokens.authenticate(Some(&first), Duration::ZERO).await.is_ok();
            assert_eq!(is_good, at <= EARLIER_MAX, "after {at} changes");
            tokens.rotate(&secret.into());
        }
        assert!(tokens.authenticate(Some(&first), Duration::ZERO).await.is_err());
    }
}
