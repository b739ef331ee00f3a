//! What the answers of Firebase Cloud Messaging mean.
//! <https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>

use std::time::Duration;

use serde_json::Value;

use crate::push::Outcome;
use crate::push::connection::Reply;

/// As the documentation asks for where the service names no time itself.
const QUOTA_PAUSE: Duration = Duration::from_secs(60);
/// How an error says what it is, and which field it is about.
const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// What is said of a message that is wrong in itself.
pub(super) const NOT_UNDERSTOOD: &str = "the service does not understand a message (INVALID_ARGUMENT)";

/// What follows from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// This.
    Is(Outcome),
    /// A new access token may help.
    Unauthorized,
}

pub(super) fn reaction(reply: &Reply) -> Reaction {
    if (200..300).contains(&reply.status) {
        return Reaction::Is(Outcome::Sent);
    }
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let code = error_code(&said).or_else(|| said["error"]["status"].as_str()).unwrap_or_default();
    let after = reply.retry_after;
    Reaction::Is(match (reply.status, code) {
        (404, "UNREGISTERED") => Outcome::dead("UNREGISTERED"),
        (400, "INVALID_ARGUMENT") if blames_the_token(&said) => Outcome::dead("INVALID_ARGUMENT"),
        (400, "INVALID_ARGUMENT") => Outcome::alert(NOT_UNDERSTOOD),
        (403, "SENDER_ID_MISMATCH") => Outcome::TokenDead {
            since: None,
            if_often: Some("tokens belong to another Firebase project (SENDER_ID_MISMATCH)"),
            code: "SENDER_ID_MISMATCH",
        },
        (401, "THIRD_PARTY_AUTH_ERROR") => {
            Outcome::alert("the key for APNs or web push in the Firebase console is wrong (THIRD_PARTY_AUTH_ERROR)")
        }
        (401, _) => return Reaction::Unauthorized,
        (403, _) => Outcome::alert("the service account may not send messages for this project"),
        (404, _) => Outcome::alert("there is no such project, or no such service at FCM_ENDPOINT"),
        (429, _) => Outcome::later("the quota is exceeded", Some(after.unwrap_or(QUOTA_PAUSE))),
        (408 | 500.., _) => Outcome::later("the service is in trouble", after),
        (_, _) => Outcome::alert("the service refuses a message"),
    })
}

/// What `details` of the error say; more exact than its status.
fn error_code(said: &Value) -> Option<&str> {
    details(said, FCM_ERROR).find_map(|detail| detail["errorCode"].as_str())
}

fn blames_the_token(said: &Value) -> bool {
    let fields = details(said, BAD_REQUEST).filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
    fields.filter_map(|violation| violation["field"].as_str()).any(|field| field == "message.token")
}

fn details<'a>(said: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = said["error"]["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(move |detail| detail["@type"].as_str() == Some(kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::push::Trouble;

    fn answered(status: u16, retry_after: Option<u64>, body: &Value) -> Reaction {
        reaction(&Reply { status, retry_after: retry_after.map(Duration::from_secs), body: body.to_string().into() })
    }

    fn error(status: &str, code: Option<&str>, field: Option<&str>) -> Value {
        let code = code.map(|code| json!({ "@type": FCM_ERROR, "errorCode": code }));
        let field = field.map(|field| json!({ "@type": BAD_REQUEST, "fieldViolations": [{ "field": field }] }));
        let details: Vec<_> = code.into_iter().chain(field).collect();
        json!({ "error": { "code": 400, "message": "…", "status": status, "details": details } })
    }

    fn is_alert(reaction: Reaction) -> bool {
        matches!(reaction, Reaction::Is(Outcome::Refused { alert: true, .. }))
    }

    fn later(seconds: Option<u64>) -> impl Fn(Reaction) -> bool {
        let asked_for = seconds.map(Duration::from_secs);
        move |reaction| matches!(reaction, Reaction::Is(Outcome::Retry { after, trouble: Trouble::Service(_) }) if after == asked_for)
    }

    #[test]
    fn a_token_is_dead_when_the_service_says_so_and_not_otherwise() {
        let dead = |code| Reaction::Is(Outcome::dead(code));
        assert_eq!(answered(404, None, &error("NOT_FOUND", Some("UNREGISTERED"), None)), dead("UNREGISTERED"));
        let invalid = |field| error("INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), field);
        assert_eq!(answered(400, None, &invalid(Some("message.token"))), dead("INVALID_ARGUMENT"));
        assert!(is_alert(answered(400, None, &invalid(Some("message.data[0].value")))));
        assert!(is_alert(answered(400, None, &invalid(None))));
        let strange = answered(403, None, &error("PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), None));
        assert!(
            matches!(strange, Reaction::Is(Outcome::TokenDead { since: None, if_often: Some(_), .. })),
            "{strange:?}"
        );
        // No such project, or a proxy that knows nothing of it: no fault of the token.
        assert!(is_alert(answered(404, None, &error("NOT_FOUND", None, None))));
        assert!(is_alert(answered(404, None, &json!("<html>"))));
    }

    #[test]
    fn what_may_pass_is_tried_again_when_the_service_likes() {
        let quota = error("RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), None);
        assert!(later(Some(60))(answered(429, None, &quota)));
        assert!(later(Some(7))(answered(429, Some(7), &quota)));
        assert!(later(Some(3))(answered(503, Some(3), &error("UNAVAILABLE", Some("UNAVAILABLE"), None))));
        assert!(later(None)(answered(500, None, &error("INTERNAL", Some("INTERNAL"), None))));
        assert!(later(None)(answered(502, None, &json!("<html>Bad Gateway</html>"))));
    }

    #[test]
    fn a_wrong_key_is_for_an_operator_an_old_token_is_not() {
        let third_party = error("UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR"), None);
        assert!(is_alert(answered(401, None, &third_party)));
        assert_eq!(answered(401, None, &error("UNAUTHENTICATED", None, None)), Reaction::Unauthorized);
        assert_eq!(answered(401, None, &json!("")), Reaction::Unauthorized);
        assert!(is_alert(answered(403, None, &error("PERMISSION_DENIED", None, None))));
        assert_eq!(answered(200, None, &json!({ "name": "…" })), Reaction::Is(Outcome::Sent));
    }
}
