//! Access tokens for Google: one at a time, renewed before it runs out, fetched once however many messages wait for it.
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::clock::{Clock, Timestamp};
use crate::config::FcmConfig;
use crate::outbound::header::{HeaderMap, HeaderValue};
use crate::push::Outcome;
use crate::push::connection::{Connection, Reply};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The longest that Google takes.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(3600);
/// Assertions are dated back by this, for clocks that are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(10);
/// A token this close to its end may have run out when it arrives.
const LAST_MOMENTS: Duration = Duration::from_secs(10);
/// How long a failure stands for those who wait behind it: short where the service is in trouble, longer where it says no.
const TROUBLE_STANDS: Duration = Duration::from_secs(1);
const REFUSAL_STANDS: Duration = Duration::from_secs(10);

/// A token as it is sent.
#[derive(Debug)]
pub(super) struct Access {
    /// `Bearer …`; marked as sensitive, so that `Debug` does not show it.
    pub(super) header: HeaderValue,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

/// The access tokens of one service account.
pub(super) struct AccessTokens {
    source: Arc<Source>,
    /// The last one that was begun beside messages, which have a good token.
    renewal: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Where they come from.
struct Source {
    client_email: String,
    key_id: Option<String>,
    key: EncodingKey,
    token_uri: Url,
    connection: Connection,
    clock: Clock,
    current: Mutex<Option<Arc<Access>>>,
    /// Held by who fetches one; until when the last failure stands, and what it was.
    fetching: tokio::sync::Mutex<Option<(Timestamp, Outcome)>>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'static str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl AccessTokens {
    pub(super) fn new(config: &FcmConfig, clock: Clock) -> Self {
        let source = Arc::new(Source {
            client_email: config.client_email.clone(),
            key_id: config.key_id.clone(),
            key: config.key.clone(),
            token_uri: config.token_uri.clone(),
            connection: Connection::new(&config.token_uri, clock),
            clock,
            current: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        });
        Self { source, renewal: Mutex::default() }
    }

    /// A token that is good at this moment. It is waited for only where there is none.
    ///
    /// # Errors
    /// What becomes of the message that there is none for.
    pub(super) async fn current(&self) -> Result<Arc<Access>, Outcome> {
        let now = self.source.clock.now();
        let Some(access) = self.source.usable(now) else {
            return self.source.renewed().await;
        };
        if now >= access.renew_at {
            self.renew_beside();
        }
        Ok(access)
    }

    /// Fetches the next token, unless that is done already. If it fails, the next message has it tried again.
    fn renew_beside(&self) {
        let mut renewal = self.renewal.lock();
        if renewal.as_ref().is_none_or(AbortOnDropHandle::is_finished) {
            let source = self.source.clone();
            let renewed = async move { drop(source.renewed().await) };
            *renewal = Some(AbortOnDropHandle::new(tokio::spawn(renewed)));
        }
    }

    /// The service does not take this token: the next one that is asked for is new.
    pub(super) fn reject(&self, access: &Arc<Access>) {
        let mut current = self.source.current.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, access)) {
            *current = None;
        }
    }
}

impl Source {
    /// A token that is not to be renewed yet.
    async fn renewed(&self) -> Result<Arc<Access>, Outcome> {
        let mut failure = self.fetching.lock().await;
        // Who waited finds what the one before has found.
        let now = self.clock.now();
        if let Some(access) = self.usable(now).filter(|access| now < access.renew_at) {
            return Ok(access);
        }
        if let Some((until, outcome)) = *failure
            && now < until
        {
            return Err(outcome);
        }
        let fetched = self.fetch().await;
        *failure = None;
        match &fetched {
            Ok(access) => *self.current.lock() = Some(access.clone()),
            Err(outcome) => {
                let stands = match outcome {
                    Outcome::Refused { .. } => REFUSAL_STANDS,
                    Outcome::Sent | Outcome::TokenDead { .. } | Outcome::Retry { .. } => TROUBLE_STANDS,
                };
                *failure = Some((self.clock.now().plus(stands), *outcome));
            }
        }
        fetched
    }

    fn usable(&self, now: Timestamp) -> Option<Arc<Access>> {
        self.current.lock().clone().filter(|access| now.plus(LAST_MOMENTS) < access.expires_at)
    }

    async fn fetch(&self) -> Result<Arc<Access>, Outcome> {
        let assertion = self.assertion().await?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        let asked_at = self.clock.now();
        let content = "application/x-www-form-urlencoded";
        let reply = self.connection.post(self.token_uri.clone(), content, HeaderMap::new(), form.into_bytes()).await;
        let reply = reply.map_err(|lost| Outcome::later(lost.0, None))?;
        granted(&reply, asked_at).map(Arc::new)
    }

    /// Signing with RSA takes milliseconds, so the other messages do not wait for it.
    async fn assertion(&self) -> Result<String, Outcome> {
        let iat = self.clock.now().0.saturating_sub(u64::try_from(CLOCK_SKEW.as_millis()).unwrap_or_default()) / 1000;
        let claims = Claims {
            iss: &self.client_email,
            scope: SCOPE,
            aud: self.token_uri.as_str(),
            iat,
            exp: iat + ASSERTION_LIFETIME.as_secs(),
        };
        let claims = serde_json::to_value(claims).unwrap_or_default();
        let header = Header { kid: self.key_id.clone(), ..Header::new(Algorithm::RS256) };
        let key = self.key.clone();
        let signed = tokio::task::spawn_blocking(move || encode(&header, &claims, &key)).await;
        signed.ok().and_then(Result::ok).ok_or(Outcome::alert("the key of the service account cannot sign"))
    }
}

