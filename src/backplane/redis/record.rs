//! A call as Redis keeps it: the documented JSON, with more fields beside. Another release may have written it, and may read
//! what is written here: fields that this one does not know survive a change.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::{Accepted, Call, CallType, CallerDisplay, EndReason, Outcome, Over, Party, Ringing, State, Text};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, RequestId, UserId};

/// The form of the record. A release that changes what a field means, or adds a state, writes a higher one; records of a higher
/// form than its own a release leaves alone.
const FORM: u32 = 1;
/// Longest text taken from a record, in characters.
const MAX_TEXT_CHARS: usize = 4096;

/// Fields of a record that this release does not know.
pub(super) type Foreign = Map<String, Value>;

/// A record that cannot be read by this release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record of a call cannot be read")]
pub(super) struct Unreadable;

/// A record, read.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) call: Call,
    /// How often it was changed.
    pub(super) revision: u64,
    pub(super) foreign: Foreign,
}

/// The JSON. The scripts read the first two fields, which therefore stay first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    rev: u64,
    by: String,
    v: u32,
    call_id: String,
    caller_id: String,
    callee_id: String,
    call_type: String,
    state: String,
    created_at: u64,
    accepted_at: Option<u64>,
    ended_at: Option<u64>,
    caller_device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee_device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_avatar: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller_given_up_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee_given_up_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_text: Option<String>,
    #[serde(flatten)]
    foreign: Foreign,
}

/// The text of a record. `token` tells who made the change.
pub(super) fn write(call: &Call, revision: u64, token: &str, foreign: Foreign) -> String {
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.as_str().to_owned());
    let mut json = Json {
        rev: revision,
        by: token.to_owned(),
        v: FORM,
        call_id: call.id.to_string(),
        caller_id: call.caller.user.to_string(),
        callee_id: call.callee.to_string(),
        call_type: call.call_type.word().to_owned(),
        state: String::new(),
        created_at: call.created_at.0,
        accepted_at: None,
        ended_at: None,
        caller_device: call.caller.device.to_string(),
        callee_device: None,
        caller_name: text(&call.display.name),
        caller_avatar: text(&call.display.avatar),
        request_id: call.request_id.as_ref().map(ToString::to_string),
        until: None,
        caller_given_up_at: None,
        callee_given_up_at: None,
        end_reason: None,
        end_text: None,
        foreign,
    };
    let millis = |at: Option<Timestamp>| at.map(|at| at.0);
    match &call.state {
        State::Ringing(ringing) => {
            "ringing".clone_into(&mut json.state);
            json.until = Some(ringing.until.0);
            json.caller_given_up_at = millis(ringing.caller_given_up_at);
        }
        State::Accepted(accepted) => {
            "accepted".clone_into(&mut json.state);
            json.accepted_at = Some(accepted.at.0);
            json.callee_device = Some(accepted.callee_device.to_string());
            json.until = Some(accepted.until.0);
            json.caller_given_up_at = millis(accepted.caller_given_up_at);
            json.callee_given_up_at = millis(accepted.callee_given_up_at);
        }
        State::Over(over) => {
            over.word().clone_into(&mut json.state);
            json.accepted_at = millis(over.accepted_at);
            json.ended_at = Some(over.at.0);
            if let Outcome::Ended(reason) = &over.outcome {
                json.end_reason = Some(end_reason(reason).to_owned());
                if let EndReason::HungUp(said) = reason {
                    json.end_text = text(said);
                }
            }
        }
    }
    // Strings and numbers can be written.
    serde_json::to_string(&json).unwrap_or_default()
}

/// How the text of a record at this revision begins.
pub(super) fn head(revision: u64) -> String {
    format!("{{\"rev\":{revision},")
}

/// Reads the text of a record.
pub(super) fn read(text: &str) -> Result<Record, Unreadable> {
    let json: Json = serde_json::from_str(text).map_err(|_| Unreadable)?;
    if json.v > FORM {
        return Err(Unreadable);
    }
    let state = state(&json).ok_or(Unreadable)?;
    let text = |text: &Option<String>| text.as_ref().and_then(|text| Text::parse_up_to(text, MAX_TEXT_CHARS));
    let call = Call {
        id: CallId::parse(&json.call_id).ok_or(Unreadable)?,
        caller: Party {
            user: UserId::parse(&json.caller_id).ok_or(Unreadable)?,
            device: DeviceId::parse(&json.caller_device).ok_or(Unreadable)?,
        },
        callee: UserId::parse(&json.callee_id).ok_or(Unreadable)?,
        call_type: match json.call_type.as_str() {
            "audio" => CallType::Audio,
            "video" => CallType::Video,
            _ => return Err(Unreadable),
        },
        display: CallerDisplay { name: text(&json.caller_name), avatar: text(&json.caller_avatar) },
        request_id: json.request_id.as_deref().and_then(RequestId::parse),
        created_at: Timestamp(json.created_at),
        state,
    };
    Ok(Record { call, revision: json.rev, foreign: json.foreign })
}

