//! What the suite is about: Alice, who calls Bob, their devices, and what is said.

use serde_json::value::RawValue;

use crate::backplane::{Outgoing, Payload, Registration};
use crate::call::{
    Accepted, Audience, Call, CallType, CallerDisplay, EndReason, Event, Notice, Outcome, Over, Party, Ringing, State,
};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, PushTokens, RequestId, SessionId, UserId};
use crate::protocol::{Media, Signal, SignalKind};

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

pub(crate) fn session(name: &str) -> SessionId {
    SessionId::parse(name).unwrap()
}

/// Alice, by her device `a1`, rings Bob until `until`.
pub(crate) fn ringing(until: Timestamp) -> Call {
    ringing_from("a1", until)
}

pub(crate) fn ringing_from(caller_device: &str, until: Timestamp) -> Call {
    Call {
        id: CallId::random(),
        caller: Party { user: user("alice"), device: device(caller_device) },
        callee: user("bob"),
        call_type: CallType::Audio,
        display: CallerDisplay::default(),
        request_id: None,
        created_at: Timestamp(0),
        state: State::Ringing(Ringing { until, caller_given_up_at: None }),
    }
}

/// So far away that no test gets there.
pub(crate) fn far() -> Timestamp {
    Timestamp(u64::MAX / 2)
}

pub(crate) fn requested(call: Call, request: &str) -> Call {
    Call { request_id: RequestId::parse(request), ..call }
}

pub(crate) fn accepted(call: Call, callee_device: &str) -> Call {
    let state = State::Accepted(Accepted {
        at: Timestamp(0),
        until: far(),
        callee_device: device(callee_device),
        caller_given_up_at: None,
        callee_given_up_at: None,
    });
    Call { state, ..call }
}

pub(crate) fn over(call: Call) -> Call {
    let state = State::Over(Over { at: Timestamp(0), accepted_at: None, outcome: Outcome::TimedOut });
    Call { state, ..call }
}

pub(crate) fn notice(call_id: CallId, to: &UserId, event: Event) -> Outgoing {
    let notice = Notice { call_id, at: Timestamp(0), event };
    Outgoing { user: to.clone(), audience: Audience::All, payload: Payload::Notice(notice), trace: None }
}

pub(crate) fn incoming(call_id: CallId, to: &UserId) -> Outgoing {
    let event =
        Event::Incoming { caller: user("alice"), display: CallerDisplay::default(), call_type: CallType::Audio };
    notice(call_id, to, event)
}

/// The end of a call, which is to be kept whatever else is let go.
pub(crate) fn end_of(call_id: CallId, to: &UserId) -> Outgoing {
    notice(call_id, to, Event::Ended { ended_by: None, reason: EndReason::MaxDuration })
}

/// A candidate of about this many bytes.
pub(crate) fn signal(call_id: CallId, to: &UserId, bytes: usize) -> Outgoing {
    let json = RawValue::from_string(format!("\"{}\"", "c".repeat(bytes))).unwrap();
    let signal = Signal {
        call_id,
        from: user("alice"),
        at: Timestamp(0),
        kind: SignalKind::Candidate,
        media: Media::new(&json, &[]),
    };
    Outgoing { user: to.clone(), audience: Audience::Only(device("b1")), payload: Payload::Signal(signal), trace: None }
}

pub(crate) fn registration(
    user_name: &str,
    device_name: Option<&str>,
    session_name: &str,
    at: Timestamp,
) -> Registration {
    Registration {
        user: user(user_name),
        device: device_name.map(device),
        session: session(session_name),
        platform: None,
        tokens: PushTokens::default(),
        at,
    }
}
