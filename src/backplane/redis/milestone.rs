//! A milestone as Redis keeps it until it is told: its place among the turns of its call, and JSON. Another release may have written
//! it; what that says beside is of no account here.

use serde::{Deserialize, Serialize};

use crate::call::{CallType, Ending, Milestone, Party, Turn};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, UserId};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    /// `started`, `answered`, or how the call ended.
    turn: String,
    at: u64,
    call_id: String,
    call_type: String,
    caller_id: String,
    caller_device: String,
    callee_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    callee_device: Option<String>,
    created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<(String, String)>,
}

/// The text of a milestone.
pub(super) fn write(milestone: &Milestone) -> String {
    let json = Json {
        turn: word(milestone.turn).to_owned(),
        at: milestone.at.0,
        call_id: milestone.call.to_string(),
        call_type: milestone.call_type.word().to_owned(),
        caller_id: milestone.caller.user.to_string(),
        caller_device: milestone.caller.device.to_string(),
        callee_id: milestone.callee.to_string(),
        callee_device: milestone.callee_device.as_ref().map(ToString::to_string),
        created_at: milestone.created_at.0,
        answered_at: milestone.answered_at.map(|at| at.0),
        by: milestone.by.as_ref().map(|by| (by.user.to_string(), by.device.to_string())),
    };
    // Strings and numbers can be written.
    format!("{} {}", milestone.turn.place(), serde_json::to_string(&json).unwrap_or_default())
}

/// Reads the text of a milestone; `None` if this release cannot.
pub(super) fn read(text: &str) -> Option<Milestone> {
    let (_, json) = text.split_once(' ')?;
    let json: Json = serde_json::from_str(json).ok()?;
    let party = |(user, device): (String, String)| {
        Some(Party { user: UserId::parse(&user)?, device: DeviceId::parse(&device)? })
    };
    Some(Milestone {
        turn: turn(&json.turn)?,
        at: Timestamp(json.at),
        call: CallId::parse(&json.call_id)?,
        call_type: match json.call_type.as_str() {
            "audio" => CallType::Audio,
            "video" => CallType::Video,
            _ => return None,
        },
        caller: party((json.caller_id, json.caller_device))?,
        callee: UserId::parse(&json.callee_id)?,
        callee_device: json.callee_device.as_deref().and_then(DeviceId::parse),
        created_at: Timestamp(json.created_at),
        answered_at: json.answered_at.map(Timestamp),
        by: json.by.and_then(party),
    })
}

fn word(turn: Turn) -> &'static str {
    match turn {
        Turn::Started => "started",
        Turn::Answered => "answered",
        Turn::Ended(ending) => ending.word(),
    }
}

fn turn(text: &str) -> Option<Turn> {
    let ended = |ending: &Ending| (ending.word() == text).then_some(Turn::Ended(*ending));
    match text {
        "started" => Some(Turn::Started),
        "answered" => Some(Turn::Answered),
        _ => Ending::ALL.iter().find_map(ended),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_turn_is_read_back() {
        let party =
            |user, device| Party { user: UserId::parse(user).unwrap(), device: DeviceId::parse(device).unwrap() };
        let ended = Ending::ALL.map(Turn::Ended);
        for turn in [Turn::Started, Turn::Answered].into_iter().chain(ended) {
            for is_long in [true, false] {
                let milestone = Milestone {
                    turn,
                    at: Timestamp(9),
                    call: CallId::from_u128(7),
                    call_type: if is_long { CallType::Video } else { CallType::Audio },
                    caller: party("al\"ice", "a 1"),
                    callee: UserId::parse("bob").unwrap(),
                    callee_device: is_long.then(|| DeviceId::parse("b1").unwrap()),
                    created_at: Timestamp(1),
                    answered_at: is_long.then_some(Timestamp(5)),
                    by: is_long.then(|| party("bob", "b1")),
                };
                assert_eq!(read(&write(&milestone)), Some(milestone));
            }
        }
        for bad in ["", "0", "0 {}", "{}"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
