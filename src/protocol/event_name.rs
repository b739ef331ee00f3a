//! The names of what clients say.

use crate::protocol::{ClientEvent, SignalKind, SignalRequest};

/// Every name.
pub const EVENT_NAMES: [&str; 13] = [
    "register",
    "unregister",
    "token_refresh",
    "get_ice_servers",
    "call_initiate",
    "call_accept",
    "call_reject",
    "call_end",
    "sdp_offer",
    "sdp_answer",
    "ice_candidate",
    "ping",
    "pong",
];

impl ClientEvent {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::Unregister => "unregister",
            Self::TokenRefresh(_) => "token_refresh",
            Self::GetIceServers(_) => "get_ice_servers",
            Self::Initiate(_) => "call_initiate",
            Self::Accept(_) => "call_accept",
            Self::Reject(..) => "call_reject",
            Self::End(..) => "call_end",
            Self::Signal(SignalRequest { kind: SignalKind::Offer, .. }) => "sdp_offer",
            Self::Signal(SignalRequest { kind: SignalKind::Answer, .. }) => "sdp_answer",
            Self::Signal(SignalRequest { kind: SignalKind::Candidate, .. }) => "ice_candidate",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Bounds, decode};

    #[test]
    fn every_name_is_one_that_is_read() {
        for name in EVENT_NAMES {
            let read = decode(&format!("[\"{name}\"]"), &[], Bounds { sdp_bytes: 1024, candidate_bytes: 1024 });
            match read {
                Ok(event) => assert_eq!(event.name(), name),
                Err(undecodable) => assert_eq!(undecodable.event, Some(name)),
            }
        }
    }
}
