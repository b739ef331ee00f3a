//! The records of calls in memory, and the one place where they change.

use std::collections::HashMap;
use std::sync::Arc;

use crate::backplane::memory::{MemoryConfig, State};
use crate::backplane::{Commit, Committed, Expected, Stored, Version};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::ids::CallId;

#[derive(Default)]
pub(super) struct Records {
    calls: HashMap<CallId, Record>,
}

struct Record {
    call: Arc<Call>,
    version: Version,
    deadline: Option<Timestamp>,
    /// When a call that is over is forgotten.
    forget_at: Option<Timestamp>,
}

impl Records {
    pub(super) fn get(&self, id: CallId) -> Option<Stored> {
        self.calls.get(&id).map(|record| Stored { call: record.call.clone(), version: record.version })
    }

    pub(super) fn set_deadline(&mut self, id: CallId, deadline: Option<Timestamp>) {
        if let Some(record) = self.calls.get_mut(&id) {
            record.deadline = deadline;
        }
    }

    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.calls.retain(|_, record| record.forget_at.is_none_or(|at| now < at));
        self.calls.shrink_to(self.calls.len() * 2);
    }

    fn version(&self, id: CallId) -> Option<Version> {
        self.calls.get(&id).map(|record| record.version)
    }

    fn put(&mut self, call: &Arc<Call>, forget_at: Option<Timestamp>) -> Option<Timestamp> {
        let before = self.calls.get(&call.id);
        let version = before.map_or(0, |record| record.version.0) + 1;
        let before = before.and_then(|record| record.deadline);
        let record = Record { version: Version(version), deadline: call.deadline(), forget_at, call: call.clone() };
        self.calls.insert(call.id, record);
        before
    }
}

impl State {
    pub(super) fn commit(&mut self, commit: Commit, now: Timestamp, config: &MemoryConfig) -> Committed {
        let Commit { expected, call, outbox, milestones: _, entries: _ } = commit;
        match expected {
            Expected::Version(version) if self.records.version(call.id) != Some(version) => return Committed::Lost,
            Expected::Version(_) => {}
            Expected::New { callee_calls, caller_calls } => {
                let request = call.request_id.as_ref().map(|request| (call.caller.user.clone(), request.clone()));
                if let Some((id, _)) = request.as_ref().and_then(|request| self.requests.get(request)) {
                    return Committed::Repeated(*id);
                }
                if self.records.version(call.id).is_some()
                    || self.users.live_version(&call.callee) != callee_calls
                    || self.users.live_version(&call.caller.user) != caller_calls
                {
                    return Committed::Lost;
                }
                if let Some(request) = request {
                    self.requests.insert(request, (call.id, now.plus(config.inbox_ttl)));
                }
            }
        }
        self.put(&call, now, config);
        for outgoing in outbox {
            self.users.send(outgoing, now, config);
        }
        Committed::Done
    }

    fn put(&mut self, call: &Arc<Call>, now: Timestamp, config: &MemoryConfig) {
        let is_live = call.is_live();
        let before = self.records.put(call, (!is_live).then(|| now.plus(config.over_ttl)));
        self.move_deadline(call.id, before, call.deadline());
        for user in [&call.caller.user, &call.callee] {
            self.users.set_live(user, call.id, is_live, now);
        }
    }
}
