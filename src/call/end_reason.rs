//! Why a call ended, and the short texts that clients attach.

use std::fmt;
use std::sync::Arc;

use crate::ids::is_printable;

/// Why a call was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A party hung up, with their own word for it if they gave one.
    HungUp(Option<Text>),
    /// The device of a party turned to another call.
    Replaced,
    /// A party lost the connection and stayed away.
    ConnectionLost,
    /// The call had lasted as long as a call may.
    MaxDuration,
}

/// A short text from a client: a name, a reason, an address. At most 256 printable characters. Not shown in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Arc<str>);

impl Text {
    /// Longest text, in characters.
    pub const MAX_CHARS: usize = 256;

    /// The text, or `None` where it is too long or has control characters.
    pub fn parse(text: &str) -> Option<Self> {
        is_printable(text, Self::MAX_CHARS).then(|| Self(text.into()))
    }

    /// The text, or `None` where it has more than `max_chars` characters or control characters.
    pub fn parse_up_to(text: &str, max_chars: usize) -> Option<Self> {
        is_printable(text, max_chars).then(|| Self(text.into()))
    }

    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}
