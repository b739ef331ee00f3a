//! The one request this room makes: fetches the key set of an identity provider, bounded in time and size.

use std::time::{Duration, SystemTime};

use jsonwebtoken::Algorithm;
use url::Url;

use crate::auth::keys::{KeySet, KeySetError};
use crate::outbound::header::{ACCEPT, AGE, CACHE_CONTROL, DATE, HeaderMap, HeaderName, HeaderValue};
use crate::outbound::{Client, Failure, Manner, StatusCode};

/// Largest key set, in bytes: those of providers have some thousand.
const BYTES_MAX: usize = 256 * 1024;

/// Where the keys are.
pub(super) struct KeyServer {
    client: Client,
    url: Url,
    allowed: Vec<Algorithm>,
}

/// What was fetched.
pub(super) struct Dated {
    pub(super) keys: KeySet,
    /// For how long they are good, if the server says so.
    pub(super) lifetime: Option<Duration>,
    /// When it answered, by its own clock.
    pub(super) date: Option<SystemTime>,
}

/// Why there are no keys. Says nothing of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    /// Nobody was reached, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// It is somewhere else, where it is not looked for.
    #[error("it redirects ({0}); JWT_JWKS_URL has to be the address that answers")]
    Moved(StatusCode),
    /// It does not answer with keys.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// The answer is too long.
    #[error("the answer is larger than {BYTES_MAX} bytes")]
    TooLarge,
    /// The answer is of no use.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
}

impl From<Failure> for FetchError {
    fn from(failure: Failure) -> Self {
        Self::Unreachable(failure.reason())
    }
}

impl KeyServer {
    /// The key set at `url`, of which the keys for these algorithms count.
    pub(super) fn new(url: Url, allowed: Vec<Algorithm>) -> Self {
        Self { client: Client::new(&url, Manner::Rarely), url, allowed }
    }

    /// The keys, and for how long they are good, if the server says so.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) async fn fetch(&self) -> Result<(KeySet, Option<Duration>), FetchError> {
        self.fetch_dated().await.map(|Dated { keys, lifetime, .. }| (keys, lifetime))
    }

    /// The same, with what the server says the time is.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) async fn fetch_dated(&self) -> Result<Dated, FetchError> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let answer = self.client.get(self.url.clone(), headers, BYTES_MAX).await?;
        if answer.status.is_redirection() {
            return Err(FetchError::Moved(answer.status));
        }
        if answer.status != StatusCode::OK {
            return Err(FetchError::Status(answer.status));
        }
        let body = answer.body.ok_or(FetchError::TooLarge)?;
        let date = answer.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        Ok(Dated { keys: KeySet::parse(&body, &self.allowed)?, lifetime: lifetime(&answer.headers), date })
    }
}

/// What is left of `max-age`. What may not be kept at all is good for no time. Several headers are as good as one with commas
/// (RFC 9110, section 5.3).
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let texts = |name: HeaderName| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut max_age = None;
    let directives = texts(CACHE_CONTROL).flat_map(|text| text.split(','));
    for directive in directives.map(|directive| directive.trim().to_ascii_lowercase()) {
        match directive.split_once('=') {
            Some(("max-age", seconds)) => max_age = seconds.trim_matches('"').parse().ok(),
            None if directive == "no-store" || directive == "no-cache" => return Some(Duration::ZERO),
            _ => {}
        }
    }
    let age: u64 = texts(AGE).next().and_then(|age| age.trim().parse().ok()).unwrap_or_default();
    max_age.map(|seconds: u64| Duration::from_secs(seconds.saturating_sub(age)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::testing::{Answer, RSA, StandIn, key_set};
    use crate::outbound;

    /// What comes of an answer.
    async fn fetched(answer: Answer) -> Result<(usize, Option<Duration>), FetchError> {
        let server = StandIn::start([answer]).await;
        let fetch = async { KeyServer::new(server.url.parse().unwrap(), vec![Algorithm::RS256]).fetch().await };
        // An answer without end is cut off, rather than read until time is up.
        let (keys, lifetime) = tokio::time::timeout(outbound::TIMEOUT / 2, fetch).await.expect("it takes too long")?;
        Ok((keys.len(), lifetime))
    }

    #[tokio::test]
    async fn an_answer_is_a_small_key_set_from_this_very_address() {
        let jwk = RSA.jwk("r", &json!({}));
        let keys = |text: String| Answer::Keys(text, "max-age=600");
        assert_eq!(fetched(keys(key_set(std::slice::from_ref(&jwk)))).await, Ok((1, Some(Duration::from_secs(600)))));
        let padded = key_set(&[jwk.clone(), json!({ "x5c": "x".repeat(BYTES_MAX) })]);
        assert_eq!(fetched(keys(padded)).await, Err(FetchError::TooLarge));
        assert_eq!(fetched(Answer::Endless(&[b' '; 4096])).await, Err(FetchError::TooLarge));
        let moved = Answer::Redirect("http://127.0.0.1:1/keys".into());
        assert_eq!(fetched(moved).await, Err(FetchError::Moved(StatusCode::FOUND)));
        assert_eq!(fetched(Answer::Status(503)).await, Err(FetchError::Status(StatusCode::SERVICE_UNAVAILABLE)));
        assert_eq!(fetched(Answer::Status(204)).await, Err(FetchError::Status(StatusCode::NO_CONTENT)));
        assert_eq!(fetched(keys("{".into())).await, Err(KeySetError::Malformed.into()));
        assert_eq!(fetched(keys(key_set(&vec![jwk; 65]))).await, Err(KeySetError::TooMany.into()));
        assert_eq!(fetched(keys(key_set(&[]))).await, Err(KeySetError::Useless.into()));
    }

    #[tokio::test]
    async fn who_is_not_there_is_said_in_a_few_words() {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = KeyServer::new(format!("http://{address}/").parse().unwrap(), vec![Algorithm::RS256]);
        let error = server.fetch().await.err().unwrap().to_string();
        assert!(error.contains("refused") && !error.contains("http"), "{error}");
    }

    #[test]
    fn a_key_set_is_good_for_what_is_left_of_its_max_age() {
        let lifetime = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            lifetime(&headers).map(|lifetime| lifetime.as_secs())
        };
        let cache = |value| (CACHE_CONTROL, value);
        assert_eq!(lifetime(&[cache("public, max-age=19302, must-revalidate, no-transform")]), Some(19_302));
        assert_eq!(lifetime(&[cache("Max-Age=\"60\"")]), Some(60));
        assert_eq!(lifetime(&[cache("max-age=600"), (AGE, "100")]), Some(500));
        assert_eq!(lifetime(&[cache("max-age=600"), (AGE, "1000")]), Some(0));
        assert_eq!(lifetime(&[cache("public"), cache("max-age=600")]), Some(600));
        assert_eq!(lifetime(&[cache("max-age=600"), cache("no-store")]), Some(0));
        for forbidden in ["no-store", "no-cache, max-age=600", "max-age=600, No-Store"] {
            assert_eq!(lifetime(&[cache(forbidden)]), Some(0), "{forbidden}");
        }
        for silent in ["", "public", "max-age", "max-age=", "max-age=x", "s-maxage=5"] {
            assert_eq!(lifetime(&[cache(silent)]), None, "{silent}");
        }
        assert_eq!(lifetime(&[]), None);
    }
}
