//! What is known of each user in memory: devices, live calls, inbox, and the nodes that listen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::backplane::memory::MemoryConfig;
use crate::backplane::memory::calls::Records;
use crate::backplane::memory::inbox::Inbox;
use crate::backplane::{
    Attached, Backlog, Device, LiveCalls, Outgoing, PUSH_TOKEN_TTL, Position, Receiver, Registration, Version,
};
use crate::call::{Call, State};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, EventId, PushToken, PushTokenKind, PushTokens, SessionId, UserId};

/// Most devices remembered of one user. One more, and the one that has been gone longest is forgotten.
const MAX_DEVICES: usize = 64;

#[derive(Default)]
pub(super) struct Users {
    /// Boxed: a table has room for twice what is in it.
    users: HashMap<UserId, Box<User>>,
    /// Which device has a push token.
    tokens: HashMap<PushToken, (UserId, DeviceId)>,
}

struct User {
    inbox: Inbox,
    live: Vec<CallId>,
    live_version: u64,
    devices: Vec<Entry>,
    nodes: Vec<Arc<dyn Receiver>>,
}

struct Entry {
    id: DeviceId,
    is_named: bool,
    session: Option<(SessionId, Arc<dyn Receiver>)>,
    position: Option<Position>,
    tokens: PushTokens,
    seen_at: Timestamp,
}

impl Entry {
    fn is_forgotten(&self, now: Timestamp, ttl: Duration) -> bool {
        let ttl = if self.tokens.is_empty() { ttl } else { ttl.max(PUSH_TOKEN_TTL) };
        self.session.is_none() && now >= self.seen_at.plus(ttl)
    }
}

impl User {
    fn new(now: Timestamp) -> Self {
        let inbox = Inbox::new(now);
        Self { inbox, live: Vec::new(), live_version: 0, devices: Vec::new(), nodes: Vec::new() }
    }

    fn is_forgettable(&self) -> bool {
        self.inbox.is_empty() && self.live.is_empty() && self.devices.is_empty() && self.nodes.is_empty()
    }

    fn device_of(&mut self, session: &SessionId) -> Option<usize> {
        self.devices.iter().position(|entry| entry.session.as_ref().is_some_and(|(held_by, _)| held_by == session))
    }

    /// The unnamed device without a connection that one of the user's calls waits for: a client that names no device is a
    /// new one at every connect, and its call would otherwise have lost it.
    fn awaited_unnamed(&self, records: &Records) -> Option<DeviceId> {
        let entries = self.devices.iter().filter(|entry| !entry.is_named && entry.session.is_none());
        let calls: Vec<_> = self.live.iter().filter_map(|id| records.get(*id)).collect();
        entries.map(|entry| &entry.id).find(|id| calls.iter().any(|stored| takes_part(&stored.call, id))).cloned()
    }

    fn make_room(&mut self) {
        if self.devices.len() < MAX_DEVICES {
            return;
        }
        let gone = self.devices.iter().enumerate().filter(|(_, entry)| entry.session.is_none());
        if let Some((index, _)) = gone.min_by_key(|(_, entry)| entry.seen_at) {
            self.devices.remove(index);
        }
    }
}

fn has_token(tokens: &PushTokens, token: &PushToken) -> bool {
    tokens.iter().any(|(_, other)| other == token)
}

fn takes_part(call: &Call, device: &DeviceId) -> bool {
    call.caller.device == *device
        || matches!(&call.state, State::Accepted(accepted) if accepted.callee_device == *device)
}

impl Users {
    pub(super) fn live_calls(&self, user: &UserId, records: &Records) -> LiveCalls {
        let Some(user) = self.users.get(user) else {
            return LiveCalls { calls: Vec::new(), version: Version(0) };
        };
        let calls = user.live.iter().filter_map(|id| records.get(*id)).collect();
        LiveCalls { calls, version: Version(user.live_version) }
    }

    pub(super) fn live_version(&self, user: &UserId) -> Version {
        Version(self.users.get(user).map_or(0, |user| user.live_version))
    }

    pub(super) fn set_live(&mut self, user: &UserId, call: CallId, is_live: bool, now: Timestamp) {
        let user = self.users.entry(user.clone()).or_insert_with(|| Box::new(User::new(now)));
        let was_live = user.live.contains(&call);
        if is_live != was_live {
            user.live_version += 1;
        }
        if is_live && !was_live {
            user.live.push(call);
        } else if !is_live && was_live {
            user.live.retain(|live| *live != call);
            user.inbox.close_call(call);
        }
    }

