//! The names of everything in Redis. The keys that `README.md` documents are spelled as it has them; ours stand beside them.

use crate::ids::{CallId, RequestId, UserId};

/// Names within one prefix and one database.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    /// Channels are shared by all databases of a Redis.
    channels: String,
    expired: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, db: u16) -> Self {
        let channels = if db == 0 { prefix.to_owned() } else { format!("{prefix}db{db}:") };
        Self { prefix: prefix.to_owned(), channels, expired: format!("__keyevent@{db}__:expired") }
    }

    /// What every key begins with.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What every channel begins with.
    pub(super) fn channels(&self) -> &str {
        &self.channels
    }

    /// Where what is sent to a user is published.
    pub(super) fn user_channel(&self, user: &UserId) -> String {
        format!("{}user:{user}", self.channels)
    }

    /// Where one node is spoken to by the others.
    pub(super) fn node_channel(&self, node: &str) -> String {
        format!("{}node:{node}", self.channels)
    }

    /// Where Redis says which keys have expired, if it does.
    pub(super) fn expired_channel(&self) -> &str {
        &self.expired
    }

    /// The user that a channel is for.
    pub(super) fn user_of<'a>(&self, channel: &'a str) -> Option<&'a str> {
        channel.strip_prefix(&self.channels)?.strip_prefix("user:")
    }

    /// The call whose timer a key is.
    pub(super) fn timed_call(&self, key: &str) -> Option<CallId> {
        CallId::parse(key.strip_prefix(&self.prefix)?.strip_prefix("timeout:call:")?)
    }

    /// The key of a request, without the prefix. The length keeps two users apart of whom one's id begins with the other's.
    pub(super) fn request(user: &UserId, request: &RequestId) -> String {
        format!("request:{}:{user}:{request}", user.as_str().len())
    }

    /// A key that is made to expire, to see whether Redis says so.
    pub(super) fn probe(&self, node: &str) -> String {
        format!("{}probe:{node}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_timers_are_read_back() {
        let keys = Keys::new("app:", 3);
        let user = UserId::parse("zoë:1 2").unwrap();
        assert_eq!(keys.user_channel(&user), "app:db3:user:zoë:1 2");
        assert_eq!(keys.user_of("app:db3:user:zoë:1 2"), Some("zoë:1 2"));
        assert_eq!(keys.user_of("app:user:zoë"), None);
        assert_eq!(keys.expired_channel(), "__keyevent@3__:expired");
        let call = CallId::random();
        assert_eq!(keys.timed_call(&format!("app:timeout:call:{call}")), Some(call));
        assert_eq!(keys.timed_call(&format!("timeout:call:{call}")), None);
        assert_eq!(Keys::new("", 0).user_channel(&user), "user:zoë:1 2");
    }

    #[test]
    fn requests_of_two_users_do_not_meet() {
        let key = |user, request| Keys::request(&UserId::parse(user).unwrap(), &RequestId::parse(request).unwrap());
        assert_ne!(key("a", "b:c"), key("a:b", "c"));
    }
}
