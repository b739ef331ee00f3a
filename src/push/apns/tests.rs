//! The form of rings, as Apple takes them.

use super::*;
use crate::call::Wake;
use crate::push::testing::{START, apns_config, call, message, token};

fn apns() -> Apns {
    Apns::new(&apns_config(), Clock::set_by_hand(START).0)
}

#[test]
fn a_ring_is_addressed_as_apple_wants_it() {
    let apns = apns();
    let message = message(call(Some("Alice"), None), Wake::Ring);
    let headers = apns.headers(&message, HeaderValue::from_static("bearer x"));
    let expected = [
        ("authorization", "bearer x"),
        ("apns-topic", "org.example.app.voip"),
        ("apns-push-type", "voip"),
        ("apns-priority", "10"),
        ("apns-expiration", "0"),
        ("apns-collapse-id", "00000000-0000-0000-0000-000000000001"),
    ];
    for (name, value) in expected {
        assert_eq!(headers.get(name).unwrap(), value, "{name}");
    }
    assert!(Uuid::try_parse(headers["apns-id"].to_str().unwrap()).is_ok());
    assert_eq!(apns.url(&token("00ff")).unwrap().as_str(), "https://api.push.apple.com/3/device/00ff");
}

#[test]
fn a_ring_says_the_same_as_by_firebase() {
    let fields = message(call(Some("Alice"), None), Wake::Ring).fields;
    let expected = json!({
        "aps": {},
        "type": "incoming_call",
        "callId": "00000000-0000-0000-0000-000000000001",
        "callerId": "alice",
        "callerName": "Alice",
        "callerAvatar": "",
        "callType": "video",
        "timestamp": "1700000000000",
        "expiresAt": "1700000045000",
        "statusToken": "token-1700000045000",
    });
    assert_eq!(payload(&fields), expected);
}

#[test]
fn a_large_ring_is_cut_and_one_that_is_still_too_large_is_cut_to_the_least() {
    let fields = message(call(Some(&"\u{1F600}".repeat(1024)), Some(&"\u{1F600}".repeat(1024))), Wake::Ring).fields;
    let fitted = fields.fitted(PAYLOAD_BYTES_MAX, |fields| payload(fields).to_string().len());
    assert_eq!(fitted.text("callerAvatar"), Some(""));
    assert_eq!(fitted.text("callerName").unwrap().chars().count(), 1024);
    assert_eq!(fields.least().text("callerName"), Some("\u{1F600}".repeat(32).as_str()));
}

#[tokio::test]
async fn what_is_no_token_of_apples_is_dead_and_leads_nowhere_else() {
    let message = message(call(None, None), Wake::Ring);
    for strange in ["../../other", "zz", "00ff/x?y", "00 ff"] {
        assert_eq!(apns().send(&message, &token(strange)).await, Outcome::dead("it is no APNs token"), "{strange}");
    }
}

#[test]
fn nothing_but_rings_goes_by_pushkit() {
    let carried = [Kind::Ring, Kind::Stop, Kind::Missed].map(|kind| apns().carries(kind));
    assert_eq!(carried, [true, false, false]);
}
