//! The form of messages, as the stock app reads them and the service takes them.

use std::time::Duration;

use super::*;
use crate::call::{Accepted, Call, Elsewhere, Outcome as CallOutcome, Over, Silence, State, Wake};
use crate::push::testing::{RING_TIMEOUT, START, call, device, message, stop, token};

fn sent(call: Call, wake: Wake) -> Value {
    sent_after(call, wake, Duration::from_millis(500))
}

fn sent_after(call: Call, wake: Wake, since_start: Duration) -> Value {
    body(&message(call, wake), &token("a-token"), START.plus(since_start))
}

fn over(name: Option<&str>, at: Duration) -> Call {
    let outcome = CallOutcome::TimedOut;
    Call { state: State::Over(Over { at: START.plus(at), accepted_at: None, outcome }), ..call(name, None) }
}

#[test]
fn a_ring_has_what_the_documentation_promises_and_the_stock_app_reads() {
    let expected = json!({
        "message": {
            "token": "a-token",
            "data": {
                "type": "incoming_call",
                "callId": "00000000-0000-0000-0000-000000000001",
                "callerId": "alice",
                "callerName": "Alice",
                "callerAvatar": "https://example.org/a.png",
                "callType": "video",
                "timestamp": "1700000000000",
                "expiresAt": "1700000045000",
                "statusToken": "token-1700000045000",
            },
            "android": { "priority": "HIGH", "ttl": "44s" },
            "apns": {
                "headers": { "apns-priority": "10", "apns-expiration": "1700000045" },
                "payload": { "aps": { "content-available": 1, "sound": "default" } },
            },
        },
    });
    assert_eq!(sent(call(Some("Alice"), Some("https://example.org/a.png")), Wake::Ring), expected);
}

#[test]
fn a_caller_who_gives_no_name_is_unknown() {
    for name in [None, Some("")] {
        let data = &sent(call(name, None), Wake::Ring)["message"]["data"];
        assert_eq!((&data["callerName"], &data["callerAvatar"]), (&json!("Unknown"), &json!("")));
    }
}

#[test]
fn a_ring_is_kept_for_as_long_as_it_rings_and_a_second_at_least() {
    let ttl = |millis| {
        let sent = sent_after(call(None, None), Wake::Ring, Duration::from_millis(millis));
        sent["message"]["android"]["ttl"].as_str().unwrap().to_owned()
    };
    assert_eq!([ttl(0), ttl(1), ttl(43_000), ttl(44_500), ttl(46_000)], ["45s", "44s", "2s", "1s", "1s"]);
}

#[test]
fn a_stop_says_why_and_waits_as_long_as_a_ring_may() {
    let background = json!({
        "headers": { "apns-push-type": "background", "apns-priority": "5", "apns-expiration": "1700000045" },
        "payload": { "aps": { "content-available": 1 } },
    });
    let expected = json!({
        "message": {
            "token": "a-token",
            "data": {
                "type": "call_cancelled",
                "callId": "00000000-0000-0000-0000-000000000001",
                "reason": "cancelled",
                "timestamp": "1700000000400",
            },
            "android": { "priority": "HIGH", "ttl": "45s" },
            "apns": background,
        },
    });
    assert_eq!(sent(over(None, Duration::from_millis(400)), stop(Silence::Cancelled)), expected);
    let reason = |why| sent(over(None, Duration::ZERO), stop(why))["message"]["data"]["reason"].clone();
    assert_eq!(reason(Silence::TimedOut), "timeout");
    assert_eq!(reason(Silence::Elsewhere(Elsewhere::Declined)), "declined_elsewhere");
    let accepted = Accepted {
        at: START.plus(Duration::from_millis(450)),
        until: START.plus(RING_TIMEOUT),
        callee_device: device("tablet"),
        caller_given_up_at: None,
        callee_given_up_at: None,
    };
    let answered = Call { state: State::Accepted(accepted), ..call(None, None) };
    let data = &sent(answered, stop(Silence::Elsewhere(Elsewhere::Answered)))["message"]["data"];
    assert_eq!((&data["reason"], &data["timestamp"]), (&json!("answered_elsewhere"), &json!("1700000000450")));
}

#[test]
fn a_missed_call_can_wait_for_a_day() {
    let message = &sent(over(Some("Alice"), Duration::from_millis(400)), Wake::Missed)["message"];
    let expected = json!({
        "type": "call_missed",
        "callId": "00000000-0000-0000-0000-000000000001",
        "callerId": "alice",
        "callerName": "Alice",
        "callType": "video",
        "timestamp": "1700000000000",
        "missedAt": "1700000000400",
    });
    assert_eq!(message["data"], expected);
    assert_eq!(message["android"], json!({ "priority": "NORMAL", "ttl": "86400s" }));
    assert_eq!(message["apns"]["headers"]["apns-push-type"], "background");
    assert_eq!(message["apns"]["headers"]["apns-expiration"], "1700086400");
}

#[test]
fn a_message_that_is_too_large_loses_the_picture_then_the_end_of_the_name() {
    let data = |name: &str, avatar: &str| {
        let message = message(call(Some(name), Some(avatar)), Wake::Ring);
        let body = body(&message, &token(&"t".repeat(300)), START);
        assert!(body.to_string().len() <= MESSAGE_BYTES_MAX + 300, "{}", body.to_string().len());
        let text = |name: &str| body["message"]["data"][name].as_str().unwrap().to_owned();
        (text("callerName"), text("callerAvatar"))
    };
    let (name, avatar) = ("Ä".repeat(256), "https://example.org/".repeat(100));
    assert_eq!(data(&name, &avatar), (name.clone(), avatar));
    assert_eq!(data(&name, &"\u{1F600}".repeat(1000)), (name, String::new()));
    let (cut, none) = data(&"\u{1F600}".repeat(1024), "x");
    assert!(none.is_empty() && cut.chars().all(|c| c == '\u{1F600}'), "characters stay whole");
    assert!((800..1000).contains(&cut.chars().count()), "as much as fits: {}", cut.chars().count());
}

#[test]
fn no_field_is_shown_in_logs() {
    let shown = format!("{:?}", message(call(Some("Alice"), None), Wake::Ring));
    assert!(!shown.contains("Alice") && !shown.contains("token-"), "{shown}");
}
