//! The records of calls: load, compare and set.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::Value;

use crate::backplane::redis::cache::Seen;
use crate::backplane::redis::directory::devices_of;
use crate::backplane::redis::keys::Keys;
use crate::backplane::redis::link::Lane;
use crate::backplane::redis::{Redis, message, milestone, millis, record};
use crate::backplane::{
    Calls, Commit, Committed, Due, Expected, LiveCalls, Outgoing, Prospect, Stored, Unavailable, Version,
};
use crate::call::{Call, State};
use crate::ids::{CallId, RequestId, UserId};
use crate::timeline::Entry;

/// How long the documented record of a ringing call is kept, as documented; longer where calls ring longer.
const RINGING_TTL: Duration = Duration::from_secs(60);
/// How much longer than it rings the record of a call is kept.
const RINGING_MARGIN: Duration = Duration::from_secs(10);
/// How long the documented record of an accepted call is kept when nobody touches it.
pub(super) const ACCEPTED_TTL: Duration = Duration::from_secs(7_200);

#[async_trait]
impl Calls for Redis {
    fn recall(&self, id: CallId) -> Option<Stored> {
        self.cache.recall(id)
    }

    async fn load(&self, id: CallId) -> Result<Option<Stored>, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.load.command();
            command.arg(id.to_string());
            command
        };
        let text: Option<String> = self.link.run(Lane::Calls, &self.scripts.load, command).await?;
        match text {
            // It is there, and its time may come: of a newer release, perhaps, that knows what to do with it.
            Some(text) => self.note(&text).map(Some).ok_or(Unavailable),
            // Better asked again than given up.
            None if self.nodes.may_be_put_back(self.clock.now()) => Err(Unavailable),
            None => Ok(None),
        }
    }

    async fn live_calls(&self, user: &UserId) -> Result<LiveCalls, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.live.command();
            command.arg(user.as_str());
            command
        };
        let texts: Vec<String> = self.link.run(Lane::Calls, &self.scripts.live, command).await?;
        Ok(self.listed(&texts))
    }

    async fn prospect(
        &self,
        caller: &UserId,
        callee: &UserId,
        request: Option<&RequestId>,
    ) -> Result<Prospect, Unavailable> {
        let request = request.map(|request| Keys::request(caller, request)).unwrap_or_default();
        let command = |_| {
            let mut command = self.scripts.prospect.command();
            command.arg(caller.as_str()).arg(callee.as_str()).arg(&request);
            command
        };
        let (repeated, caller_calls, callee_calls, devices): (Value, Vec<String>, Vec<String>, Vec<String>) =
            self.link.run(Lane::Calls, &self.scripts.prospect, command).await?;
        Ok(Prospect {
            repeated: made_before(&repeated),
            caller_calls: self.listed(&caller_calls),
            callee_calls: self.listed(&callee_calls),
            callee_devices: devices_of(&devices, self),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Unavailable> {
        let Commit { expected, call, outbox, milestones, entries } = commit;
        let (before, lists, foreign) = match expected {
            Expected::Version(Version(0)) => return Ok(Committed::Lost),
            Expected::Version(version) => {
                let Some(foreign) = self.foreign(call.id, version).await? else { return Ok(Committed::Lost) };
                (Some(version.0), (Version(0), Version(0)), foreign)
            }
            Expected::New { callee_calls, caller_calls } => {
                (None, (caller_calls, callee_calls), record::Foreign::new())
            }
        };
        let revision = before.map_or(1, |before| before + 1);
        let token = self.token();
        let text = record::write(&call, revision, &token, foreign.clone());
        let request = match (before, &call.request_id) {
            (None, Some(request)) => Keys::request(&call.caller.user, request),
            _ => String::new(),
        };
        let messages: Vec<_> = outbox
            .iter()
            .map(|outgoing| {
                let Outgoing { user, audience, payload, trace } = outgoing;
                let message = message::write(audience, payload, *trace, &token, revision, Some(&text));
                (user, payload.size(), message)
            })
            .collect();
        let fed: Vec<_> = match self.retention.feed {
            Some(_) => milestones.iter().map(milestone::write).collect(),
            None => Vec::new(),
        };
        let noted: Vec<_> = match self.retention.timelines {
            Some(_) => entries.iter().map(Entry::to_text).collect(),
            None => Vec::new(),
        };
        let not_after = self.not_after();
        let command = |_| {
            let mut command = self.scripts.commit.command();
            command.arg(not_after).arg(call.id.to_string()).arg(before.map(|at| at.to_string()).unwrap_or_default());
            command.arg(&token).arg(revision).arg(&text).arg(u8::from(call.is_live()));
            command.arg(call.deadline().map(|at| at.0.to_string()).unwrap_or_default());
            command.arg(millis(self.documented_ttl(&call)));
            command.arg(call.caller.user.as_str()).arg(call.callee.as_str()).arg(lists.0.0).arg(lists.1.0);
            command.arg(&request).arg(fed.len()).arg(noted.len()).arg(&fed).arg(&noted);
            for (user, _, message) in &messages {
                command.arg(user.as_str()).arg(message);
            }
            command
        };
        let committing = self.link.run::<Value>(Lane::Calls, &self.scripts.commit, command);
        let trims = messages.iter().filter_map(|(user, size, _)| self.trim_now_and_then(user, *size));
        let (answer, _) = tokio::join!(committing, join_all(trims));
        match answer? {
            Value::Int(1) => {
                if let Some(at) = call.deadline() {
                    self.deadlines.set(at, call.id, self.clock.now());
                }
                self.cache.put(Seen { call, revision, foreign });
                if !fed.is_empty() {
                    self.fed.notify_one();
                }
                Ok(Committed::Done)
            }
            Value::Int(0) => Ok(Committed::Lost),
            Value::Int(_) => Err(Unavailable),
            first => match made_before(&first) {
                Some(first) if first == call.id => Ok(Committed::Done),
                Some(first) => Ok(Committed::Repeated(first)),
                None => Err(Unavailable),
            },
        }
    }

    async fn due(&self, limit: usize) -> Result<Vec<Due>, Unavailable> {
        self.next_due(limit).await
    }
}

impl Redis {
    /// Reads a record, and remembers the call. One that cannot be read is as good as none.
    pub(super) fn note(&self, text: &str) -> Option<Stored> {
        match record::read(text) {
            Ok(record) => Some(self.cache.note(record)),
            Err(error) => {
                tracing::error!(%error, "is there a newer release, or another program?");
                None
            }
        }
    }

    /// A version and records, as the scripts list live calls. A record that cannot be read is left out.
    fn listed(&self, texts: &[String]) -> LiveCalls {
        let version = texts.first().and_then(|text| text.parse().ok()).unwrap_or_default();
        LiveCalls { calls: self.in_order(&texts[1.min(texts.len())..]), version: Version(version) }
    }

    /// Records, the oldest call first.
    pub(super) fn in_order(&self, texts: &[String]) -> Vec<Stored> {
        let mut calls: Vec<_> = texts.iter().filter_map(|text| self.note(text)).collect();
        calls.sort_by_key(|stored| stored.call.created_at);
        calls
    }

    /// What the record at `version` has beside the fields that are known here; `None` if that is not the version any more.
    async fn foreign(&self, id: CallId, version: Version) -> Result<Option<record::Foreign>, Unavailable> {
        if let Some(foreign) = self.cache.foreign(id, version.0) {
            return Ok(Some(foreign));
        }
        self.load(id).await?;
        Ok(self.cache.foreign(id, version.0))
    }

    /// How long the documented record of a call is kept.
    pub(super) fn documented_ttl(&self, call: &Call) -> Duration {
        match &call.state {
            State::Ringing(_) => RINGING_TTL.max(self.retention.ring_timeout + RINGING_MARGIN),
            State::Accepted(_) => ACCEPTED_TTL,
            State::Over(_) => self.retention.over_ttl,
        }
    }
}

fn made_before(value: &Value) -> Option<CallId> {
    match value {
        Value::BulkString(bytes) => CallId::parse(str::from_utf8(bytes).ok()?),
        _ => None,
    }
}