    pub(super) fn attach(
        &mut self,
        registration: Registration,
        receiver: &Arc<dyn Receiver>,
        records: &Records,
    ) -> Attached {
        let Registration { user: user_id, device, session, platform: _, tokens, at } = registration;
        let user = self.users.entry(user_id.clone()).or_insert_with(|| Box::new(User::new(at)));
        let is_named = device.is_some();
        let id = device.or_else(|| user.awaited_unnamed(records)).unwrap_or_else(|| session.unnamed_device());
        self.take_tokens(&user_id, &id, &tokens);
        let user = self.users.entry(user_id.clone()).or_insert_with(|| Box::new(User::new(at)));
        let holder = (session.clone(), receiver.clone());
        let Some(entry) = user.devices.iter_mut().find(|entry| entry.id == id) else {
            user.make_room();
            let session = Some(holder);
            // Most users have one device; a vector would make room for four.
            user.devices.reserve_exact(1);
            user.devices.push(Entry { id: id.clone(), is_named, session, position: None, tokens, seen_at: at });
            return Attached { device: id, position: None, lost_at: None };
        };
        entry.seen_at = at;
        entry.tokens = tokens.or(std::mem::take(&mut entry.tokens));
        if let Some((displaced, node)) = entry.session.replace(holder).filter(|(held_by, _)| *held_by != session) {
            // The node that held it hands over its position on its way out.
            entry.position = node.displace(&user_id, &displaced).or(entry.position);
        }
        Attached { device: id, position: entry.position, lost_at: None }
    }

    pub(super) fn detach(
        &mut self,
        user: &UserId,
        session: &SessionId,
        position: Position,
        now: Timestamp,
    ) -> Option<DeviceId> {
        let user = self.users.get_mut(user)?;
        let index = user.device_of(session)?;
        let entry = &mut user.devices[index];
        entry.session = None;
        entry.position = Some(position);
        entry.seen_at = now;
        Some(entry.id.clone())
    }

    pub(super) fn forget(&mut self, user: &UserId, session: &SessionId) -> Option<DeviceId> {
        let user = self.users.get_mut(user)?;
        let index = user.device_of(session)?;
        Some(user.devices.remove(index).id)
    }

    pub(super) fn forget_token(&mut self, user: &UserId, device: &DeviceId, kind: PushTokenKind, token: &PushToken) {
        let Some(user) = self.users.get_mut(user) else { return };
        let Some(entry) = user.devices.iter_mut().find(|entry| entry.id == *device) else { return };
        entry.tokens.forget(kind, token);
    }

    /// A token reaches one installation of an app: whoever registers it takes it from the device that had it.
    fn take_tokens(&mut self, user: &UserId, device: &DeviceId, tokens: &PushTokens) {
        for (kind, token) in tokens.iter() {
            let holder = (user.clone(), device.clone());
            if let Some((user, device)) = self.tokens.insert(token.clone(), holder.clone()).filter(|was| *was != holder)
            {
                self.forget_token(&user, &device, kind, token);
            }
        }
    }

    pub(super) fn devices(&self, user: &UserId) -> Vec<Device> {
        let entries = self.users.get(user).map(|user| user.devices.as_slice()).unwrap_or_default();
        let device = |entry: &Entry| Device {
            id: entry.id.clone(),
            is_connected: entry.session.is_some(),
            node: None,
            tokens: entry.tokens.clone(),
            seen_at: entry.seen_at,
        };
        entries.iter().map(device).collect()
    }

    pub(super) fn subscribe(&mut self, user: &UserId, receiver: &Arc<dyn Receiver>, now: Timestamp) {
        let user = self.users.entry(user.clone()).or_insert_with(|| Box::new(User::new(now)));
        if !user.nodes.iter().any(|node| Arc::ptr_eq(node, receiver)) {
            user.nodes.reserve_exact(1);
            user.nodes.push(receiver.clone());
        }
    }

    pub(super) fn unsubscribe(&mut self, user: &UserId, receiver: &Arc<dyn Receiver>) {
        if let Some(user) = self.users.get_mut(user) {
            user.nodes.retain(|node| !Arc::ptr_eq(node, receiver));
        }
    }

    pub(super) fn send(&mut self, outgoing: Outgoing, now: Timestamp, config: &MemoryConfig) {
        let user_id = outgoing.user.clone();
        let user = self.users.entry(user_id.clone()).or_insert_with(|| Box::new(User::new(now)));
        let delivery = user.inbox.append(outgoing, now, user.nodes.is_empty(), config);
        for node in &user.nodes {
            node.deliver(&user_id, &delivery);
        }
    }

    pub(super) fn read(&self, user: &UserId, after: EventId, records: &Records) -> Backlog {
        let Some(user) = self.users.get(user) else {
            return Backlog { messages: Vec::new(), last: EventId(0), calls: Vec::new() };
        };
        let messages = user.inbox.read(after);
        let mut ids = user.live.clone();
        for kept in messages.iter().filter(|kept| kept.delivery.payload.needs_live_call()) {
            if !ids.contains(&kept.delivery.payload.call_id()) {
                ids.push(kept.delivery.payload.call_id());
            }
        }
        let calls = ids.into_iter().filter_map(|id| records.get(id)).collect();
        Backlog { messages, last: user.inbox.last(), calls }
    }

    pub(super) fn sweep(&mut self, now: Timestamp, ttl: Duration) {
        for user in self.users.values_mut() {
            user.inbox.sweep(now, ttl);
            user.devices.retain(|entry| !entry.is_forgotten(now, ttl));
        }
        self.tokens.retain(|token, (user, device)| {
            let devices = self.users.get(user).map(|user| user.devices.as_slice()).unwrap_or_default();
            devices.iter().any(|entry| entry.id == *device && has_token(&entry.tokens, token))
        });
        self.users.retain(|_, user| !user.is_forgettable());
        self.users.shrink_to(self.users.len() * 2);
    }
}
