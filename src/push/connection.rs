//! HTTP/2 to one push service: few connections, bounded in time and size. A connection that has gone bad is replaced.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use url::Url;

use crate::clock::{Clock, Timestamp};

/// How long one request may take, with the connection that it may need.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection whose other end has vanished is noticed after both, even if nothing is sent.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections are kept between calls: a new one costs several trips. Services close idle ones when they like.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Answers of push services have some hundred bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Connections to one service.
pub(super) struct Connection {
    current: Mutex<Generation>,
    is_renewed_on_errors: bool,
    /// It is not behind the proxy that the environment may name.
    is_near: bool,
    clock: Clock,
}

/// Requests over one generation that fail are one reason for the next.
#[derive(Clone)]
struct Generation {
    number: u64,
    client: Client,
}

/// What a service answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// How long it wants to be left alone for.
    pub(super) retry_after: Option<Duration>,
    /// What it says; empty if that is more than anybody should say.
    pub(super) body: Vec<u8>,
}

/// Why there is no answer. Whether the service has the message nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost(pub(super) &'static str);

impl Connection {
    /// Connections to the service at `url`.
    pub(super) fn new(url: &Url, clock: Clock) -> Self {
        let is_near = url.scheme() == "http";
        let current = Mutex::new(Generation { number: 0, client: client(is_near) });
        Self { current, is_renewed_on_errors: false, is_near, clock }
    }

    /// Connections that are replaced when the service says that it is in trouble, as Apple asks for.
    pub(super) fn renewed_on_errors(url: &Url, clock: Clock) -> Self {
        Self { is_renewed_on_errors: true, ..Self::new(url, clock) }
    }

    /// Posts `body`.
    pub(super) async fn post(
        &self,
        url: Url,
        content: &'static str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Reply, Lost> {
        let Generation { number, client } = self.current.lock().clone();
        let content = HeaderValue::from_static(content);
        let request = client.post(url).header(CONTENT_TYPE, content).headers(headers).body(body);
        let answer = match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => Err(error),
        };
        if answer.as_ref().map_or(true, |reply| self.is_renewed_on_errors && reply.status >= 500) {
            self.renew(number);
        }
        answer.map_err(|error| lost(&error))
    }

    /// The next request goes over a new connection. Those under way are not disturbed.
    fn renew(&self, failed: u64) {
        let mut current = self.current.lock();
        if current.number == failed {
            *current = Generation { number: failed + 1, client: client(self.is_near) };
        }
    }

    async fn read(&self, mut response: Response) -> Result<Reply, reqwest::Error> {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| until_retry(value, self.clock.now()));
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                body.clear();
                break;
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply { status, retry_after, body })
    }
}

/// Why there is no answer. The text of the error names the address, which may hold a token, so it is not repeated.
fn lost(error: &reqwest::Error) -> Lost {
    Lost(if error.is_timeout() {
        "no answer in time"
    } else if is_about_tls(error) {
        "no TLS connection; is its certificate trusted?"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    })
}

fn is_about_tls(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An I/O error does not name what it wraps as its source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map_or_else(|| error.source(), |wrapped| Some(wrapped));
    }
    false
}

fn client(is_near: bool) -> Client {
    let builder = Client::builder()
        .http2_prior_knowledge()
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(Policy::none())
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")));
    let builder = if is_near { builder.no_proxy() } else { builder };
    // Fails only where the system's resolver or cryptography cannot be set up, and then everything does.
    builder.build().expect("an HTTP client without special wishes")
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn until_retry(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(now.until(Timestamp::default().plus(date)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_when_to_come_back_in_two_ways() {
        let now = Timestamp(1_700_000_000_000);
        let after = |text: &'static str| until_retry(&HeaderValue::from_static(text), now);
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Tue, 14 Nov 2023 22:13:50 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(after("Tue, 14 Nov 2023 22:13:10 GMT"), Some(Duration::ZERO));
        assert_eq!((after("soon"), after("-1")), (None, None));
    }
}
