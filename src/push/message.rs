//! What devices are told about a call, before any service gives it its form: names and texts, and for how long they are of use.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::call::{Call, Elsewhere, Silence, State, Text, Wake};
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::push::{Kind, StatusToken, Wakeup};

/// How long a missed call is worth a notice.
const MISSED_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long it is tried to send one: longer than services ask to be left alone for.
const MISSED_TRIED_FOR: Duration = Duration::from_secs(300);
/// How often a message is tried that is not about a call that rings. One that does ends with it.
const ATTEMPTS: u32 = 5;
const RING_ATTEMPTS: u32 = 32;
/// A name this long fits into every screen that shows one.
const SHORT_NAME_CHARS: usize = 32;

const NAME: &str = "callerName";
const AVATAR: &str = "callerAvatar";

/// A message for the devices of one user.
#[derive(Clone, Debug)]
pub struct Message {
    /// What it is about.
    pub kind: Kind,
    /// The call.
    pub call: CallId,
    /// What the app is told.
    pub fields: Fields,
    /// From then on the message is of no use, wherever it waits.
    pub expires_at: Timestamp,
    /// Until then it is tried to send it.
    pub tried_until: Timestamp,
    /// How often it is tried.
    pub attempts: u32,
}

impl Message {
    /// What `wakeup` says, at `now`, with calls that ring for `ring_timeout`; `None` if the call that is to ring does not.
    pub(super) fn new(wakeup: &Wakeup, now: Timestamp, ring_timeout: Duration, token: &StatusToken) -> Option<Self> {
        let call = &wakeup.call;
        let message = |kind, fields, expires_at, tried_until, attempts| {
            Some(Self { kind, call: call.id, fields, expires_at, tried_until, attempts })
        };
        match &wakeup.wake {
            Wake::Ring => {
                let State::Ringing(ringing) = &call.state else {
                    return None;
                };
                let fields = ring(call, ringing.until, token(call.id, ringing.until));
                message(Kind::Ring, fields, ringing.until, ringing.until, RING_ATTEMPTS)
            }
            Wake::Stop { why, .. } => {
                // Where the ring waits to be delivered, this one has to wait as well.
                let until = now.plus(ring_timeout);
                message(Kind::Stop, stop(call, *why, now), until, until, ATTEMPTS)
            }
            Wake::Missed => {
                message(Kind::Missed, missed(call, now), now.plus(MISSED_TTL), now.plus(MISSED_TRIED_FOR), ATTEMPTS)
            }
        }
    }
}

impl Message {
    /// One that is about no call, to see whether a service takes any: it is meant for a token that does not exist.
    pub(super) fn trial(kind: Kind, now: Timestamp) -> Self {
        let expires_at = now.plus(MISSED_TRIED_FOR);
        let fields = Fields(vec![("type", "trial".into())]);
        Self { kind, call: CallId::random(), fields, expires_at, tried_until: expires_at, attempts: 1 }
    }
}

fn ring(call: &Call, until: Timestamp, status_token: String) -> Fields {
    Fields::of("incoming_call", call)
        .and("callerId", call.caller.user.as_str())
        .and(NAME, caller_name(call))
        .and(AVATAR, call.display.avatar.as_ref().map_or("", Text::as_str))
        .and("callType", call.call_type.word())
        .and("timestamp", millis(call.created_at))
        .and("expiresAt", millis(until))
        .and("statusToken", status_token)
}

fn stop(call: &Call, why: Silence, now: Timestamp) -> Fields {
    let reason = match why {
        Silence::Cancelled => "cancelled",
        Silence::TimedOut => "timeout",
        Silence::Elsewhere(Elsewhere::Answered) => "answered_elsewhere",
        Silence::Elsewhere(Elsewhere::Declined) => "declined_elsewhere",
    };
    Fields::of("call_cancelled", call)
        .and("reason", reason)
        .and("timestamp", millis(call.stopped_ringing_at().unwrap_or(now)))
}

fn missed(call: &Call, now: Timestamp) -> Fields {
    Fields::of("call_missed", call)
        .and("callerId", call.caller.user.as_str())
        .and(NAME, caller_name(call))
        .and("callType", call.call_type.word())
        .and("timestamp", millis(call.created_at))
        .and("missedAt", millis(call.stopped_ringing_at().unwrap_or(now)))
}

fn caller_name(call: &Call) -> &str {
    call.display.name.as_ref().map(Text::as_str).filter(|name| !name.is_empty()).unwrap_or("Unknown")
}

fn millis(at: Timestamp) -> String {
    at.0.to_string()
}

/// Names and texts. Cheap to clone; not to be logged, so `Debug` shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields(Vec<(&'static str, Arc<str>)>);

impl Fields {
    fn of(kind: &'static str, call: &Call) -> Self {
        Self(Vec::with_capacity(9)).and("type", kind).and("callId", call.id.to_string())
    }

    fn and(mut self, name: &'static str, text: impl Into<Arc<str>>) -> Self {
        self.0.push((name, text.into()));
        self
    }

    /// These, cut until what `size` says of them is `most` at most: without the avatar, then with as much of the name as fits.
    pub(super) fn fitted(&self, most: usize, size: impl Fn(&Self) -> usize) -> Self {
        let mut fields = self.clone();
        if size(&fields) > most {
            fields.set(AVATAR, "");
        }
        while size(&fields) > most && fields.shorten_name() {}
        fields
    }

    /// These, as short as they are still of use.
    pub(super) fn least(&self) -> Self {
        let mut fields = self.clone();
        fields.set(AVATAR, "");
        let name: String = self.text(NAME).unwrap_or_default().chars().take(SHORT_NAME_CHARS).collect();
        fields.set(NAME, &name);
        fields
    }

    /// The text under a name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, text)| &**text)
    }

    fn set(&mut self, name: &str, text: &str) {
        if let Some((_, value)) = self.0.iter_mut().find(|(known, _)| *known == name) {
            *value = text.into();
        }
    }

    /// Takes the last character from the name, if there is one.
    fn shorten_name(&mut self) -> bool {
        let name = self.text(NAME).unwrap_or_default();
        let Some((end, _)) = name.char_indices().next_back() else {
            return false;
        };
        let shorter = name[..end].to_owned();
        self.set(NAME, &shorter);
        true
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, text)| (name, &**text)))
    }
}
