//! What clients are told: the name and the payload of every event the server sends.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::call::{CallType, Elsewhere, EndReason, Event, Notice, Text};
use crate::ids::EventId;
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

/// The payload of an event; fields that an event does not have are left out.
#[derive(Debug, Serialize)]
#[expect(clippy::option_option, reason = "an avatar may be left out, and may be null")]
#[serde(rename_all = "camelCase")]
pub struct Body<'a> {
    call_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_avatar: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sdp: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    timestamp: u64,
    event_id: u64,
}

impl<'a> ServerEvent<'a> {
    /// A change of a call.
    pub fn notice(id: EventId, notice: &'a Notice) -> Self {
        let body = Body { call_id: notice.call_id.to_string(), timestamp: notice.at.0, ..Body::empty(id) };
        let (name, body) = match &notice.event {
            Event::Incoming { caller, display, call_type } => {
                let name = display.name.as_ref().map_or("", Text::as_str);
                let body = Body {
                    caller_id: Some(caller.as_str()),
                    caller_name: Some(if name.is_empty() { "Unknown" } else { name }),
                    caller_avatar: Some(display.avatar.as_ref().map(Text::as_str)),
                    call_type: Some(call_type.word()),
                    ..body
                };
                ("incoming_call", body)
            }
            Event::Accepted { callee } => ("call_accept", Body { callee_id: Some(callee.as_str()), ..body }),
            Event::Rejected { callee, reason } => {
                let reason = reason.as_ref().map_or("declined", Text::as_str);
                ("call_reject", Body { callee_id: Some(callee.as_str()), reason: Some(reason), ..body })
            }
            Event::Ended { ended_by, reason } => {
                let ended_by = ended_by.as_ref().map_or("server", |user| user.as_str());
                ("call_end", Body { ended_by: Some(ended_by), reason: Some(end_reason(reason)), ..body })
            }
            Event::NoAnswer => ("call_timeout", Body { reason: Some("No answer from callee"), ..body }),
            Event::Missed => ("call_timeout", Body { reason: Some("Call timeout"), ..body }),
            Event::Cancelled(Elsewhere::Answered) => {
                ("call_cancelled", Body { reason: Some("answered_elsewhere"), ..body })
            }
            Event::Cancelled(Elsewhere::Declined) => {
                ("call_cancelled", Body { reason: Some("declined_elsewhere"), ..body })
            }
        };
        Self { name, body, media: None }
    }

    /// Something the other device said.
    pub fn signal(id: EventId, signal: &'a Signal) -> Self {
        let json = Some(signal.media.json());
        let body = Body {
            call_id: signal.call_id.to_string(),
            from: Some(signal.from.as_str()),
            timestamp: signal.at.0,
            ..Body::empty(id)
        };
        let (name, body) = match signal.kind {
            SignalKind::Offer => ("sdp_offer", Body { sdp: json, ..body }),
            SignalKind::Answer => ("sdp_answer", Body { sdp: json, ..body }),
            SignalKind::Candidate => ("ice_candidate", Body { candidate: json, ..body }),
        };
        Self { name, body, media: Some(&signal.media) }
    }
}

impl Body<'_> {
    fn empty(id: EventId) -> Self {
        Self {
            call_id: String::new(),
            caller_id: None,
            caller_name: None,
            caller_avatar: None,
            call_type: None,
            callee_id: None,
            from: None,
            sdp: None,
            candidate: None,
            ended_by: None,
            reason: None,
            timestamp: 0,
            event_id: id.0,
        }
    }
}

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
    /// The word for it on the wire.
    pub fn word(self) -> &'static str {
        match self {
            CallType::Audio => "audio",
            CallType::Video => "video",
        }
    }
}
