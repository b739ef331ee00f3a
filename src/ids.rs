//! The identifiers that cross rooms. Each is its own type, cheap to clone, and bounded where it is parsed.

mod push_token;
pub mod schema;

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

pub use push_token::{PushToken, PushTokenKind, PushTokens};

/// Longest user, device or request id a client may send, in characters.
pub const MAX_ID_CHARS: usize = 128;

/// Whether `text` is a usable id: 1 to 128 printable characters, not blank.
pub fn is_valid_id(text: &str) -> bool {
    is_printable(text, MAX_ID_CHARS) && !text.trim().is_empty()
}

/// Whether `text` has at most `max_chars` characters and no control character.
pub fn is_printable(text: &str, max_chars: usize) -> bool {
    // A character is at most four bytes: long texts are refused without being counted.
    text.len() <= max_chars * 4 && text.chars().count() <= max_chars && !text.chars().any(char::is_control)
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id, or `None` where `text` is not 1 to 128 printable characters.
            pub fn parse(text: &str) -> Option<Self> {
                is_valid_id(text).then(|| Self(text.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

text_id!(
    /// A person, as the token names them.
    UserId
);
text_id!(
    /// One installation of the app. Survives reconnects where the client names it, else it is the socket id.
    DeviceId
);
text_id!(
    /// One connection: the Socket.IO socket id.
    SessionId
);
text_id!(
    /// What a client calls its own request, so that a repeat finds the first one's result.
    RequestId
);

text_id!(
    /// One running process among those that share a backplane. New at every start.
    NodeId
);

impl NodeId {
    /// A new, random id: 16 hexadecimal digits.
    pub fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string()[..16].into())
    }
}

impl SessionId {
    /// The device of a socket that has named none: called like the socket.
    pub fn unnamed_device(&self) -> DeviceId {
        DeviceId(self.0.clone())
    }
}

/// A call. A random UUID, so that it cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

impl CallId {
    /// A new, random id.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id in its 36-character hyphenated form, or `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 36 {
            return None;
        }
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The id made of `n`: tests and benchmarks need ids that repeat.
    pub const fn from_u128(n: u128) -> Self {
        Self(Uuid::from_u128(n))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The place of a message among all that were ever sent to one user; rises by one with each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct EventId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printable_and_bounded() {
        assert!(UserId::parse("alice@example.org").is_some());
        assert!(UserId::parse("Zoë 🎧").is_some());
        for bad in ["", "   ", "a\nb", "a\u{0}", &"x".repeat(129), &"x".repeat(5000)] {
            assert!(UserId::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_call_id_has_one_spelling() {
        let id = CallId::random();
        assert_eq!(CallId::parse(&id.to_string()), Some(id));
        for bad in ["", "1234", "67e5504410b1426f9247bb680e5fe0c8", "{67e55044-10b1-426f-9247-bb680e5fe0c8}"] {
            assert!(CallId::parse(bad).is_none(), "{bad:?}");
        }
    }
}