fn state(json: &Json) -> Option<State> {
    let over = |outcome| {
        let accepted_at = json.accepted_at.map(Timestamp);
        Some(State::Over(Over { at: Timestamp(json.ended_at?), accepted_at, outcome }))
    };
    match json.state.as_str() {
        "ringing" => Some(State::Ringing(Ringing {
            until: Timestamp(json.until?),
            caller_given_up_at: json.caller_given_up_at.map(Timestamp),
        })),
        "accepted" => Some(State::Accepted(Accepted {
            at: Timestamp(json.accepted_at?),
            until: Timestamp(json.until?),
            callee_device: DeviceId::parse(json.callee_device.as_deref()?)?,
            caller_given_up_at: json.caller_given_up_at.map(Timestamp),
            callee_given_up_at: json.callee_given_up_at.map(Timestamp),
        })),
        "rejected" => over(Outcome::Rejected),
        "timeout" => over(Outcome::TimedOut),
        "ended" => over(Outcome::Ended(match json.end_reason.as_deref()? {
            "hung_up" => EndReason::HungUp(json.end_text.as_deref().and_then(Text::parse)),
            "replaced" => EndReason::Replaced,
            "connection_lost" => EndReason::ConnectionLost,
            "max_duration" => EndReason::MaxDuration,
            _ => return None,
        })),
        _ => None,
    }
}

/// The word for a reason.
pub(super) fn end_reason(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::HungUp(_) => "hung_up",
        EndReason::Replaced => "replaced",
        EndReason::ConnectionLost => "connection_lost",
        EndReason::MaxDuration => "max_duration",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(state: State) -> Call {
        Call {
            id: CallId::from_u128(7),
            caller: Party { user: UserId::parse("al\"ice").unwrap(), device: DeviceId::parse("a1").unwrap() },
            callee: UserId::parse("bob").unwrap(),
            call_type: CallType::Video,
            display: CallerDisplay { name: Text::parse("Zoë"), avatar: Text::parse("https://x/y") },
            request_id: RequestId::parse("r1"),
            created_at: Timestamp(1),
            state,
        }
    }

    fn accepted() -> State {
        State::Accepted(Accepted {
            at: Timestamp(5),
            until: Timestamp(90),
            callee_device: DeviceId::parse("b1").unwrap(),
            caller_given_up_at: None,
            callee_given_up_at: Some(Timestamp(8)),
        })
    }

    fn over(outcome: Outcome) -> State {
        State::Over(Over { at: Timestamp(9), accepted_at: Some(Timestamp(5)), outcome })
    }

    #[test]
    fn every_state_is_read_back() {
        let ended = |reason| over(Outcome::Ended(reason));
        let states = [
            State::Ringing(Ringing { until: Timestamp(50), caller_given_up_at: Some(Timestamp(20)) }),
            accepted(),
            over(Outcome::Rejected),
            over(Outcome::TimedOut),
            ended(EndReason::HungUp(None)),
            ended(EndReason::HungUp(Text::parse("user_ended"))),
            ended(EndReason::Replaced),
            ended(EndReason::ConnectionLost),
            ended(EndReason::MaxDuration),
        ];
        for state in states {
            let record = read(&write(&call(state.clone()), 3, "n-1", Foreign::new())).unwrap();
            assert_eq!((record.call, record.revision), (call(state), 3));
            assert!(record.foreign.is_empty());
        }
    }

    #[test]
    fn the_documented_fields_are_there_and_the_first_two_come_first() {
        let text = write(&call(accepted()), 2, "n-1", Foreign::new());
        assert!(text.starts_with(r#"{"rev":2,"by":"n-1","#) && text.starts_with(&head(2)), "{text}");
        let json: Value = serde_json::from_str(&text).unwrap();
        let documented = serde_json::json!({
            "callId": "00000000-0000-0000-0000-000000000007", "callerId": "al\"ice", "calleeId": "bob", "callType": "video",
            "state": "accepted", "createdAt": 1, "acceptedAt": 5, "endedAt": null,
        });
        for (name, value) in documented.as_object().unwrap() {
            assert_eq!(json.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn what_another_release_wrote_survives_and_what_it_changed_is_left_alone() {
        let text = write(&call(accepted()), 2, "n-1", Foreign::new());
        let newer = text.replace(r#""v":1"#, r#""v":1,"pushed":{"at":[1,2]},"zone":"b""#);
        let record = read(&newer).unwrap();
        assert_eq!(record.foreign.len(), 2);
        let again: Value = serde_json::from_str(&write(&record.call, 3, "n-2", record.foreign)).unwrap();
        assert_eq!(again["pushed"], serde_json::json!({ "at": [1, 2] }));
        assert_eq!((again["zone"].as_str(), again["rev"].as_u64()), (Some("b"), Some(3)));
        for bad in
            [text.replace(r#""v":1"#, r#""v":2"#), text.replace("accepted\"", "held\""), "{}".into(), String::new()]
        {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
