//! What a push service is to the dispatcher: which devices it reaches, what it can carry, and how an attempt may end.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::ids::{PushToken, PushTokenKind};
use crate::push::Message;

/// A push service. What its answers mean is its own affair; what follows from that, and when to try again, is the dispatcher's.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it is called in logs and counts.
    fn name(&self) -> &'static str;

    /// Which tokens are its own.
    fn token_kind(&self) -> PushTokenKind;

    /// Whether it can carry such messages.
    fn carries(&self, kind: Kind) -> bool;

    /// Tries once to send `message` to one token.
    async fn send(&self, message: &Message, token: &PushToken) -> Outcome;
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call rings.
    Ring,
    /// It rings no more.
    Stop,
    /// It was missed.
    Missed,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service has taken the message.
    Sent,
    /// The token reaches nobody any more.
    TokenDead {
        /// Since when, if the service knows: a device that has registered later is not meant.
        since: Option<Timestamp>,
        /// What an operator has to look at if it happens often.
        if_often: Option<&'static str>,
        /// As the service said it.
        code: &'static str,
    },
    /// The same message may go through later.
    Retry {
        /// Not sooner than after this.
        after: Option<Duration>,
        /// What is in the way.
        trouble: Trouble,
    },
    /// The same message would be refused again.
    Refused {
        /// Why.
        why: &'static str,
        /// Whether an operator has to do something about it.
        alert: bool,
    },
}

/// Why a message does not go through at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The service: others would fare no better.
    Service(&'static str),
    /// The one device.
    Device(&'static str),
}

impl Kind {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Stop => "stop",
            Self::Missed => "missed",
        }
    }
}

impl Trouble {
    /// In words.
    pub fn why(self) -> &'static str {
        match self {
            Self::Service(why) | Self::Device(why) => why,
        }
    }
}

impl Outcome {
    /// Why it was not sent.
    pub(super) fn why(self) -> Option<&'static str> {
        match self {
            Self::Sent => None,
            Self::TokenDead { code, .. } => Some(code),
            Self::Retry { trouble, .. } => Some(trouble.why()),
            Self::Refused { why, .. } => Some(why),
        }
    }

    /// An operator has to do something about it.
    pub(super) fn alert(why: &'static str) -> Self {
        Self::Refused { why, alert: true }
    }

    /// The service is in trouble.
    pub(super) fn later(why: &'static str, after: Option<Duration>) -> Self {
        Self::Retry { after, trouble: Trouble::Service(why) }
    }

    /// The token is dead, nobody says since when.
    pub(super) fn dead(code: &'static str) -> Self {
        Self::TokenDead { since: None, if_often: None, code }
    }
}
