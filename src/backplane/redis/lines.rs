//! Messages: appended to inboxes, published to whoever holds their user, and taken in here.

use async_trait::async_trait;

use crate::backplane::redis::channels::{Listener, give_up};
use crate::backplane::redis::link::Lane;
use crate::backplane::redis::{Redis, message, record};
use crate::backplane::{Backlog, Lines, Outgoing, Payload, Sent, Unavailable, Version};
use crate::ids::{CallId, EventId, UserId};

#[async_trait]
impl Lines for Redis {
    async fn subscribe(&self, user: &UserId) -> Result<(), Unavailable> {
        let subscribing = async {
            loop {
                let connection = self.link.connection().await?;
                connection.channels().subscribe(user).await?;
                // Connections that were made meanwhile may not have heard of this user.
                if self.link.is_current(&connection) {
                    return Ok(());
                }
            }
        };
        let subscribed = tokio::time::timeout(self.link.timeout(), subscribing).await;
        subscribed.unwrap_or(Err(Unavailable))
    }

    async fn unsubscribe(&self, user: &UserId) {
        if let Some(lane) = give_up(&self.wanted, user)
            && let Some(connection) = self.link.current()
        {
            connection.channels().unsubscribe(user, lane).await;
        }
    }

    async fn send(&self, outgoing: Outgoing, upon: Option<(CallId, Version)>) -> Result<Sent, Unavailable> {
        let Outgoing { user, audience, payload } = outgoing;
        let token = self.token();
        let revision = upon.map(|(_, version)| version.0);
        let entry = message::write(&audience, &payload, &token, revision.unwrap_or_default());
        let head = revision.map(record::head).unwrap_or_default();
        let not_after = self.not_after();
        let command = |is_repeat: bool| {
            let mut command = self.scripts.send.command();
            command.arg(not_after).arg(payload.call_id().to_string()).arg(&head).arg(user.as_str());
            command.arg(message::class(&payload)).arg(payload.size());
            command.arg(if is_repeat { token.as_str() } else { "" }).arg(&entry);
            command
        };
        let sent: i8 = self.link.run(Lane::Fast, &self.scripts.send, command).await?;
        match sent {
            1 => Ok(Sent::Done),
            0 => Ok(Sent::Stale),
            _ => Err(Unavailable),
        }
    }

    async fn read(&self, user: &UserId, after: EventId) -> Result<Backlog, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.read.command();
            command.arg(user.as_str()).arg(after.0);
            command
        };
        let (last, entries, records): (u64, Vec<String>, Vec<Option<String>>) =
            self.link.run(Lane::Long, &self.scripts.read, command).await?;
        let mut messages: Vec<_> = entries.iter().filter_map(|entry| message::read_kept(entry)).collect();
        messages.sort_by_key(|kept| kept.delivery.id);
        let records: Vec<_> = records.into_iter().flatten().collect();
        Ok(Backlog { messages, last: EventId(last), calls: self.in_order(&records) })
    }
}

impl Listener for Redis {
    fn published(&self, channel: &str, payload: &str) {
        if let Some(user) = self.keys.user_of(channel) {
            let (Some(user), Some((delivery, _, revision))) = (UserId::parse(user), message::read_published(payload))
            else {
                tracing::warn!("a message that this release cannot read was passed over");
                return;
            };
            if let Payload::Notice(notice) = &*delivery.payload {
                self.cache.outdate(notice.call_id, revision);
            }
            self.receiver.deliver(&user, &delivery);
        } else if channel == self.keys.expired_channel() {
            self.timer_expired(payload);
        } else {
            self.spoken_to(payload);
        }
    }

    fn ended(&self) {
        self.receiver.interrupted();
        self.link.report_broken();
    }
}
