//! What tests of this room share.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::EncodingKey;

use crate::call::{Call, CallType, CallerDisplay, Party, Ringing, Silence, State, Text, Wake};
use crate::clock::Timestamp;
use crate::config::ApnsConfig;
use crate::ids::{CallId, DeviceId, PushToken, PushTokenKind, PushTokens, UserId};
use crate::push::{Message, Wakeup};

pub(super) const RING_TIMEOUT: Duration = Duration::from_secs(45);
pub(super) const START: Timestamp = Timestamp(1_700_000_000_000);

/// The beginning of a P-256 key in PKCS #8 (RFC 5208, RFC 5915); the number itself follows.
const P256_HEAD: &[u8] =
    b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\
                           \x04\x27\x30\x25\x02\x01\x01\x04\x20";

pub(super) fn apns_config() -> ApnsConfig {
    ApnsConfig {
        digest: String::new().into(),
        key: EncodingKey::from_ec_der(&[P256_HEAD, &[0x11; 32]].concat()),
        key_id: "ABC1234567".into(),
        team_id: "TEAM123456".into(),
        topic: "org.example.app.voip".into(),
        endpoint: "https://api.push.apple.com".parse().unwrap(),
    }
}

pub(super) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(super) fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

pub(super) fn token(text: &str) -> PushToken {
    PushToken::parse(text).unwrap()
}

/// alice rings bob, from [`START`] on.
pub(super) fn call(name: Option<&str>, avatar: Option<&str>) -> Call {
    let text = |text: Option<&str>| text.and_then(|text| Text::parse_up_to(text, 4096));
    Call {
        id: CallId::from_u128(1),
        caller: Party { user: user("alice"), device: device("phone") },
        callee: user("bob"),
        call_type: CallType::Video,
        display: CallerDisplay { name: text(name), avatar: text(avatar) },
        request_id: None,
        created_at: START,
        state: State::Ringing(Ringing { until: START.plus(RING_TIMEOUT), caller_given_up_at: None }),
    }
}

pub(super) fn wakeup(call: Call, wake: Wake) -> Wakeup {
    Wakeup { user: call.callee.clone(), call: Arc::new(call), wake }
}

/// The message about that, half a second after the call began.
pub(super) fn message(call: Call, wake: Wake) -> Message {
    let now = START.plus(Duration::from_millis(500));
    let status_token = Arc::new(|_, until: Timestamp| format!("token-{}", until.0)) as _;
    Message::new(&wakeup(call, wake), now, RING_TIMEOUT, &status_token).unwrap()
}

pub(super) fn stop(why: Silence) -> Wake {
    Wake::Stop { why, except: None }
}

/// These tokens.
pub(super) fn tokens(fcm: Option<&str>, apns_voip: Option<&str>) -> PushTokens {
    let both = [(PushTokenKind::Fcm, fcm), (PushTokenKind::ApnsVoip, apns_voip)];
    both.into_iter().filter_map(|(kind, text)| Some((kind, PushToken::parse(text?).unwrap()))).collect()
}