/// What the token endpoint has answered to what it was asked at `asked_at`.
fn granted(reply: &Reply, asked_at: Timestamp) -> Result<Access, Outcome> {
    match reply.status {
        200 => {}
        408 | 429 | 500.. => {
            return Err(Outcome::later("no access token: the service is in trouble", reply.retry_after));
        }
        _ => {
            return Err(Outcome::alert(
                "no access token: the service account is refused; is its key still valid, and the clock right?",
            ));
        }
    }
    let unreadable = Outcome::later("no access token: the answer cannot be read", None);
    let Granted { access_token, expires_in } = serde_json::from_slice(&reply.body).map_err(|_| unreadable)?;
    let mut header = HeaderValue::try_from(format!("Bearer {access_token}")).map_err(|_| unreadable)?;
    header.set_sensitive(true);
    let lifetime = Duration::from_secs(expires_in);
    Ok(Access { header, renew_at: asked_at.plus(lifetime.mul_f64(0.8)), expires_at: asked_at.plus(lifetime) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_token_is_renewed_after_four_fifths_of_its_life_and_never_shown() {
        let body = br#"{"access_token":"hunter2","expires_in":3600,"token_type":"Bearer"}"#.to_vec();
        let access = granted(&Reply { status: 200, retry_after: None, body }, Timestamp(1_000)).unwrap();
        assert_eq!((access.renew_at, access.expires_at), (Timestamp(2_881_000), Timestamp(3_601_000)));
        assert_eq!(access.header.to_str().unwrap(), "Bearer hunter2");
        assert!(!format!("{access:?}").contains("hunter2"));
    }

    /// With a key that cannot sign, so that nothing is fetched.
    fn unable(clock: Clock) -> AccessTokens {
        let config = FcmConfig {
            digest: String::new().into(),
            project: "an-app".into(),
            client_email: "push@an-app".into(),
            key_id: None,
            key: EncodingKey::from_rsa_der(&[]),
            token_uri: "http://127.0.0.1/token".parse().unwrap(),
            endpoint: "http://127.0.0.1".parse().unwrap(),
        };
        AccessTokens::new(&config, clock)
    }

    #[tokio::test]
    async fn a_renewal_that_fails_leaves_the_old_token_in_use_to_its_end() {
        let (clock, hand) = Clock::set_by_hand(Timestamp(0));
        let tokens = unable(clock);
        let AccessTokens { source, renewal } = &tokens;
        let alert = Outcome::alert("the key of the service account cannot sign");
        assert_eq!(tokens.current().await.map(|_| ()), Err(alert));
        let header = HeaderValue::from_static("Bearer x");
        let access = Arc::new(Access { header, renew_at: Timestamp(80_000), expires_at: Timestamp(100_000) });
        *source.current.lock() = Some(access.clone());
        for (moment, attempted) in [(20_000, false), (79_999, false), (80_000, true), (89_999, true)] {
            *source.fetching.lock().await = None;
            hand.store(moment, Ordering::SeqCst);
            let current = tokens.current().now_or_never().expect("nobody waits while there is a good one");
            assert!(Arc::ptr_eq(&current.unwrap(), &access), "{moment}");
            let renewing = renewal.lock().take();
            assert_eq!(renewing.is_some(), attempted, "{moment}");
            if let Some(renewing) = renewing {
                renewing.await.unwrap();
            }
            assert_eq!(source.fetching.lock().await.is_some(), attempted, "{moment}");
        }
        hand.store(90_000, Ordering::SeqCst);
        assert_eq!(tokens.current().await.map(|_| ()), Err(alert), "it may run out on its way");
    }

    #[tokio::test]
    async fn who_comes_while_it_is_renewed_goes_on_with_the_old_one() {
        let (clock, hand) = Clock::set_by_hand(Timestamp(90));
        let tokens = unable(clock);
        let header = HeaderValue::from_static("Bearer x");
        let access = Arc::new(Access { header, renew_at: Timestamp(80), expires_at: Timestamp(100_000) });
        *tokens.source.current.lock() = Some(access.clone());
        let _renewing = tokens.source.fetching.lock().await;
        assert!(Arc::ptr_eq(&tokens.current().await.unwrap(), &access));
        tokens.reject(&access);
        assert!(tokens.source.usable(Timestamp(hand.load(Ordering::SeqCst))).is_none());
    }

    #[test]
    fn a_refused_account_is_for_an_operator_a_tired_service_is_not() {
        let answer = |status, body: &str| {
            granted(&Reply { status, retry_after: None, body: body.as_bytes().into() }, Timestamp(0)).unwrap_err()
        };
        assert!(matches!(answer(400, r#"{"error":"invalid_grant"}"#), Outcome::Refused { alert: true, .. }));
        for (status, body) in
            [(503, ""), (429, ""), (200, "<html>"), (200, r#"{"access_token":"a\nb","expires_in":1}"#)]
        {
            assert!(matches!(answer(status, body), Outcome::Retry { .. }), "{status} {body}");
        }
    }
}
