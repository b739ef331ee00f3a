//! Messages: appended to inboxes, published to whoever holds their user, and taken in here.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::OptionFuture;
use rand::Rng;

use crate::backplane::redis::channels::{Listener, give_up};
use crate::backplane::redis::link::Lane;
use crate::backplane::redis::message::Message;
use crate::backplane::redis::{Redis, Retention, message, record};
use crate::backplane::{Backlog, Kept, Lines, Outgoing, Payload, Sent, Unavailable, Version};
use crate::ids::{CallId, EventId, UserId};
use crate::metrics::Road;

/// By about which part an inbox may be beyond its bounds.
const LOOSENESS: usize = 32;

#[async_trait]
impl Lines for Redis {
    async fn subscribe(&self, user: &UserId) -> Result<(), Unavailable> {
        let subscribing = async {
            let mut failed: Option<u64> = None;
            loop {
                let connection = self.link.connection_after(failed).await?;
                if connection.channels().subscribe(user).await.is_err() {
                    failed = Some(connection.generation());
                    continue;
                }
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
        let Outgoing { user, audience, payload, trace } = outgoing;
        let token = self.token();
        let revision = upon.map(|(_, version)| version.0);
        let message = message::write(&audience, &payload, trace, &token, revision.unwrap_or_default(), None);
        let head = revision.map(record::head).unwrap_or_default();
        let not_after = self.not_after();
        let command = |is_repeat: bool| {
            let mut command = self.scripts.send.command();
            command.arg(not_after).arg(payload.call_id().to_string()).arg(&head).arg(user.as_str());
            command.arg(if is_repeat { token.as_str() } else { "" }).arg(&message);
            command
        };
        let sending = self.link.run::<i8>(Lane::Calls, &self.scripts.send, command);
        let (sent, _) = tokio::join!(sending, OptionFuture::from(self.trim_now_and_then(&user, payload.size())));
        match sent? {
            1 => Ok(Sent::Done),
            0 => Ok(Sent::Stale),
            _ => Err(Unavailable),
        }
    }

    async fn read(&self, user: &UserId, after: EventId) -> Result<Backlog, Unavailable> {
        let command = |_| {
            let mut command = self.scripts.read.command();
            command.arg(user.as_str()).arg(message::parts_of(after));
            command
        };
        let (last, messages, records): (String, Vec<String>, Vec<Option<String>>) =
            self.link.run(Lane::Reads, &self.scripts.read, command).await?;
        let kept = |text: &String| {
            let unheard = text.strip_prefix('!');
            let Message { delivery, sent_at, .. } = message::read(unheard.unwrap_or(text))?;
            Some(Kept { delivery, sent_at, reached_nobody: unheard.is_some() })
        };
        let records: Vec<_> = records.into_iter().flatten().collect();
        Ok(Backlog {
            messages: messages.iter().filter_map(kept).collect(),
            last: message::place(&last).map(|(id, _)| id).unwrap_or_default(),
            calls: self.in_order(&records),
        })
    }
}

impl Redis {
    /// Brings an inbox within its bounds behind a message of this size, in the same trip. Not each time: by chance, as often as
    /// keeps it from growing much beyond them.
    pub(super) fn trim_now_and_then(&self, user: &UserId, size: usize) -> Option<impl Future<Output = ()> + Send> {
        let Retention { inbox_messages, inbox_bytes, .. } = self.retention;
        let is_time = |of: usize, all: usize| all <= of || rand::thread_rng().gen_bool(ratio(of, all));
        let for_bytes = is_time(size, inbox_bytes / LOOSENESS);
        if !for_bytes && !is_time(1, inbox_messages / LOOSENESS) {
            return None;
        }
        let command = move |_| {
            let mut command = self.scripts.trim.command();
            command.arg(user.as_str()).arg(u8::from(for_bytes));
            command
        };
        Some(async move {
            // If it fails, one of the next does it.
            let _ = self.link.run::<i64>(Lane::Calls, &self.scripts.trim, command).await;
        })
    }
}

/// A share below one.
#[expect(clippy::cast_precision_loss, reason = "a probability need not be exact")]
fn ratio(of: usize, all: usize) -> f64 {
    (of as f64 / all as f64).min(1.0)
}

impl Redis {
    fn heard(&self, channel: &str, payload: &str) {
        if let Some(user) = self.keys.user_of(channel) {
            let (Some(user), Some(message)) = (UserId::parse(user), message::read(payload)) else {
                tracing::warn!("a message that this release cannot read was passed over");
                return;
            };
            let Message { delivery, sent_at, token, revision, record } = message;
            if let Payload::Notice(notice) = &*delivery.payload {
                self.cache.outdate(notice.call_id, revision);
                // Somebody here will act on the call.
                let _ = record.map(|record| self.note(record));
            }
            let now = self.clock.now();
            let road = if token.starts_with(self.node.as_str()) { Road::Local } else { Road::Remote };
            self.metrics.relay.observe(road, delivery.payload.at().until(now));
            self.metrics.bus_lag.observe(sent_at.until(now));
            self.receiver.deliver(&user, &delivery);
        } else if channel == self.keys.expired_channel() {
            self.timer_expired(payload);
        } else {
            self.spoken_to(payload);
        }
    }
}

/// What one generation of connections hears.
pub(super) struct Ears {
    pub(super) node: Arc<Redis>,
    pub(super) generation: u64,
}

impl Listener for Ears {
    fn published(&self, channel: &str, payload: &str) {
        self.node.heard(channel, payload);
    }

    fn ended(&self) {
        self.node.link.report_broken(self.generation, || self.node.receiver.interrupted());
    }
}
