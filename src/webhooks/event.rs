//! What is told: the events, their names, ids and bodies. Ids and times, and nothing that people have said or are called.

use serde::Serialize;

use crate::call::{CallType, Milestone, Party, Turn};
use crate::clock::Timestamp;
use crate::metrics::{Label, WebhookEvent};

/// An event as it is sent, the same at each attempt.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Which it is.
    pub(super) kind: WebhookEvent,
    /// The call and the place of the event among those of the call: the same on every node.
    pub(super) id: String,
    /// When it was so.
    pub(super) at: Timestamp,
    pub(super) body: Vec<u8>,
}

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    call_id: String,
    call_type: &'static str,
    caller: Device,
    callee: Device,
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<String>,
    #[serde(flatten)]
    end: Option<End>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct End {
    ended_at: String,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<Device>,
    /// From the beginning to the answer, or to the end without one.
    ring_ms: u64,
    /// From the answer to the end.
    duration_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
}

impl From<&Party> for Device {
    fn from(party: &Party) -> Self {
        Self { user_id: party.user.to_string(), device_id: Some(party.device.to_string()) }
    }
}

/// Which event a milestone is. The end of a call is one of two, never both.
pub(super) fn kind(milestone: &Milestone) -> WebhookEvent {
    match milestone.turn {
        Turn::Started => WebhookEvent::Started,
        Turn::Answered => WebhookEvent::Answered,
        Turn::Ended(_) if milestone.is_missed() => WebhookEvent::Missed,
        Turn::Ended(_) => WebhookEvent::Ended,
    }
}

impl Event {
    /// The event that tells of `milestone`.
    pub(super) fn of(milestone: &Milestone) -> Self {
        let kind = kind(milestone);
        let Milestone { turn, at, call, .. } = *milestone;
        let body = Body { kind: kind.words()[0], timestamp: at.to_iso8601(), data: data(milestone) };
        // Strings and numbers, which JSON takes.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        Self { kind, id: format!("{call}:{}", turn.place()), at, body }
    }
}

fn data(milestone: &Milestone) -> Data {
    let Milestone { turn, at, call, call_type, created_at, answered_at, .. } = *milestone;
    let millis = |from: Timestamp, to: Timestamp| to.0.saturating_sub(from.0);
    let end = match turn {
        Turn::Started | Turn::Answered => None,
        Turn::Ended(ending) => Some(End {
            ended_at: at.to_iso8601(),
            reason: ending.word(),
            ended_by: milestone.by.as_ref().map(Device::from),
            ring_ms: millis(created_at, answered_at.unwrap_or(at)),
            duration_ms: answered_at.map_or(0, |answered_at| millis(answered_at, at)),
        }),
    };
    Data {
        call_id: call.to_string(),
        call_type: match call_type {
            CallType::Audio => "audio",
            CallType::Video => "video",
        },
        caller: Device::from(&milestone.caller),
        callee: Device {
            user_id: milestone.callee.to_string(),
            device_id: milestone.callee_device.as_ref().map(ToString::to_string),
        },
        started_at: created_at.to_iso8601(),
        answered_at: answered_at.map(Timestamp::to_iso8601),
        end,
    }
}
