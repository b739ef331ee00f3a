//! Apple's push service, for PushKit (VoIP): the form of messages, and what its answers mean.
//! <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>
//!
//! It carries rings and nothing else: iOS ends an app that is woken by PushKit and shows no call.

mod provider_token;
mod reply;

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::ApnsConfig;
use crate::finding::Finding;
use crate::ids::{PushToken, PushTokenKind};
use crate::outbound::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use crate::push::connection::Connection;
use crate::push::message::Fields;
use crate::push::{Kind, Message, Outcome, Provider, dry_run};
use provider_token::ProviderTokens;
use reply::{Reaction, reaction};

const PAYLOAD_BYTES_MAX: usize = 5120;

/// Apple's push service.
pub struct Apns {
    tokens: ProviderTokens,
    connection: Connection,
    endpoint: Url,
    topic: HeaderValue,
    clock: Clock,
}

impl Apns {
    /// As it is configured.
    pub fn new(config: &ApnsConfig, clock: Clock) -> Self {
        Self {
            tokens: ProviderTokens::new(config, clock),
            connection: Connection::renewed_on_errors(&config.endpoint, clock),
            endpoint: config.endpoint.clone(),
            // The configuration takes a topic of letters, digits and a few signs only.
            topic: HeaderValue::try_from(&config.topic).expect("a topic can stand in a header"),
            clock,
        }
    }

    /// Sends a push to a device that cannot exist: whether Apple takes the key, and this topic with it.
    pub async fn dry_run(&self) -> Finding {
        let outcome = self.send(&Message::trial(Kind::Ring, self.clock.now()), &dry_run::token()).await;
        let topic = self.topic.to_str().unwrap_or_default();
        dry_run::told("APNs", format!("Apple takes the key, for {topic}"), &self.endpoint, outcome)
    }

    /// Where a device is reached; `None` for what is no token of Apple's.
    fn url(&self, token: &PushToken) -> Option<Url> {
        let token = token.expose();
        if !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut url = self.endpoint.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(["3", "device", token]);
        Some(url)
    }

    fn headers(&self, message: &Message, authorization: HeaderValue) -> HeaderMap {
        let text = |text: String| HeaderValue::try_from(text).ok();
        let headers = [
            (AUTHORIZATION, Some(authorization)),
            (HeaderName::from_static("apns-topic"), Some(self.topic.clone())),
            (HeaderName::from_static("apns-push-type"), Some(HeaderValue::from_static("voip"))),
            (HeaderName::from_static("apns-priority"), Some(HeaderValue::from_static("10"))),
            // Now or never: a phone that is out of reach may have missed the call when it is back.
            (HeaderName::from_static("apns-expiration"), Some(HeaderValue::from_static("0"))),
            (HeaderName::from_static("apns-id"), text(Uuid::new_v4().to_string())),
            (HeaderName::from_static("apns-collapse-id"), text(message.call.to_string())),
        ];
        headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[async_trait]
impl Provider for Apns {
    fn name(&self) -> &'static str {
        "apns"
    }

    fn token_kind(&self) -> PushTokenKind {
        PushTokenKind::ApnsVoip
    }

    fn carries(&self, kind: Kind) -> bool {
        match kind {
            Kind::Ring => true,
            Kind::Stop | Kind::Missed => false,
        }
    }

    async fn send(&self, message: &Message, token: &PushToken) -> Outcome {
        let Some(url) = self.url(token) else {
            return Outcome::dead("it is no APNs token");
        };
        let mut fields = message.fields.fitted(PAYLOAD_BYTES_MAX, |fields| payload(fields).to_string().len());
        let (mut is_renewed, mut is_shrunk) = (false, false);
        loop {
            let Some(provider_token) = self.tokens.current() else {
                return Outcome::alert("the key cannot sign");
            };
            let headers = self.headers(message, provider_token.header.clone());
            let body = payload(&fields).to_string().into_bytes();
            let reply = match self.connection.post(url.clone(), "application/json", headers, body).await {
                Ok(reply) => reply,
                Err(lost) => return Outcome::later(lost.0, None),
            };
            match reaction(&reply) {
                Reaction::Is(outcome) => return outcome,
                Reaction::TokenExpired if !is_renewed && self.tokens.renew(&provider_token) => is_renewed = true,
                Reaction::TokenExpired => {
                    return Outcome::alert(
                        "provider tokens are out of date (ExpiredProviderToken); is the clock right?",
                    );
                }
                Reaction::TooLarge if !is_shrunk => {
                    is_shrunk = true;
                    fields = fields.least();
                }
                Reaction::TooLarge => return Outcome::alert("a message is too large (PayloadTooLarge)"),
            }
        }
    }
}

fn payload(fields: &Fields) -> Value {
    let mut payload = json!(fields);
    payload["aps"] = json!({});
    payload
}

#[cfg(test)]
mod tests;
