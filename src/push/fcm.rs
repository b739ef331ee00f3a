//! Firebase Cloud Messaging, by its HTTP v1 interface: the form of messages, and what its answers mean.
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>

mod access;
mod reply;

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

use crate::clock::{Clock, Timestamp};
use crate::config::FcmConfig;
use crate::finding::Finding;
use crate::ids::{PushToken, PushTokenKind};
use crate::outbound::header::{AUTHORIZATION, HeaderMap};
use crate::push::connection::Connection;
use crate::push::message::Fields;
use crate::push::{Kind, Message, Outcome, Provider, dry_run};
use access::AccessTokens;
use reply::{Reaction, reaction};

/// Counted over the whole message but the token, which is more than the service counts.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Firebase Cloud Messaging.
pub struct Fcm {
    access: AccessTokens,
    connection: Connection,
    url: Url,
    project: String,
    clock: Clock,
}

impl Fcm {
    /// As it is configured.
    pub fn new(config: &FcmConfig, clock: Clock) -> Self {
        let mut url = config.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "projects", &config.project, "messages:send"]);
        }
        Self {
            access: AccessTokens::new(config, clock),
            connection: Connection::new(&config.endpoint, clock),
            url,
            project: config.project.clone(),
            clock,
        }
    }
}

#[async_trait]
impl Provider for Fcm {
    fn name(&self) -> &'static str {
        "fcm"
    }

    fn token_kind(&self) -> PushTokenKind {
        PushTokenKind::Fcm
    }

    fn carries(&self, kind: Kind) -> bool {
        match kind {
            Kind::Ring | Kind::Stop | Kind::Missed => true,
        }
    }

    async fn send(&self, message: &Message, token: &PushToken) -> Outcome {
        self.deliver(&body(message, token, self.clock.now())).await
    }
}

impl Fcm {
    /// Has the service check, and not send, a message to a token that cannot exist: whether it takes this service account.
    pub async fn dry_run(&self) -> Finding {
        let now = self.clock.now();
        let mut body = body(&Message::trial(Kind::Missed, now), &dry_run::token(), now);
        body["validate_only"] = json!(true);
        let outcome = match self.deliver(&body).await {
            // The service does not name the field in every such answer, and there is nothing else in it that is wrong.
            outcome if outcome == Outcome::alert(reply::NOT_UNDERSTOOD) => Outcome::dead("INVALID_ARGUMENT"),
            outcome => outcome,
        };
        let good = format!("the service account may send for the project {}", self.project);
        dry_run::told("FCM", good, &self.url, outcome)
    }

    async fn deliver(&self, body: &Value) -> Outcome {
        let body = body.to_string().into_bytes();
        let mut is_second = false;
        loop {
            let access = match self.access.current().await {
                Ok(access) => access,
                Err(outcome) => return outcome,
            };
            let headers = HeaderMap::from_iter([(AUTHORIZATION, access.header.clone())]);
            let reply = match self.connection.post(self.url.clone(), "application/json", headers, body.clone()).await {
                Ok(reply) => reply,
                Err(lost) => return Outcome::later(lost.0, None),
            };
            match reaction(&reply) {
                Reaction::Is(outcome) => return outcome,
                Reaction::Unauthorized if is_second => {
                    return Outcome::alert("the service takes no access token of this service account");
                }
                Reaction::Unauthorized => self.access.reject(&access),
            }
            is_second = true;
        }
    }
}

/// The message to one token, as the service takes it at `now`.
fn body(message: &Message, token: &PushToken, now: Timestamp) -> Value {
    let size = |fields: &Fields| addressed(message, fields, "", now).to_string().len();
    let fields = message.fields.fitted(MESSAGE_BYTES_MAX, size);
    addressed(message, &fields, token.expose(), now)
}

fn addressed(message: &Message, fields: &Fields, token: &str, now: Timestamp) -> Value {
    let left = now.until(message.expires_at).as_millis();
    let left = match message.kind {
        // Rounded down: no phone is to ring after the end.
        Kind::Ring => (left / 1000).max(1),
        Kind::Stop | Kind::Missed => left.div_ceil(1000),
    };
    let expiration = (message.expires_at.0 / 1000).to_string();
    let (priority, apns) = match message.kind {
        Kind::Ring => (
            "HIGH",
            json!({
                "headers": { "apns-priority": "10", "apns-expiration": expiration },
                "payload": { "aps": { "content-available": 1, "sound": "default" } },
            }),
        ),
        Kind::Stop => ("HIGH", in_background(&expiration)),
        Kind::Missed => ("NORMAL", in_background(&expiration)),
    };
    json!({
        "message": {
            "token": token,
            "data": fields,
            "android": { "priority": priority, "ttl": format!("{left}s") },
            "apns": apns,
        },
    })
}

/// Wakes an iOS app without a sound. Apple wants priority 5 with it.
fn in_background(expiration: &str) -> Value {
    json!({
        "headers": { "apns-push-type": "background", "apns-priority": "5", "apns-expiration": expiration },
        "payload": { "aps": { "content-available": 1 } },
    })
}

#[cfg(test)]
mod tests;
