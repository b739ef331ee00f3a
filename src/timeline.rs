//! What happened to a call and around it, for whoever wants to know why a phone did not ring: who was there, who was told, woken,
//! heard from, and what came of it.
//!
//! [`Entry`] is one such thing, in the form in which it is kept and read; [`Recorder`] gathers what a node has to say, without ever
//! keeping anybody waiting; [`lines`] and [`Account::verdict`] put it into words.
//!
//! What it does not do: nothing is decided by it, and it has no payloads, no names that people are shown, and no tokens.

mod recorder;
mod verdict;
mod words;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::call::{Ending, Milestone, Turn};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, UserId};

pub use recorder::{Note, Recorder};
pub use words::lines;

/// Most entries of one call that are kept; only its answer and its end may be beyond that. The first ones stay: what matters to a
/// ring comes early.
pub const ENTRIES_MAX: usize = 200;
/// Most devices that are listed at the beginning of a call, those seen last first.
pub const DEVICES_MAX: usize = 16;

/// Something that happened, where and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TimelineEntry")]
pub struct Entry {
    /// When, in ms since the epoch, by the clock of the backplane.
    pub at: u64,
    /// The node that says so.
    pub node: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TimelineParty")]
pub struct Who {
    /// The person.
    pub user: String,
    /// The device.
    pub device: String,
}

impl Who {
    /// This device of this user.
    pub fn new(user: &UserId, device: &DeviceId) -> Self {
        Self { user: user.to_string(), device: device.to_string() }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case", rename_all_fields = "camelCase")]
#[schemars(rename = "TimelineEvent")]
pub enum What {
    /// The call has begun.
    Begun {
        /// Who calls, and from which device.
        #[serde(flatten)]
        by: Who,
        /// Who is called.
        callee: String,
        /// `audio` or `video`.
        call_type: String,
        /// The devices that the callee had then.
        devices: Vec<Known>,
        /// How many more there were.
        #[serde(default, skip_serializing_if = "is_zero")]
        more_devices: usize,
    },
    /// A device of the callee has answered.
    Answered {
        /// Which one.
        #[serde(flatten)]
        by: Who,
    },
    /// The call is over.
    Ended {
        /// How: a word of [`Ending`].
        how: String,
        /// Who brought it about, if anybody did.
        #[serde(flatten)]
        by: Option<Who>,
    },
    /// A message about the call was put on its way to a connected device.
    Delivered {
        /// Which one.
        #[serde(flatten)]
        to: Who,
        /// The event, as clients know it.
        message: String,
    },
    /// A connected device could not be sent a message.
    Undelivered {
        /// Which one.
        #[serde(flatten)]
        to: Who,
        /// The event, as clients know it.
        message: String,
        /// Why.
        why: String,
    },
    /// A device was heard from, so long after it was sent the ring that it has it.
    Acknowledged {
        /// Which one.
        #[serde(flatten)]
        by: Who,
    },
    /// The connection by which a device was sent the ring is gone, or quiet for long, and nothing was heard from it.
    Silent {
        /// Which one.
        #[serde(flatten)]
        by: Who,
        /// Whether the connection is gone.
        gone: bool,
    },
    /// An attempt to tell a device by a push service has come to something.
    Pushed {
        /// Which one.
        #[serde(flatten)]
        to: Who,
        /// The service.
        service: String,
        /// `ring`, `stop` or `missed`.
        kind: String,
        /// What came of it: a word of the metric of pushes.
        outcome: String,
        /// Why, as the service said or as it was seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// No device of a user was told by push.
    NotPushed {
        /// `ring`, `stop` or `missed`.
        kind: String,
        /// Why.
        why: String,
    },
    /// Somebody asked over HTTP how the call stands.
    StatusAsked {
        /// A party, or whoever has the token of the push if not named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// What they were answered.
        status: String,
    },
    /// A device of a party has registered while the call was live.
    Registered {
        /// Which one.
        #[serde(flatten)]
        by: Who,
    },
    /// A party asked for something that was refused.
    Refused {
        /// Who.
        #[serde(flatten)]
        by: Who,
        /// What for: the event, as clients know it.
        asked: String,
        /// Why not.
        why: String,
    },
    /// The connection of a party of the call is gone; it is waited for.
    Away {
        /// Which one.
        #[serde(flatten)]
        by: Who,
    },
    /// Something a newer release has noted.
    #[serde(other)]
    Unknown,
}

/// What was known of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TimelineDevice")]
pub struct Known {
    /// Its id.
    pub device: String,
    /// Whether it was connected.
    pub connected: bool,
    /// At which node, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// By which kinds of push tokens it can be woken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// When it registered or left last, in ms since the epoch.
    pub seen_at: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl What {
    /// Who has done something to the call, if that is what happened.
    fn actor(&self) -> Option<&Who> {
        match self {
            Self::Answered { by } | Self::Refused { by, .. } => Some(by),
            Self::Ended { by, .. } => by.as_ref(),
            _ => None,
        }
    }

    /// What a call has come to; `devices` are those of the callee, for its beginning.
    pub fn of(milestone: &Milestone, devices: impl FnOnce() -> Vec<Known>) -> Self {
        let by = milestone.by.as_ref().map(|by| Who::new(&by.user, &by.device));
        let caller = || Who::new(&milestone.caller.user, &milestone.caller.device);
        match milestone.turn {
            Turn::Started => {
                let mut devices = devices();
                devices.sort_by_key(|known| std::cmp::Reverse((known.connected, known.seen_at)));
                let more_devices = devices.len().saturating_sub(DEVICES_MAX);
                devices.truncate(DEVICES_MAX);
                let (callee, call_type) = (milestone.callee.to_string(), milestone.call_type.word().to_owned());
                Self::Begun { by: caller(), callee, call_type, devices, more_devices }
            }
            Turn::Answered => Self::Answered { by: by.unwrap_or_else(caller) },
            Turn::Ended(ending) => Self::Ended { how: ending.word().to_owned(), by },
        }
    }
}

impl Entry {
    /// `what` at this moment, as this node says.
    pub fn new(at: Timestamp, node: &str, what: What) -> Self {
        Self { at: at.0, node: node.to_owned(), what }
    }

    /// The text that is kept.
    pub fn to_text(&self) -> String {
        // Texts and numbers can be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what was kept; `None` for what is no entry.
    pub fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The timeline of one call, as it is handed out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Timeline")]
pub struct Account {
    /// The call.
    pub call_id: String,
    /// What it comes to, in words: why nobody's phone rang, if so.
    pub verdict: String,
    /// What happened, in order.
    pub entries: Vec<Entry>,
}

impl Account {
    /// The timeline of `call` from what nodes have noted of it, in whatever order it has come together.
    pub fn new(call: CallId, mut entries: Vec<Entry>) -> Self {
        // Whatever else was noted within its millisecond, the beginning comes first.
        let place = |entry: &Entry| match entry.what {
            What::Begun { .. } => 0,
            _ => 1,
        };
        entries.sort_by_key(|entry| (entry.at, place(entry)));
        // Who has acted was heard from, however soon after the ring.
        let acted: Vec<Who> = entries.iter().filter_map(|entry| entry.what.actor().cloned()).collect();
        entries.retain(|entry| !matches!(&entry.what, What::Silent { by, .. } if acted.contains(by)));
        Self { call_id: call.to_string(), verdict: verdict::of(&entries), entries }
    }
}

/// The way in which a call ended, by its word.
fn ending(word: &str) -> Option<Ending> {
    Ending::ALL.into_iter().find(|ending| ending.word() == word)
}

#[cfg(test)]
mod tests;
