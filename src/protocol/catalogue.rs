//! All that may be asked and all that is told, as data: what `docs/asyncapi.json` is made of. Payloads and answers are the types that
//! are read and sent; examples are made by the code that makes the real ones.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::call::{CallType, CallerDisplay, Elsewhere, EndReason, Event, Notice, Text};
use crate::clock::Timestamp;
use crate::ids::schema::Describe;
use crate::ids::{CallId, DeviceId, EventId, SessionId, UserId};
use crate::protocol::payloads::{
    AcceptFields, CandidateFields, DescriptionFields, EndFields, IceFields, InitiateFields, RegisterFields,
    RejectFields, TokenFields, Unread,
};
use crate::protocol::server_event::{
    Accepted, Cancelled, Candidate, Description, Ended, Incoming, Rejected, ServerEvent, TimedOut,
};
use crate::protocol::{
    CallAck, CallAnswered, Code, Done, FreshIceServers, IceServersAck, InitiateAck, Media, Pong, Problem, Reachability,
    RefreshAck, Registered, Said, Signal, SignalKind,
};

/// What a client may ask.
pub struct Request {
    /// The event.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its payload.
    pub payload: Describe,
    /// Payloads.
    pub examples: Vec<Value>,
    /// The media in it, if there is any.
    pub media: Option<SignalKind>,
    /// What is answered, if it is not refused.
    pub answer: Describe,
    /// One of those.
    pub answered: Value,
    /// Why it may be refused, beside [`ALWAYS`].
    pub refusals: &'static [Code],
}

/// What the server says unasked.
pub struct Told {
    /// The event.
    pub name: &'static str,
    /// To whom, and when.
    pub about: &'static str,
    /// Its payload.
    pub payload: Describe,
    /// Payloads.
    pub examples: Vec<Value>,
    /// The problems it may tell of, if it tells of any.
    pub problems: Vec<Code>,
}

/// Why any request may be refused.
pub const ALWAYS: [Code; 4] = [Code::E303, Code::E500, Code::E501, Code::E502];

const CALL: CallId = CallId::from_u128(0xcdcb_ef34_f06f_4fb0_b55c_b66f_f108_8e50);
const NOW: Timestamp = Timestamp(1_769_860_800_000);
const TTL: Duration = Duration::from_secs(86_400);
const NUMBER: EventId = EventId(NOW.0);
const REGISTER: &[Code] = &[Code::E001, Code::E003, Code::E203, Code::E301];
const ANSWER: &[Code] = &[Code::E101, Code::E102, Code::E203, Code::E301];
const SIGNAL: &[Code] = &[Code::E101, Code::E102, Code::E203, Code::E301, Code::E302];

/// Every request, in the order of [`EVENT_NAMES`](crate::protocol::EVENT_NAMES). `servers` is an example of what WebRTC takes.
pub fn requests<S: JsonSchema + Serialize>(servers: S) -> Vec<Request> {
    let mut requests = about_the_socket(servers);
    requests.extend(requests_about_calls());
    requests.push(Request {
        about: "The time of the server. Without a callback the answer is the event `pong`.",
        ..request("ping", of::<Unread>, of::<Pong>, shown(Pong::new(NOW)))
    });
    requests.push(Request {
        about: "Nothing: it is ignored.",
        ..request("pong", of::<Unread>, of::<Done>, shown(Done::new()))
    });
    requests
}

fn about_the_socket<S: JsonSchema + Serialize>(servers: S) -> Vec<Request> {
    let [first, _] = registered();
    vec![
        Request {
            about: "Takes the seat of a device: from here on it rings, and gets what it has missed. To be sent on every connect.",
            examples: vec![
                json!({ "userId": "alice", "deviceId": "alice-laptop", "platform": "web" }),
                json!({ "userId": "alice", "deviceId": "alice-laptop", "lastEventId": NOW.0, "fcmToken": null }),
            ],
            refusals: REGISTER,
            ..request("register", of::<RegisterFields<'_>>, of::<Registered<'_>>, first)
        },
        Request {
            about: "Signs the device out: it does not ring any more.",
            ..request("unregister", of::<Unread>, of::<Done>, shown(Done::new()))
        },
        Request {
            about: "Keeps the connection when its token expires.",
            examples: vec![json!({ "token": "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.…" })],
            refusals: &[Code::E203, Code::E301, Code::E302],
            ..request(
                "token_refresh",
                of::<TokenFields<'_>>,
                of::<RefreshAck>,
                shown(RefreshAck::new(Some(NOW.plus(Duration::from_secs(3600))))),
            )
        },
        Request {
            about: "STUN, and TURN with credentials for the user of the token. The payload may be left out.",
            examples: vec![json!({ "region": "eu" })],
            refusals: &[Code::E301],
            ..request(
                "get_ice_servers",
                of::<IceFields<'_>>,
                of::<IceServersAck<S>>,
                shown(IceServersAck::new(servers, TTL)),
            )
        },
    ]
}

