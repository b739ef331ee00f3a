//! What requests are answered with.

use std::time::Duration;

use serde::Serialize;

use crate::call::CallType;
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, SessionId};
use crate::protocol::{Problem, SignalKind};

/// `{success:false, error:{code, message}}`
#[derive(Debug, Serialize)]
pub struct Refused<'a> {
    success: bool,
    error: &'a Problem,
}

impl<'a> Refused<'a> {
    /// The answer that says why not.
    pub fn new(error: &'a Problem) -> Self {
        Self { success: false, error }
    }
}

/// How a callee can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reachability {
    /// A device is connected.
    Online,
    /// A device can be woken.
    Push,
    /// Not at this moment; a device that connects while it rings will ring.
    None,
}

/// `{success, callId, state:"ringing", message, callType, reachability}`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InitiateAck {
    success: bool,
    call_id: String,
    state: &'static str,
    message: &'static str,
    call_type: &'static str,
    reachability: Reachability,
}

impl InitiateAck {
    /// The answer to `call_initiate`.
    pub fn new(call_id: CallId, call_type: CallType, reachability: Reachability) -> Self {
        Self {
            success: true,
            call_id: call_id.to_string(),
            state: "ringing",
            message: "Call initiated successfully",
            call_type: call_type.word(),
            reachability,
        }
    }
}

/// `{success, callId, state:"accepted", message}`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallAnswered {
    success: bool,
    call_id: String,
    state: &'static str,
    message: &'static str,
}

impl CallAnswered {
    /// The answer to `call_accept`.
    pub fn new(call_id: CallId) -> Self {
        Self { success: true, call_id: call_id.to_string(), state: "accepted", message: "Call accepted" }
    }
}

/// `{success, callId, message}`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallAck<'a> {
    success: bool,
    call_id: &'a str,
    message: &'static str,
}

impl<'a> CallAck<'a> {
    /// The answer to `call_reject`.
    pub fn rejected(call_id: &'a str) -> Self {
        Self { success: true, call_id, message: "Call rejected" }
    }

    /// The answer to `call_end`.
    pub fn ended(call_id: &'a str) -> Self {
        Self { success: true, call_id, message: "Call ended" }
    }
}

/// `{success, message}`
#[derive(Debug, Serialize)]
pub struct Said {
    success: bool,
    message: &'static str,
}

impl Said {
    /// The answer to an offer, an answer or a candidate.
    pub fn of(kind: SignalKind) -> Self {
        let message = match kind {
            SignalKind::Offer => "SDP offer sent",
            SignalKind::Answer => "SDP answer sent",
            SignalKind::Candidate => "ICE candidate sent",
        };
        Self { success: true, message }
    }
}

/// `{success:true}`
#[derive(Debug, Serialize)]
pub struct Done {
    success: bool,
}

impl Done {
    /// The answer to a request that has nothing to report.
    pub fn new() -> Self {
        Self { success: true }
    }
}

impl Default for Done {
    fn default() -> Self {
        Self::new()
    }
}

/// Both the `registered` event and the answer to `register`: `{success, sessionId, deviceId}`, and on a socket that was
/// registered already `{success, message, deviceId}`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registered<'a> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    device_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

/// The answer to `register` is what the `registered` event says.
pub type RegisterAck<'a> = Registered<'a>;

impl<'a> Registered<'a> {
    /// For the first time on this socket.
    pub fn first(session: &'a SessionId, device: &'a DeviceId) -> Self {
        Self { success: true, session_id: Some(session.as_str()), device_id: device.as_str(), message: None }
    }

    /// Once more on this socket.
    pub fn again(device: &'a DeviceId) -> Self {
        Self { success: true, session_id: None, device_id: device.as_str(), message: Some("Already registered") }
    }
}

/// `{success, expiresAt}`; `expiresAt` in ms, or null for a token that does not expire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshAck {
    success: bool,
    expires_at: Option<u64>,
}

impl RefreshAck {
    /// The answer to `token_refresh`.
    pub fn new(expires_at: Option<Timestamp>) -> Self {
        Self { success: true, expires_at: expires_at.map(|at| at.0) }
    }
}

/// Both the answer to `get_ice_servers`, `{success, iceServers, ttl}`, and the `ice_servers` event, which is no answer and says
/// nothing of success.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IceServerList<S> {
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    ice_servers: S,
    ttl: u64,
}

impl<S: Serialize> IceServerList<S> {
    /// The answer to `get_ice_servers`: `ice_servers` as WebRTC takes them, and for how long their credentials are good.
    pub fn answer(ice_servers: S, ttl: Duration) -> Self {
        Self { success: Some(true), ..Self::event(ice_servers, ttl) }
    }

    /// The `ice_servers` event.
    pub fn event(ice_servers: S, ttl: Duration) -> Self {
        Self { success: None, ice_servers, ttl: ttl.as_secs() }
    }
}

/// `{timestamp, serverTime}`: the answer to the application's own `ping`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    timestamp: u64,
    server_time: String,
}

impl Pong {
    /// At `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { timestamp: now.0, server_time: now.to_iso8601() }
    }
}
