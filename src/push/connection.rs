//! HTTP/2 to one push service: one connection, which is replaced when it has gone bad.

use std::time::Duration;

use parking_lot::Mutex;
use url::Url;

use crate::clock::Clock;
use crate::outbound::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use crate::outbound::{Client, Failure, Manner, retry_after};

/// Answers of push services have some hundred bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Connections to one service.
pub(super) struct Connection {
    service: Url,
    current: Mutex<Generation>,
    /// Held by who makes the next generation.
    renewing: tokio::sync::Mutex<()>,
    is_renewed_on_errors: bool,
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
        let current = Generation { number: 0, client: Client::new(url, Manner::Multiplexed) };
        Self {
            service: url.clone(),
            current: Mutex::new(current),
            renewing: tokio::sync::Mutex::default(),
            is_renewed_on_errors: false,
            clock,
        }
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
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Reply, Lost> {
        let Generation { number, client } = self.current.lock().clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        let answer = client.post(url, headers, body, ANSWER_BYTES_MAX).await;
        let has_gone_bad = match &answer {
            Ok(answer) => self.is_renewed_on_errors && answer.status.is_server_error(),
            // Where there was no connection there is none to be replaced.
            Err(failure) => !failure.is_unconnected(),
        };
        if has_gone_bad {
            self.renew(number).await;
        }
        let answer = answer.map_err(|failure: Failure| Lost(failure.kind()))?;
        Ok(Reply {
            status: answer.status.as_u16(),
            retry_after: retry_after(&answer.headers, self.clock.now()),
            body: answer.body.unwrap_or_default(),
        })
    }

    /// The next request goes over a new connection. Those under way are not disturbed, and nobody waits for who makes it: that reads
    /// certificates from disk.
    async fn renew(&self, failed: u64) {
        let Ok(_renewing) = self.renewing.try_lock() else {
            return;
        };
        if self.current.lock().number != failed {
            return;
        }
        let service = self.service.clone();
        let made = tokio::task::spawn_blocking(move || Client::new(&service, Manner::Multiplexed)).await;
        // None only where the process ends.
        if let Ok(client) = made {
            *self.current.lock() = Generation { number: failed + 1, client };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(connection: &Connection) -> u64 {
        connection.current.lock().number
    }

    #[tokio::test]
    async fn a_connection_is_replaced_once_by_all_who_lost_it() {
        let (clock, _) = Clock::set_by_hand(crate::clock::Timestamp(0));
        let connection = Connection::new(&"http://127.0.0.1:1".parse().unwrap(), clock);
        let renewing = connection.renewing.lock().await;
        connection.renew(0).await;
        assert_eq!(number(&connection), 0, "somebody does it already");
        drop(renewing);
        connection.renew(0).await;
        connection.renew(0).await;
        assert_eq!(number(&connection), 1);
    }

    #[tokio::test]
    async fn who_was_not_connected_replaces_nothing() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (clock, _) = Clock::set_by_hand(crate::clock::Timestamp(0));
        let url: Url = format!("http://{closed}").parse().unwrap();
        let connection = Connection::new(&url, clock);
        let lost = connection.post(url, "text/plain", HeaderMap::new(), Vec::new()).await;
        assert_eq!((lost, number(&connection)), (Err(Lost("no connection")), 0));
    }

    #[tokio::test]
    async fn a_request_that_got_lost_on_its_way_has_the_connection_replaced() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (clock, _) = Clock::set_by_hand(crate::clock::Timestamp(0));
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let connection = Connection::new(&url, clock);
        let posted = connection.post(url, "text/plain", HeaderMap::new(), Vec::new());
        let closing = async { drop(listener.accept().await.unwrap()) };
        let (lost, ()) = tokio::join!(posted, closing);
        assert_eq!((lost.is_err(), number(&connection)), (true, 1));
    }
}
