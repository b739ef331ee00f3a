//! What is carried: a message, whom it is for, and its place in the recipient's inbox.

use std::sync::Arc;

use crate::call::{Audience, Event, Notice};
use crate::clock::Timestamp;
use crate::ids::{CallId, EventId, UserId};
use crate::protocol::Signal;
use crate::traces::Context;

/// A message on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// To whom.
    pub user: UserId,
    /// To which of their devices.
    pub audience: Audience,
    /// The message.
    pub payload: Payload,
    /// Where what becomes of it is told, if it is.
    pub trace: Option<Context>,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A call has changed.
    Notice(Notice),
    /// The other side of a call says something.
    Signal(Signal),
}

impl Payload {
    /// The call it is about.
    pub fn call_id(&self) -> CallId {
        match self {
            Payload::Notice(notice) => notice.call_id,
            Payload::Signal(signal) => signal.call_id,
        }
    }

    /// When it was made, by the clock of the node that sent it.
    pub fn at(&self) -> Timestamp {
        match self {
            Payload::Notice(notice) => notice.at,
            Payload::Signal(signal) => signal.at,
        }
    }

    /// Whether it means nothing once its call is over.
    pub fn needs_live_call(&self) -> bool {
        matches!(self, Payload::Signal(_)) || self.is_live_notice()
    }

    /// Whether it says that a call rings, or is answered.
    pub fn is_live_notice(&self) -> bool {
        match self {
            Payload::Signal(_) => false,
            Payload::Notice(notice) => matches!(notice.event, Event::Incoming { .. } | Event::Accepted { .. }),
        }
    }

    /// Whether it describes a session: those are not repeated.
    pub fn is_description(&self) -> bool {
        matches!(self, Payload::Signal(signal) if signal.kind.is_description())
    }

    /// About how many bytes it takes to keep.
    pub fn size(&self) -> usize {
        const OVERHEAD: usize = 256;
        match self {
            Payload::Notice(Notice { event: Event::Incoming { display, .. }, .. }) => OVERHEAD + display.size(),
            Payload::Notice(_) => OVERHEAD,
            Payload::Signal(signal) => OVERHEAD + signal.media.size(),
        }
    }
}

/// A message in a user's inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Its place.
    pub id: EventId,
    /// For which devices.
    pub audience: Audience,
    /// The message.
    pub payload: Arc<Payload>,
    /// Where what becomes of it is told, if it is.
    pub trace: Option<Context>,
}
