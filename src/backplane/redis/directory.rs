//! Devices: where they are connected, by leases of their nodes, and how far they have come.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use crate::backplane::redis::link::Lane;
use crate::backplane::redis::{Redis, millis};
use crate::backplane::{
    Abandoned, Attached, Device, Directory, PUSH_TOKEN_TTL, Position, Registration, Renewed, Unavailable,
};
use crate::call::Text;
use crate::clock::Timestamp;
use crate::ids::{DeviceId, EventId, NodeId, PushToken, PushTokenKind, PushTokens, SessionId, UserId};

/// How long the documented keys of a connected device are kept; they are renewed long before.
const PRESENCE_TTL: Duration = Duration::from_secs(86_400);
/// Stands for the device that the script finds for a socket which names none.
const TO_BE_NAMED: &str = "@device@";
/// Most devices remembered of one user. One more, and the one that has been gone longest is forgotten.
const MAX_DEVICES: usize = 64;
/// How long the node that held a device may take to say how far it had come.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(250);

#[async_trait]
impl Directory for Redis {
    async fn attach(&self, registration: Registration) -> Result<Attached, Unavailable> {
        // Before anything is asked for: the other node may be faster than Redis' answer.
        let handed_over = self.nodes.expect_position(&registration.session);
        let answer = self.write_attached(&registration, None).await?;
        let [device, received, described, lost_at, old_session, old_node] =
            <[String; 6]>::try_from(answer).map_err(|_| Unavailable)?;
        let device = DeviceId::parse(&device).ok_or(Unavailable)?;
        let mut attached = Attached { device, position: position(&received, &described), lost_at: None };
        if let Some(displaced) = SessionId::parse(&old_session).filter(|_| !old_node.is_empty()) {
            let position = if old_node == self.node.as_str() {
                self.receiver.displace(&registration.user, &displaced)
            } else {
                // Waits for the other node. If it is quiet, the device counts as lost with all that was known of it.
                tokio::time::timeout(HAND_OVER_TIMEOUT, handed_over.told()).await.unwrap_or_default()
            };
            if position.is_some() {
                attached.position = position;
            } else {
                attached.position.get_or_insert_default();
                attached.lost_at = Some(self.clock.now());
            }
        } else if let Some(at) = lost_at.parse().ok().filter(|at| *at > 0) {
            attached.position.get_or_insert_default();
            attached.lost_at = Some(Timestamp(at));
        }
        Ok(attached)
    }

    async fn renew(
        &self,
        registration: &Registration,
        device: &DeviceId,
        position: Position,
    ) -> Result<Renewed, Unavailable> {
        let answer = self.write_attached(registration, Some((device, position))).await?;
        match answer.as_slice() {
            [_, _, _, _, _, _] => {}
            [word] if word == "displaced" => return Ok(Renewed::Displaced),
            _ => return Err(Unavailable),
        }
        // Whoever held the device in between registered earlier, and has been told.
        if let Some(displaced) = SessionId::parse(&answer[4])
            && answer[5] == self.node.as_str()
        {
            self.receiver.displace(&registration.user, &displaced);
        }
        Ok(Renewed::Held)
    }

    async fn note_unregistered(&self, user: &UserId, session: &SessionId) -> Result<(), Unavailable> {
        let command = |_| {
            let mut command = self.scripts.unregistered.command();
            command.arg(user.as_str()).arg(session.as_str()).arg(self.node.as_str());
            command
        };
        self.link.run::<u8>(Lane::Calls, &self.scripts.unregistered, command).await.map(drop)
    }

    async fn detach(
        &self,
        user: &UserId,
        session: &SessionId,
        position: Position,
    ) -> Result<Option<DeviceId>, Unavailable> {
        self.write_detached(user, session, "leave", position, &self.node).await
    }

    async fn forget(&self, user: &UserId, session: &SessionId) -> Result<Option<DeviceId>, Unavailable> {
        self.write_detached(user, session, "forget", Position::default(), &self.node).await
    }

    async fn forget_token(
        &self,
        user: &UserId,
        device: &DeviceId,
        kind: PushTokenKind,
        token: &PushToken,
    ) -> Result<(), Unavailable> {
        let command = |_| {
            let mut command = self.scripts.forget_token.command();
            command.arg(user.as_str()).arg(token_field(kind, device)).arg(token.expose());
            command
        };
        self.link.run::<u8>(Lane::Calls, &self.scripts.forget_token, command).await.map(drop)
    }

