//! What the answers of Apple's push service mean.
//! <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>

use std::time::Duration;

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::push::connection::Reply;
use crate::push::{Outcome, Trouble};

/// How long all pushes rest when Apple says that the provider token changes too often.
const TOKEN_PAUSE: Duration = Duration::from_secs(60);

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// This.
    Is(Outcome),
    /// A new provider token is wanted.
    TokenExpired,
    /// The message has to be shorter.
    TooLarge,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    reason: String,
    /// In milliseconds.
    timestamp: Option<u64>,
}

pub(super) fn reaction(reply: &Reply) -> Reaction {
    if reply.status == 200 {
        return Reaction::Is(Outcome::Sent);
    }
    let Said { reason, timestamp } = serde_json::from_slice(&reply.body).unwrap_or_default();
    let after = reply.retry_after;
    Reaction::Is(match (reply.status, reason.as_str()) {
        (400, "BadDeviceToken") => Outcome::TokenDead {
            since: None,
            if_often: Some("Apple does not know the tokens (BadDeviceToken); is APNS_ENVIRONMENT right?"),
            code: "BadDeviceToken",
        },
        (400, "DeviceTokenNotForTopic") => Outcome::TokenDead {
            since: None,
            if_often: Some("tokens belong to another app (DeviceTokenNotForTopic); is APNS_TOPIC right?"),
            code: "DeviceTokenNotForTopic",
        },
        (400, "TopicDisallowed") => Outcome::alert("the key may not send to APNS_TOPIC (TopicDisallowed)"),
        (400, "BadTopic" | "MissingTopic") => Outcome::alert("APNS_TOPIC is no topic (BadTopic)"),
        (400, "IdleTimeout") => Outcome::later("the connection was idle", after),
        (400, _) => Outcome::alert("the service does not understand a message"),
        (403, "ExpiredProviderToken") => return Reaction::TokenExpired,
        (403, "InvalidProviderToken") => Outcome::alert(
            "Apple does not know the key; are APNS_KEY_ID and APNS_TEAM_ID right? (InvalidProviderToken)",
        ),
        (403, _) => Outcome::alert("Apple refuses the key; is it good for this environment?"),
        (410, reason) => {
            let code = if reason == "ExpiredToken" { "ExpiredToken" } else { "Unregistered" };
            Outcome::TokenDead { since: timestamp.map(Timestamp), if_often: None, code }
        }
        (413, _) => return Reaction::TooLarge,
        (429, "TooManyProviderTokenUpdates") => {
            Outcome::later("provider tokens change too often", Some(after.unwrap_or(TOKEN_PAUSE)))
        }
        (429, _) => Outcome::Retry { after, trouble: Trouble::Device("too many messages for one device") },
        (500.., _) => Outcome::later("the service is in trouble", after),
        (_, _) => Outcome::alert("there is no push service at APNS_ENDPOINT"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answered(status: u16, body: &Value) -> Reaction {
        reaction(&Reply { status, retry_after: None, body: body.to_string().into() })
    }

    fn with_reason(status: u16, reason: &str) -> Reaction {
        answered(status, &json!({ "reason": reason }))
    }

    #[test]
    fn a_token_is_dead_when_apple_says_so_and_since_then() {
        for reason in ["BadDeviceToken", "DeviceTokenNotForTopic"] {
            let is_dead = matches!(
                with_reason(400, reason),
                Reaction::Is(Outcome::TokenDead { since: None, if_often: Some(_), .. })
            );
            assert!(is_dead, "{reason}");
        }
        for reason in ["Unregistered", "ExpiredToken"] {
            let since = Some(Timestamp(1_700_000_000_123));
            let dead = Reaction::Is(Outcome::TokenDead { since, if_often: None, code: reason });
            assert_eq!(answered(410, &json!({ "reason": reason, "timestamp": 1_700_000_000_123_u64 })), dead);
        }
        assert_eq!(with_reason(410, "Unregistered"), Reaction::Is(Outcome::dead("Unregistered")));
    }

    #[test]
    fn what_is_wrong_here_is_for_an_operator() {
        let wrong = [
            (400, "BadCollapseId"),
            (400, "BadExpirationDate"),
            (400, "BadMessageId"),
            (400, "BadPriority"),
            (400, "BadTopic"),
            (400, "DuplicateHeaders"),
            (400, "InvalidPushType"),
            (400, "MissingDeviceToken"),
            (400, "MissingTopic"),
            (400, "PayloadEmpty"),
            (400, "TopicDisallowed"),
            (403, "BadCertificate"),
            (403, "BadCertificateEnvironment"),
            (403, "Forbidden"),
            (403, "InvalidProviderToken"),
            (403, "MissingProviderToken"),
            (404, "BadPath"),
            (405, "MethodNotAllowed"),
        ];
        for (status, reason) in wrong {
            let is_alert = matches!(with_reason(status, reason), Reaction::Is(Outcome::Refused { alert: true, .. }));
            assert!(is_alert, "{status} {reason}");
        }
        assert_eq!(with_reason(403, "ExpiredProviderToken"), Reaction::TokenExpired);
        assert_eq!(with_reason(413, "PayloadTooLarge"), Reaction::TooLarge);
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        assert_eq!(
            with_reason(429, "TooManyRequests"),
            Reaction::Is(Outcome::Retry { after: None, trouble: Trouble::Device("too many messages for one device") })
        );
        let rests = Outcome::later("provider tokens change too often", Some(TOKEN_PAUSE));
        assert_eq!(with_reason(429, "TooManyProviderTokenUpdates"), Reaction::Is(rests));
        for (status, reason) in [(500, "InternalServerError"), (503, "ServiceUnavailable"), (503, "Shutdown")] {
            let trouble = Reaction::Is(Outcome::later("the service is in trouble", None));
            assert_eq!(with_reason(status, reason), trouble);
        }
        assert_eq!(answered(502, &json!("<html>")), with_reason(500, ""));
    }
}