fn requests_about_calls() -> Vec<Request> {
    let call_id = CALL.to_string();
    let description = json!({ "type": "offer", "sdp": "v=0…" });
    vec![
        Request {
            about: "Calls somebody.",
            examples: vec![
                json!({ "calleeId": "bob", "callType": "video", "callerName": "Alice", "requestId": "r-1" }),
            ],
            refusals: &[Code::E003, Code::E005, Code::E301],
            ..request(
                "call_initiate",
                of::<InitiateFields<'_>>,
                of::<InitiateAck>,
                shown(InitiateAck::new(CALL, CallType::Video, Reachability::Online)),
            )
        },
        Request {
            about: "Answers a call that rings.",
            examples: vec![json!({ "callId": call_id })],
            refusals: ANSWER,
            ..request("call_accept", of::<AcceptFields<'_>>, of::<CallAnswered>, shown(CallAnswered::new(CALL)))
        },
        Request {
            about: "Declines a call that rings.",
            examples: vec![json!({ "callId": call_id, "reason": "busy" })],
            refusals: ANSWER,
            ..request("call_reject", of::<RejectFields<'_>>, of::<CallAck<'_>>, shown(CallAck::rejected(&call_id)))
        },
        Request {
            about: "Ends a call that rings or was answered. One that is over or unknown is no error.",
            examples: vec![json!({ "callId": call_id, "reason": "user_ended" })],
            refusals: &[Code::E203, Code::E301, Code::E302],
            ..request("call_end", of::<EndFields<'_>>, of::<CallAck<'_>>, shown(CallAck::ended(&call_id)))
        },
        signal("sdp_offer", SignalKind::Offer, json!({ "callId": call_id, "to": "bob", "sdp": description })),
        signal("sdp_answer", SignalKind::Answer, json!({ "callId": call_id, "to": "alice", "sdp": "v=0…" })),
        signal("ice_candidate", SignalKind::Candidate, json!({ "callId": call_id, "to": "bob", "candidate": null })),
    ]
}

/// Every event that the server sends. `servers` is an example of what WebRTC takes.
pub fn told<S: JsonSchema + Serialize>(servers: S) -> Vec<Told> {
    let problems = |problems: &[Problem]| problems.iter().map(shown).collect();
    let mut told = vec![
        event(
            "registered",
            of::<Registered<'_>>,
            "To the socket, after `register` and before anything that was missed.",
            registered().into(),
        ),
        Told {
            problems: [REGISTER, &ALWAYS].concat(),
            ..event(
                "registration_error",
                of::<Problem>,
                "To the socket: `register` was refused.",
                problems(&[Problem::not_yourself(), Problem::unavailable()]),
            )
        },
    ];
    told.extend(about_calls());
    told.extend([
        event(
            "ice_servers",
            of::<FreshIceServers<S>>,
            "To both devices of an accepted call, in time before the TURN credentials they have expire. It has no `eventId`, and \
             is not kept.",
            vec![shown(FreshIceServers::new(servers, TTL))],
        ),
        Told {
            problems: vec![Code::E004, Code::E005, Code::E303, Code::E501, Code::E502],
            ..event(
                "error",
                of::<Problem>,
                "To the socket, before the server closes it: E004, E005, E303. Also, once a second at most, when requests \
                 without callback are refused: E303, E501, E502.",
                problems(&[Problem::replaced(), Problem::token_expired(), Problem::timed_out()]),
            )
        },
        event(
            "pong",
            of::<Pong>,
            "To the socket, after `ping` without callback.",
            vec![shown(Pong::new(NOW))],
        ),
    ]);
    told
}

fn about_calls() -> [Told; 9] {
    let (alice, bob) = (UserId::parse("alice"), UserId::parse("bob"));
    let (alice, bob) = (alice.expect("it is printable"), bob.expect("it is printable"));
    let notice = |event| sent(&ServerEvent::notice(NUMBER, &Notice { call_id: CALL, at: NOW, event }));
    let said = |kind, json: Value| {
        let json = RawValue::from_string(json.to_string()).expect("JSON is JSON");
        let media = Media::new(&json, &[]);
        sent(&ServerEvent::signal(NUMBER, &Signal { call_id: CALL, from: alice.clone(), at: NOW, kind, media }))
    };
    let display = CallerDisplay { name: Text::parse("Alice"), avatar: None };
    let incoming = Event::Incoming { caller: alice.clone(), display, call_type: CallType::Video };
    let ended = |ended_by, reason| notice(Event::Ended { ended_by, reason });
    let other = "To the other device of the call, as it was sent.";
    [
        about_a_call(
            of::<Incoming<'_>>,
            "To every device of the callee: it rings. Again when a device registers while it rings.",
            [notice(incoming)],
        ),
        about_a_call(
            of::<Accepted<'_>>,
            "To the device that calls: answered.",
            [notice(Event::Accepted { callee: bob.clone() })],
        ),
        about_a_call(
            of::<Rejected<'_>>,
            "To the device that calls: declined, or the callee is busy.",
            [notice(Event::Rejected { callee: bob.clone(), reason: None })],
        ),
        about_a_call(
            of::<Cancelled>,
            "To the other devices of the callee: one has answered, declined or hung up.",
            [notice(Event::Cancelled(Elsewhere::Answered)), notice(Event::Cancelled(Elsewhere::Declined))],
        ),
        about_a_call(
            of::<TimedOut>,
            "To the device that calls and to every device of the callee: nobody has answered in time.",
            [notice(Event::NoAnswer), notice(Event::Missed)],
        ),
        about_a_call(
            of::<Ended<'_>>,
            "Over. While it rings to every device of the callee if the caller ends, to the device that calls if the callee \
             ends; later to the other device of the call; to both sides with `connection_lost` and `max_duration`.",
            [ended(Some(bob), EndReason::HungUp(None)), ended(None, EndReason::MaxDuration)],
        ),
        about_a_call(
            of::<Description<'_>>,
            other,
            [said(SignalKind::Offer, json!({ "type": "offer", "sdp": "v=0…" }))],
        ),
        about_a_call(of::<Description<'_>>, other, [said(SignalKind::Answer, json!("v=0…"))]),
        about_a_call(of::<Candidate<'_>>, other, [said(SignalKind::Candidate, Value::Null)]),
    ]
}

/// An event as it is sent: its name and its payload.
fn sent(event: &ServerEvent<'_>) -> (&'static str, Value) {
    (event.name, shown(&event.body))
}

/// One whose name is that of its examples.
fn about_a_call<const N: usize>(payload: Describe, about: &'static str, sent: [(&'static str, Value); N]) -> Told {
    const { assert!(N > 0, "an example has the name") };
    event(sent[0].0, payload, about, sent.into_iter().map(|(_, example)| example).collect())
}

fn request(name: &'static str, payload: Describe, answer: Describe, answered: Value) -> Request {
    Request { name, about: "", payload, examples: vec![], media: None, answer, answered, refusals: &[] }
}

fn signal(name: &'static str, kind: SignalKind, example: Value) -> Request {
    let payload: Describe = if kind.is_description() { of::<DescriptionFields<'_>> } else { of::<CandidateFields<'_>> };
    Request {
        about: "To the other device of an accepted call. Success means that it was accepted for delivery, not that it has arrived.",
        examples: vec![example],
        media: Some(kind),
        refusals: SIGNAL,
        ..request(name, payload, of::<Said>, shown(Said::of(kind)))
    }
}

fn event(name: &'static str, payload: Describe, about: &'static str, examples: Vec<Value>) -> Told {
    Told { name, about, payload, examples, problems: vec![] }
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

fn registered() -> [Value; 2] {
    let (session, device) = (SessionId::parse("mXjW0rYIuAoaRJ0mAAAB"), DeviceId::parse("alice-laptop"));
    let (session, device) = (session.expect("it is printable"), device.expect("it is printable"));
    [shown(Registered::first(&session, &device)), shown(Registered::again(&device))]
}

fn shown(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("what is sent can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Bounds, EVENT_NAMES, decode};

    const BOUNDS: Bounds = Bounds { sdp_bytes: 1024, candidate_bytes: 1024 };

    #[test]
    fn every_request_is_there_and_its_examples_are_read() {
        let requests = requests(());
        assert_eq!(requests.iter().map(|request| request.name).collect::<Vec<_>>(), EVENT_NAMES);
        for Request { name, about, examples, media, .. } in requests {
            for example in &examples {
                let event = decode(&json!([name, example]).to_string(), &[], BOUNDS).expect(name);
                assert_eq!(event.name(), name);
            }
            let says_nothing = ["unregister", "ping", "pong"].contains(&name);
            assert!(!about.is_empty() && examples.is_empty() == says_nothing, "{name}");
            assert_eq!(media.is_some(), name.starts_with("sdp_") || name.starts_with("ice_"), "{name}");
        }
    }

    #[test]
    fn every_event_is_there_once() {
        let told = told(());
        let names: std::collections::BTreeSet<_> = told.iter().map(|told| told.name).collect();
        assert_eq!(names.len(), told.len());
        assert!(told.iter().all(|told| !told.examples.is_empty() && !told.about.is_empty()));
    }
}
