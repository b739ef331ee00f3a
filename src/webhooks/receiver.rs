//! The way to the receiver: one request, and what its answer means.

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::clock::{Clock, Timestamp};
use crate::config::WebhookConfig;
use crate::outbound::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use crate::outbound::{Answer, Client, Manner, StatusCode, retry_after};
use crate::webhooks::event::Event;
use crate::webhooks::signature::Signer;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// What a receiver says beside its status is of no account; it is read so that the connection can be used again.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What an answer means for the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has it.
    Taken,
    /// It does not want it, or is not to be found there. That may be about the event, or about a receiver that is being set up.
    Refused(StatusCode),
    /// It will never want any.
    Gone,
    /// It is in trouble, or does not answer; and may have said when to come back.
    Later { why: &'static str, after: Option<Duration> },
}

/// Takes events.
#[async_trait]
pub(super) trait Receive: Send + Sync {
    async fn post(&self, event: &Event) -> Verdict;
}

/// The one that is configured.
pub struct Receiver {
    pub(super) client: Client,
    pub(super) url: Url,
    signer: Signer,
    pub(super) clock: Clock,
}

impl Receiver {
    /// The one that `config` names.
    pub fn new(config: &WebhookConfig, clock: Clock) -> Self {
        let client = Client::new(&config.url, Manner::Often);
        Self { client, url: config.url.clone(), signer: Signer::new(config.keys.clone()), clock }
    }

    /// What is sent with an event at `now`; `None` if it has an id that no header may hold.
    fn headers(&self, event: &Event, now: Timestamp) -> Option<HeaderMap> {
        let seconds = now.0 / 1000;
        let signature = self.signer.sign(&event.id, seconds, &event.body);
        Some(HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (ID, HeaderValue::from_str(&event.id).ok()?),
            (TIMESTAMP, HeaderValue::from(seconds)),
            (SIGNATURE, HeaderValue::from_str(&signature).ok()?),
        ]))
    }
}

#[async_trait]
impl Receive for Receiver {
    async fn post(&self, event: &Event) -> Verdict {
        let Some(headers) = self.headers(event, self.clock.now()) else {
            return Verdict::Refused(StatusCode::BAD_REQUEST);
        };
        match self.client.post(self.url.clone(), headers, event.body.clone(), ANSWER_BYTES_MAX).await {
            Ok(answer) => verdict(&answer, self.clock.now()),
            Err(failure) => Verdict::Later { why: failure.kind(), after: None },
        }
    }
}

pub(super) fn verdict(answer: &Answer, now: Timestamp) -> Verdict {
    let after = retry_after(&answer.headers, now);
    match answer.status.as_u16() {
        200..=299 => Verdict::Taken,
        410 => Verdict::Gone,
        408 | 425 | 429 => Verdict::Later { why: "it is asked too much, or too early", after },
        300..=499 => Verdict::Refused(answer.status),
        _ => Verdict::Later { why: "it is in trouble", after },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::header::RETRY_AFTER;

    fn of(status: u16, headers: HeaderMap) -> Verdict {
        verdict(&Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: None }, Timestamp(0))
    }

    #[test]
    fn what_is_taken_is_2xx_and_what_may_pass_is_tried_again() {
        let said = |status| of(status, HeaderMap::new());
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(said(status), Verdict::Taken, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(said(status), Verdict::Later { after: None, .. }), "{status}");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 413, 422] {
            assert_eq!(said(status), Verdict::Refused(StatusCode::from_u16(status).unwrap()));
        }
        assert_eq!(said(410), Verdict::Gone);
    }

    #[test]
    fn a_receiver_in_trouble_says_when_to_come_back() {
        for status in [429, 503] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("7"))]);
            let after = Some(Duration::from_secs(7));
            assert!(matches!(of(status, headers), Verdict::Later { after: said, .. } if said == after), "{status}");
        }
    }
}