    async fn devices(&self, user: &UserId) -> Result<Vec<Device>, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.devices.command();
            command.arg(user.as_str());
            command
        };
        let fields: Vec<String> = self.link.run(Lane::Calls, &self.scripts.devices, command).await?;
        Ok(devices_of(&fields, self))
    }

    async fn abandoned(&self, limit: usize) -> Result<Vec<Abandoned>, Unavailable> {
        self.next_abandoned(limit).await
    }

    async fn bury(&self, abandoned: &Abandoned) -> Result<(), Unavailable> {
        let node = abandoned.node.as_ref().unwrap_or(&self.node);
        self.write_detached(&abandoned.user, &abandoned.session, "bury", Position::default(), node).await.map(drop)
    }

    fn may_count_absence(&self) -> bool {
        self.link.is_up() && self.nodes.grace_until() <= self.clock.now()
    }
}

impl Redis {
    async fn write_attached(
        &self,
        registration: &Registration,
        renewed: Option<(&DeviceId, Position)>,
    ) -> Result<Vec<String>, Unavailable> {
        let Registration { user, device, session, platform, tokens, at } = registration;
        let documented = json!({
            "userId": user.as_str(),
            "socketId": session.as_str(),
            "deviceId": renewed.map(|(device, _)| device).or(device.as_ref()).map_or(TO_BE_NAMED, DeviceId::as_str),
            "platform": platform.as_ref().map_or("unknown", Text::as_str),
            "registeredAt": at.0,
        })
        .to_string();
        let (device_renewed, position) =
            renewed.map_or(("", Position::default()), |(device, at)| (device.as_str(), at));
        let not_after = self.not_after();
        let command = |_| {
            let mut command = self.scripts.attach.command();
            command.arg(user.as_str()).arg(device.as_ref().map_or("", DeviceId::as_str)).arg(session.as_str());
            command.arg(self.node.as_str()).arg(at.0).arg(&documented);
            command.arg(millis(self.retention.inbox_ttl));
            command.arg(PRESENCE_TTL.as_secs()).arg(MAX_DEVICES).arg(device_renewed);
            command.arg(position.received.0).arg(position.described.0).arg(not_after);
            for (kind, token) in tokens.iter() {
                command.arg(kind.key()).arg(token.expose());
            }
            command
        };
        self.link.run(Lane::Calls, &self.scripts.attach, command).await
    }

    async fn write_detached(
        &self,
        user: &UserId,
        session: &SessionId,
        how: &str,
        position: Position,
        node: &NodeId,
    ) -> Result<Option<DeviceId>, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.detach.command();
            command.arg(user.as_str()).arg(session.as_str()).arg(how);
            command.arg(position.received.0).arg(position.described.0).arg(PRESENCE_TTL.as_secs());
            command.arg(node.as_str());
            command
        };
        let device: Option<String> = self.link.run(Lane::Calls, &self.scripts.detach, command).await?;
        Ok(device.and_then(|device| DeviceId::parse(&device)))
    }
}

/// The devices that the fields of a user's hash describe.
pub(super) fn devices_of(fields: &[String], redis: &Redis) -> Vec<Device> {
    let values: HashMap<&str, &str> = fields.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let now = redis.clock.now();
    let device = |name: &&str| {
        let id = name.strip_prefix("at:")?;
        let mut parts = values.get(name)?.split('|');
        let (session, node) = (parts.next()?, parts.next()?);
        let seen_at = Timestamp(parts.nth(2)?.parse().ok()?);
        let id = DeviceId::parse(id)?;
        let token = |kind| PushToken::parse(values.get(token_field(kind, &id).as_str())?);
        let tokens: PushTokens = PushTokenKind::ALL.into_iter().filter_map(|kind| Some((kind, token(kind)?))).collect();
        let inbox_ttl = redis.retention.inbox_ttl;
        let ttl = if tokens.is_empty() { inbox_ttl } else { inbox_ttl.max(PUSH_TOKEN_TTL) };
        if session.is_empty() && seen_at.plus(ttl) <= now {
            return None;
        }
        let is_connected = !session.is_empty() && redis.nodes.is_alive(node);
        let node = NodeId::parse(node).filter(|_| is_connected);
        Some(Device { id, is_connected, node, tokens, seen_at })
    };
    values.keys().filter_map(device).collect()
}

/// The field of a user's hash with a push token of a device.
fn token_field(kind: PushTokenKind, device: &DeviceId) -> String {
    format!("{}:{device}", kind.key())
}

fn position(received: &str, described: &str) -> Option<Position> {
    Some(Position { received: EventId(received.parse().ok()?), described: EventId(described.parse().ok()?) })
}
