//! The scripts that Redis runs: each is one step that happens whole or not at all. What does not change while a node lives is
//! written into them rather than sent with every run.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError};

use crate::backplane::redis::keys::Keys;
use crate::backplane::redis::{Retention, millis};
use crate::backplane::{FeedBounds, PUSH_TOKEN_TTL, TimelineBounds};
use crate::ids::PushTokenKind;
use crate::timeline::ENTRIES_MAX;

/// A script, ready to run.
pub(super) struct Script {
    script: redis::Script,
    code: String,
}

impl Script {
    fn new(code: String) -> Self {
        Self { script: redis::Script::new(&code), code }
    }

    /// A run of it; its arguments follow.
    pub(super) fn command(&self) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(0);
        command
    }

    /// Makes it known to Redis.
    pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        self.script.load_async(connection).await.map(drop)
    }
}

macro_rules! part {
    ($name:ident) => {
        include_str!(concat!("scripts/part_", stringify!($name), ".lua"))
    };
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident [$($part:ident)*],)*) => {
        /// Every script there is.
        pub(super) struct Scripts {
            $($(#[$doc])* pub(super) $name: Script,)*
        }

        impl Scripts {
            /// The scripts of a node with these names and this much to keep.
            pub(super) fn new(keys: &Keys, retention: &Retention) -> Self {
                let constants = constants(keys, retention);
                Self {
                    $($name: Script::new([
                        constants.as_str(),
                        $(part!($part),)*
                        include_str!(concat!("scripts/", stringify!($name), ".lua")),
                    ].concat()),)*
                }
            }

            /// Makes all of them known to Redis, in one trip.
            pub(super) async fn load(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
                let mut loads = redis::pipe();
                $(loads.cmd("SCRIPT").arg("LOAD").arg(&self.$name.code).ignore();)*
                loads.exec_async(connection).await
            }
        }
    };
}

scripts! {
    /// Sessions of a dead node.
    abandoned [],
    /// Connects a device.
    attach [time alive live],
    /// A sign of life.
    beat [time],
    /// Calls that are due.
    claim [time],
    /// Changes a call.
    commit [time inbox publish append take_out feed timeline],
    /// Disconnects a device.
    detach [time alive],
    /// The devices of a user.
    devices [],
    /// Takes one call that is due.
    elect [time],
    /// Forgets a push token.
    forget_token [],
    /// The live calls of a user.
    live [live],
    /// One call.
    load [record],
    /// Appends to timelines.
    note [],
    /// What a new call is decided upon.
    prospect [live],
    /// Has a call wait to be told of.
    put_off [],
    /// What is kept for a user.
    read [time record live inbox],
    /// Puts back a call.
    restore [time record],
    /// Sends a message.
    send [inbox publish],
    /// Calls of which something is to be told.
    take_untold [time let_go],
    /// The timeline of a call.
    timeline [],
    /// Something was told of a call.
    told [time let_go],
    /// Keeps the documented records of calls that go on.
    touch [],
    /// Keeps an inbox within its bounds.
    trim [time inbox take_out],
    /// Notes a session that has not registered.
    unregistered [],
    /// How much is to be told.
    untold [],
}

fn constants(keys: &Keys, retention: &Retention) -> String {
    let Retention { inbox_messages, inbox_bytes, inbox_ttl, feed, timelines, .. } = retention;
    let timelines = timelines.unwrap_or(TimelineBounds { calls: 0, ttl: Duration::ZERO });
    let feed = feed.unwrap_or(FeedBounds { calls: 0, ttl: Duration::ZERO });
    format!(
        "local PREFIX, CHANNELS = {}, {}\nlocal INBOX_MESSAGES, INBOX_BYTES, INBOX_TTL, INBOX_KEPT = {inbox_messages}, {inbox_bytes}, {}, {}\nlocal PUSH_TOKEN_TTL, PUSH_TOKEN_KINDS = {}, {{ {} }}\nlocal FEED_CALLS, FEED_TTL = {}, {}\nlocal TIMELINE_CALLS, TIMELINE_TTL, TIMELINE_ENTRIES = {}, {}, {ENTRIES_MAX}\n",
        quoted(keys.prefix()),
        quoted(keys.channels()),
        millis(*inbox_ttl),
        // What is said in a call does not renew it.
        millis(*inbox_ttl + *inbox_ttl / 8),
        millis(PUSH_TOKEN_TTL),
        PushTokenKind::ALL.map(|kind| quoted(kind.key())).join(", "),
        feed.calls,
        millis(feed.ttl),
        timelines.calls,
        millis(timelines.ttl),
    )
}

/// A text as Lua spells it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_cannot_end_its_quotes() {
        assert_eq!(quoted(r"a'b\c"), r"'a\'b\\c'");
    }
}
