//! Something that has begun and ended.

use std::borrow::Cow;

use crate::traces::ids::{Context, SpanId};

/// A span. Times are nanoseconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) context: Context,
    pub(super) parent: Option<SpanId>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// The call that a trace of its own is about.
    pub(super) link: Option<Context>,
    /// What went wrong, in a word.
    pub(super) failure: Option<&'static str>,
}

/// Which side of a conversation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Internal,
    /// Answers a request.
    Server,
    /// Asks somebody else.
    Client,
    /// Sends a message.
    Producer,
    /// Takes a message in.
    Consumer,
}

/// What is said of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

impl Span {
    /// One that has begun.
    pub(super) fn new(name: impl Into<Cow<'static, str>>, kind: Kind, context: Context, start: u64) -> Self {
        Self {
            context,
            parent: None,
            name: name.into(),
            kind,
            start,
            end: start,
            attributes: Vec::new(),
            link: None,
            failure: None,
        }
    }

    /// What it is; something empty stays.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self::new("", self.kind, self.context, self.end);
        std::mem::replace(self, empty)
    }

    /// Says something of it.
    pub(super) fn note(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push((key, value.into()));
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Text(word.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}
