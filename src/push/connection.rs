//! HTTP/2 to one push service: few connections, bounded in time and size. A connection that has gone bad is replaced.

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
/// Requests that fail together are one reason for one new connection.
const RENEWED_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// Answers of push services have some hundred bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Connections to one service.
pub(super) struct Connection {
    client: Mutex<(Client, Timestamp)>,
    clock: Clock,
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
    pub(super) fn new(clock: Clock) -> Self {
        Self { client: Mutex::new((client(), Timestamp::default())), clock }
    }

    /// Posts `body`.
    pub(super) async fn post(&self, url: Url, content: &'static str, headers: HeaderMap, body: Vec<u8>) -> Result<Reply, Lost> {
        let client = self.client.lock().0.clone();
        let content = HeaderValue::from_static(content);
        let request = client.post(url).header(CONTENT_TYPE, content).headers(headers).body(body);
        let answer = match request.send().await {
            Ok(response) => self.read(response).await,
            Err(error) => Err(error),
        };
        answer.map_err(|error| {
            self.renew();
            // The text of the error names the address, which may hold a token.
            Lost(if error.is_timeout() {
                "no answer in time"
            } else if error.is_connect() {
                "no connection"
            } else {
                "the connection broke"
            })
        })
    }

    /// The next request goes over a new connection. Those under way are not disturbed.
    pub(super) fn renew(&self) {
        let now = self.clock.now();
        let mut client_since = self.client.lock();
        if now >= client_since.1.plus(RENEWED_AT_MOST_EVERY) {
            *client_since = (client(), now);
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

fn client() -> Client {
    let builder = Client::builder()
        .http2_prior_knowledge()
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(Policy::none());
    // Fails only where there is no TLS, which is built in.
    builder.build().expect("a client is made of constants")
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
