//! What two devices say to each other: SDP and candidates, opaque, kept as the bytes that came.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::ids::{CallId, UserId};

/// A session description or a candidate. Its inside is never parsed, changed or shown.
#[derive(Clone)]
pub struct Media(Arc<Parts>);

struct Parts {
    json: Box<RawValue>,
    attachments: Box<[Bytes]>,
}

impl Media {
    /// Keeps a copy of `json`, and the binary attachments its placeholders stand for.
    pub fn new(json: &RawValue, attachments: &[Bytes]) -> Self {
        Self(Arc::new(Parts { json: json.to_owned(), attachments: attachments.into() }))
    }

    /// The JSON text.
    pub fn json(&self) -> &RawValue {
        &self.0.json
    }

    /// The binary attachments, in the order of their numbers.
    pub fn attachments(&self) -> &[Bytes] {
        &self.0.attachments
    }

    /// Its size in bytes, attachments included.
    pub fn size(&self) -> usize {
        self.json().get().len() + self.attachments().iter().map(Bytes::len).sum::<usize>()
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Media({} bytes)", self.size())
    }
}

impl PartialEq for Media {
    fn eq(&self, other: &Self) -> bool {
        self.json().get() == other.json().get() && self.attachments() == other.attachments()
    }
}

/// What kind of thing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// An SDP offer.
    Offer,
    /// An SDP answer.
    Answer,
    /// An ICE candidate.
    Candidate,
}

impl SignalKind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Offer, Self::Answer, Self::Candidate];

    /// Whether it describes a session. A second copy of a description breaks a call; a second copy of a candidate does not.
    pub fn is_description(self) -> bool {
        !matches!(self, SignalKind::Candidate)
    }
}

/// Something said by one device of a call to the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// In which call.
    pub call_id: CallId,
    /// By whom.
    pub from: UserId,
    /// When it came in.
    pub at: Timestamp,
    /// Offer, answer or candidate.
    pub kind: SignalKind,
    /// The thing itself.
    pub media: Media,
}
