//! HTTP requests of this server to others: every client is made here, so that there is one answer to where a proxy is passed by, how
//! long anything may take, how much of an answer is read, and what is said when there is none.
//!
//! Redirects are never followed: whoever could redirect could send this node to its own neighbours. What a status means, and whether a
//! request is made again, is for who asked.

mod near;
mod retry_after;

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use url::Url;

pub use near::{is_here, is_near};
pub use reqwest::{StatusCode, header};
pub use retry_after::retry_after;

use self::header::HeaderMap;

/// How long one request may take, with the connection that it may need.
pub const TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection for many requests whose other end has vanished is noticed after both, even if nothing is sent.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// It is kept between requests: a new one costs several trips. Services close idle ones when they like.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// One at a time over each connection, so that a few are kept; shorter than the minute after which balancers close theirs.
const SPARE_TIMEOUT: Duration = Duration::from_secs(30);
const SPARE_CONNECTIONS: usize = 16;

/// How a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Too rarely for a connection to be kept.
    Rarely,
    /// The same, but it is a node of this deployment, wherever that is: no proxy leads there.
    Inside,
    /// Often, by HTTP/1.1 or HTTP/2, whichever it speaks.
    Often,
    /// Over one connection by HTTP/2, which it is known to speak.
    Multiplexed,
}

/// Connections to one service.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

/// What a service answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// What it says; `None` if that is more than it should say.
    pub body: Option<Vec<u8>>,
}

/// Why there is no answer. Whether the service has got the request nobody knows. Its text does not name the address, which may hold a
/// token.
#[derive(Debug)]
pub struct Failure(reqwest::Error);

impl Client {
    /// A client for the service at `url`. Reads the certificates of the system from disk, so it is not for a task that others wait for.
    pub fn new(url: &Url, manner: Manner) -> Self {
        if let Ok(client) = builder(url, manner).build() {
            return Self(client);
        }
        tracing::warn!("the certificates of this system cannot be used; only public authorities are trusted");
        let client = builder(url, manner).tls_built_in_native_certs(false).build();
        // What may fail is reading what the system has: its certificates. The others are built in.
        Self(client.expect("an HTTP client that reads nothing"))
    }

    /// Asks for what is at `url`, and reads at most `most` bytes of the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, url: Url, headers: HeaderMap, most: usize) -> Result<Answer, Failure> {
        answered(self.0.get(url).headers(headers), most).await
    }

    /// Posts `body` to `url`, and reads at most `most` bytes of the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn post(&self, url: Url, headers: HeaderMap, body: Vec<u8>, most: usize) -> Result<Answer, Failure> {
        answered(self.0.post(url).headers(headers).body(body), most).await
    }
}

fn builder(url: &Url, manner: Manner) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::none())
        .https_only(url.scheme() == "https")
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")));
    // The proxy that the environment may name is the way out; to those in here there is none through it.
    let builder = if is_near(url) || manner == Manner::Inside { builder.no_proxy() } else { builder };
    match manner {
        Manner::Rarely | Manner::Inside => builder.pool_max_idle_per_host(0),
        Manner::Often => builder.pool_max_idle_per_host(SPARE_CONNECTIONS).pool_idle_timeout(SPARE_TIMEOUT),
        Manner::Multiplexed => builder
            .http2_prior_knowledge()
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .pool_idle_timeout(IDLE_TIMEOUT),
    }
}

async fn answered(request: RequestBuilder, most: usize) -> Result<Answer, Failure> {
    let mut response = request.send().await.map_err(Failure)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let body = read(response, most).await.map_err(Failure)?;
    Ok(Answer { status, headers, body })
}

async fn read(mut response: Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

impl Failure {
    /// Whether there was no connection at all.
    pub fn is_unconnected(&self) -> bool {
        self.0.is_connect()
    }

    /// One of a few texts.
    pub fn kind(&self) -> &'static str {
        if self.0.is_timeout() {
            "no answer in time"
        } else if self.is_about_tls() {
            "no TLS connection; is its certificate trusted?"
        } else if self.0.is_connect() {
            "no connection"
        } else {
            "the connection broke"
        }
    }

    /// What the system says.
    pub fn reason(&self) -> String {
        if self.0.is_timeout() {
            return "timed out".into();
        }
        // The reason is at the bottom; what is above it repeats the address.
        let mut reason: &dyn Error = &self.0;
        while let Some(below) = reason.source() {
            reason = below;
        }
        reason.to_string()
    }

    fn is_about_tls(&self) -> bool {
        let mut next: Option<&(dyn Error + 'static)> = Some(&self.0);
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
}
