//! What clients are told: the name and the payload of every event about a call that the server sends.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::call::{CallType, Elsewhere, EndReason, Event, Notice, Text};
use crate::ids::EventId;
use crate::protocol::schemas;
use crate::protocol::{Media, Signal, SignalKind};

/// An event as the wire has it.
#[derive(Debug)]
pub struct ServerEvent<'a> {
    /// The event's name.
    pub name: &'static str,
    /// Its one argument.
    pub body: Body<'a>,
    /// The media in it, whose binary attachments have to travel beside it.
    pub media: Option<&'a Media>,
}

/// The payload of an event about a call.
#[derive(Debug, Serialize)]
#[serde(untagged)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Body<'a> {
    Incoming(Incoming<'a>),
    Accepted(Accepted<'a>),
    Rejected(Rejected<'a>),
    Ended(Ended<'a>),
    TimedOut(TimedOut),
    Cancelled(Cancelled),
    Description(Description<'a>),
    Candidate(Candidate<'a>),
}

/// It rings.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "IncomingCallEvent", deny_unknown_fields)]
pub struct Incoming<'a> {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// Who calls.
    #[schemars(schema_with = "schemas::id")]
    caller_id: &'a str,
    /// `Unknown` if the caller has sent none.
    #[schemars(schema_with = "schemas::of::<crate::protocol::fields::Short>")]
    caller_name: &'a str,
    /// As the caller has sent it, or null.
    #[schemars(schema_with = "schemas::or_null::<crate::protocol::fields::Avatar>")]
    caller_avatar: Option<&'a str>,
    #[schemars(schema_with = "schemas::of::<CallType>")]
    call_type: &'static str,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

/// To the device that calls: answered.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallAcceptEvent", deny_unknown_fields)]
pub struct Accepted<'a> {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// Who has answered.
    #[schemars(schema_with = "schemas::id")]
    callee_id: &'a str,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

/// To the device that calls: declined, or the callee is busy.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallRejectEvent", deny_unknown_fields)]
pub struct Rejected<'a> {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// Who has declined.
    #[schemars(schema_with = "schemas::id")]
    callee_id: &'a str,
    /// The callee's, else `declined`; `busy` from the server.
    #[schemars(schema_with = "schemas::of::<crate::protocol::fields::Short>", extend("examples" = [DECLINED, "busy"]))]
    reason: &'a str,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

/// Over.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallEndEvent", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
pub struct Ended<'a> {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// A user id, or `server`.
    #[schemars(schema_with = "schemas::id")]
    ended_by: &'a str,
    /// The one that was sent, else `ended`; the others are the server's.
    #[schemars(schema_with = "schemas::of::<crate::protocol::fields::Short>", extend("examples" = END_REASONS.map(end_reason)))]
    reason: &'a str,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

/// Nobody has answered in time.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallTimeoutEvent", deny_unknown_fields)]
pub struct TimedOut {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// The first to the device that calls, the second to the devices of the callee.
    #[schemars(extend("enum" = [NO_ANSWER, MISSED]))]
    reason: &'static str,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

/// To the other devices of the callee: it rings no more.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallCancelledEvent", deny_unknown_fields)]
pub struct Cancelled {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// What the other device has done; `declined_elsewhere` also if it has hung up.
    #[schemars(extend("enum" = [ANSWERED_ELSEWHERE, DECLINED_ELSEWHERE]))]
    reason: &'static str,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

/// A session description of the other device, as it was sent.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DescriptionEvent", deny_unknown_fields)]
pub struct Description<'a> {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// The user at the other side.
    #[schemars(schema_with = "schemas::id")]
    from: &'a str,
    /// As it was sent; binary data in it as binary data.
    #[schemars(schema_with = "schemas::of::<crate::protocol::fields::Description>")]
    sdp: &'a RawValue,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

/// A candidate of the other device, as it was sent.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CandidateEvent", deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
pub struct Candidate<'a> {
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    /// The user at the other side.
    #[schemars(schema_with = "schemas::id")]
    from: &'a str,
    /// As it was sent; null for "no more".
    #[schemars(schema_with = "schemas::of::<crate::protocol::fields::Candidate>")]
    candidate: &'a RawValue,
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    #[schemars(schema_with = "schemas::event_id")]
    event_id: u64,
}

const DECLINED: &str = "declined";
const NO_ANSWER: &str = "No answer from callee";
const MISSED: &str = "Call timeout";
const ANSWERED_ELSEWHERE: &str = "answered_elsewhere";
const DECLINED_ELSEWHERE: &str = "declined_elsewhere";

impl<'a> ServerEvent<'a> {
    /// A change of a call.
    pub fn notice(id: EventId, notice: &'a Notice) -> Self {
        let (call_id, timestamp, event_id) = (notice.call_id.to_string(), notice.at.0, id.0);
        let timed_out = |call_id, reason| Body::TimedOut(TimedOut { call_id, reason, timestamp, event_id });
        let cancelled = |call_id, reason| Body::Cancelled(Cancelled { call_id, reason, timestamp, event_id });
        let (name, body) = match &notice.event {
            Event::Incoming { caller, display, call_type } => {
                let caller_name = display.name.as_ref().map(Text::as_str).filter(|name| !name.is_empty());
                let body = Incoming {
                    call_id,
                    caller_id: caller.as_str(),
                    caller_name: caller_name.unwrap_or("Unknown"),
                    caller_avatar: display.avatar.as_ref().map(Text::as_str),
                    call_type: call_type.word(),
                    timestamp,
                    event_id,
                };
                ("incoming_call", Body::Incoming(body))
            }
            Event::Accepted { callee } => {
                let callee_id = callee.as_str();
                ("call_accept", Body::Accepted(Accepted { call_id, callee_id, timestamp, event_id }))
            }
            Event::Rejected { callee, reason } => {
                let (callee_id, reason) = (callee.as_str(), reason.as_ref().map_or(DECLINED, Text::as_str));
                ("call_reject", Body::Rejected(Rejected { call_id, callee_id, reason, timestamp, event_id }))
            }
            Event::Ended { ended_by, reason } => {
                let ended_by = ended_by.as_ref().map_or("server", |user| user.as_str());
                let reason = end_reason(reason);
                ("call_end", Body::Ended(Ended { call_id, ended_by, reason, timestamp, event_id }))
            }
            Event::NoAnswer => ("call_timeout", timed_out(call_id, NO_ANSWER)),
            Event::Missed => ("call_timeout", timed_out(call_id, MISSED)),
            Event::Cancelled(Elsewhere::Answered) => ("call_cancelled", cancelled(call_id, ANSWERED_ELSEWHERE)),
            Event::Cancelled(Elsewhere::Declined) => ("call_cancelled", cancelled(call_id, DECLINED_ELSEWHERE)),
        };
        Self { name, body, media: None }
    }

    /// Something the other device said.
    pub fn signal(id: EventId, signal: &'a Signal) -> Self {
        let (call_id, timestamp, event_id) = (signal.call_id.to_string(), signal.at.0, id.0);
        let (from, json) = (signal.from.as_str(), signal.media.json());
        let description = |call_id| Body::Description(Description { call_id, from, sdp: json, timestamp, event_id });
        let (name, body) = match signal.kind {
            SignalKind::Offer => ("sdp_offer", description(call_id)),
            SignalKind::Answer => ("sdp_answer", description(call_id)),
            SignalKind::Candidate => {
                ("ice_candidate", Body::Candidate(Candidate { call_id, from, candidate: json, timestamp, event_id }))
            }
        };
        Self { name, body, media: Some(&signal.media) }
    }
}

/// Every reason that no client has sent.
const END_REASONS: [&EndReason; 4] =
    [&EndReason::HungUp(None), &EndReason::Replaced, &EndReason::ConnectionLost, &EndReason::MaxDuration];

fn end_reason(reason: &EndReason) -> &str {
    match reason {
        EndReason::HungUp(Some(text)) => text.as_str(),
        EndReason::HungUp(None) => "ended",
        EndReason::Replaced => "replaced",
        EndReason::ConnectionLost => "connection_lost",
        EndReason::MaxDuration => "max_duration",
    }
}

impl CallType {
    /// Every one.
    pub const ALL: [Self; 2] = [CallType::Audio, CallType::Video];

    /// The word for it on the wire.
    pub fn word(self) -> &'static str {
        match self {
            CallType::Audio => "audio",
            CallType::Video => "video",
        }
    }
}
