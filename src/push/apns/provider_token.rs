//! The token by which Apple knows whose messages these are: signed here, good for an hour, and not to be changed more often than
//! every 20 minutes.
//! <https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::{Clock, Timestamp};
use crate::config::ApnsConfig;
use crate::outbound::header::HeaderValue;

/// Apple wants it between 20 and 60 minutes.
const RENEWED_AFTER: Duration = Duration::from_secs(45 * 60);
const RENEWED_AT_MOST_EVERY: Duration = Duration::from_secs(20 * 60);

/// A token as it is sent.
#[derive(Debug)]
pub(super) struct ProviderToken {
    /// `bearer …`; marked as sensitive, so that `Debug` does not show it.
    pub(super) header: HeaderValue,
    made_at: Timestamp,
}

/// Makes them, each good for all messages of its time.
pub(super) struct ProviderTokens {
    key: EncodingKey,
    key_id: String,
    team_id: String,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<ProviderToken>>,
    /// When one was last made before its time.
    hurried_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl ProviderTokens {
    pub(super) fn new(config: &ApnsConfig, clock: Clock) -> Self {
        let ApnsConfig { key, key_id, team_id, .. } = config.clone();
        Self { key, key_id, team_id, clock, state: Mutex::default() }
    }

    /// The token of this moment; `None` if the key cannot sign.
    pub(super) fn current(&self) -> Option<Arc<ProviderToken>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if let Some(token) = state.current.as_ref().filter(|token| now < token.made_at.plus(RENEWED_AFTER)) {
            return Some(token.clone());
        }
        let token = Arc::new(self.make(now)?);
        state.current = Some(token.clone());
        Some(token)
    }

    /// Apple says that `token` has expired: the next one is new. `false` if one was made for this reason a short time ago: the
    /// clock must be wrong, and Apple refuses those who change their token too often.
    pub(super) fn renew(&self, token: &Arc<ProviderToken>) -> bool {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.current.as_ref().is_some_and(|current| !Arc::ptr_eq(current, token)) {
            return true;
        }
        if state.hurried_at.is_some_and(|at| now < at.plus(RENEWED_AT_MOST_EVERY)) {
            return false;
        }
        *state = State { current: None, hurried_at: Some(now) };
        true
    }

    fn make(&self, now: Timestamp) -> Option<ProviderToken> {
        let header = Header { kid: Some(self.key_id.clone()), ..Header::new(Algorithm::ES256) };
        let claims = Claims { iss: &self.team_id, iat: now.0 / 1000 };
        let token = encode(&header, &claims, &self.key).ok()?;
        let mut header = HeaderValue::try_from(format!("bearer {token}")).ok()?;
        header.set_sensitive(true);
        Some(ProviderToken { header, made_at: now })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::push::testing::apns_config;

    const MINUTE: u64 = 60_000;

    #[test]
    fn a_token_lasts_three_quarters_of_an_hour() {
        let (clock, hand) = Clock::set_by_hand(Timestamp(1_700_000_000_000));
        let tokens = ProviderTokens::new(&apns_config(), clock);
        let first = tokens.current().unwrap();
        hand.fetch_add(45 * MINUTE - 1, Ordering::SeqCst);
        assert!(Arc::ptr_eq(&tokens.current().unwrap(), &first));
        hand.fetch_add(1, Ordering::SeqCst);
        let second = tokens.current().unwrap();
        assert!(!Arc::ptr_eq(&second, &first) && second.header != first.header);
        assert!(!format!("{second:?}").contains("ey"), "it is not shown");
    }

    #[test]
    fn one_that_apple_calls_expired_is_renewed_once_in_twenty_minutes() {
        let (clock, hand) = Clock::set_by_hand(Timestamp(1_700_000_000_000));
        let tokens = ProviderTokens::new(&apns_config(), clock);
        let first = tokens.current().unwrap();
        assert!(tokens.renew(&first));
        let second = tokens.current().unwrap();
        assert!(tokens.renew(&first), "others who had the first one go on with the second");
        assert!(Arc::ptr_eq(&tokens.current().unwrap(), &second));
        hand.fetch_add(20 * MINUTE - 1, Ordering::SeqCst);
        assert!(!tokens.renew(&second));
        hand.fetch_add(1, Ordering::SeqCst);
        assert!(tokens.renew(&second));
    }
}
