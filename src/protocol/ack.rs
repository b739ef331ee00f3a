//! What requests are answered with.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::call::CallType;
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, SessionId};
use crate::protocol::fields::CallName;
use crate::protocol::{Problem, SignalKind, schemas};

/// A refusal: `{success:false, error:{code, message}}`
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Refused<'a> {
    #[schemars(schema_with = "schemas::no")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reachability {
    /// A device is connected.
    Online,
    /// A device can be woken.
    Push,
    /// Not at this moment; a device that connects while it rings will ring.
    None,
}

/// It rings, or a busy callee is about to say no: `{success, callId, state:"ringing", message, callType, reachability}`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallInitiateAnswer", deny_unknown_fields)]
pub struct InitiateAck {
    #[schemars(schema_with = "schemas::yes")]
    success: bool,
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    #[schemars(extend("const" = RINGING))]
    state: &'static str,
    #[schemars(extend("const" = INITIATED))]
    message: &'static str,
    #[schemars(schema_with = "schemas::of::<CallType>")]
    call_type: &'static str,
    reachability: Reachability,
}

const RINGING: &str = "ringing";
const INITIATED: &str = "Call initiated successfully";

impl InitiateAck {
    /// The answer to `call_initiate`.
    pub fn new(call_id: CallId, call_type: CallType, reachability: Reachability) -> Self {
        Self {
            success: true,
            call_id: call_id.to_string(),
            state: RINGING,
            message: INITIATED,
            call_type: call_type.word(),
            reachability,
        }
    }
}

/// The call is this device's: `{success, callId, state:"accepted", message}`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallAcceptAnswer", deny_unknown_fields)]
pub struct CallAnswered {
    #[schemars(schema_with = "schemas::yes")]
    success: bool,
    #[schemars(schema_with = "schemas::call_id")]
    call_id: String,
    #[schemars(extend("const" = ACCEPTED))]
    state: &'static str,
    #[schemars(extend("const" = CALL_ACCEPTED))]
    message: &'static str,
}

const ACCEPTED: &str = "accepted";
const CALL_ACCEPTED: &str = "Call accepted";

impl CallAnswered {
    /// The answer to `call_accept`.
    pub fn new(call_id: CallId) -> Self {
        Self { success: true, call_id: call_id.to_string(), state: ACCEPTED, message: CALL_ACCEPTED }
    }
}

/// The call is over: `{success, callId, message}`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CallOverAnswer", deny_unknown_fields)]
pub struct CallAck<'a> {
    #[schemars(schema_with = "schemas::yes")]
    success: bool,
    /// As it was sent.
    #[schemars(schema_with = "schemas::of::<CallName>")]
    call_id: &'a str,
    #[schemars(extend("enum" = [CALL_REJECTED, CALL_ENDED]))]
    message: &'static str,
}

const CALL_REJECTED: &str = "Call rejected";
const CALL_ENDED: &str = "Call ended";

impl<'a> CallAck<'a> {
    /// The answer to `call_reject`.
    pub fn rejected(call_id: &'a str) -> Self {
        Self { success: true, call_id, message: CALL_REJECTED }
    }

    /// The answer to `call_end`.
    pub fn ended(call_id: &'a str) -> Self {
        Self { success: true, call_id, message: CALL_ENDED }
    }
}

/// It was accepted for delivery, which does not mean that it has arrived: `{success, message}`
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SentAnswer", deny_unknown_fields)]
pub struct Said {
    #[schemars(schema_with = "schemas::yes")]
    success: bool,
    #[schemars(extend("enum" = SignalKind::ALL.map(said)))]
    message: &'static str,
}

impl Said {
    /// The answer to an offer, an answer or a candidate.
    pub fn of(kind: SignalKind) -> Self {
        Self { success: true, message: said(kind) }
    }
}

fn said(kind: SignalKind) -> &'static str {
    match kind {
        SignalKind::Offer => "SDP offer sent",
        SignalKind::Answer => "SDP answer sent",
        SignalKind::Candidate => "ICE candidate sent",
    }
}

/// There is nothing to report: `{success:true}`
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DoneAnswer", deny_unknown_fields)]
pub struct Done {
    #[schemars(schema_with = "schemas::yes")]
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
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Registered<'a> {
    #[schemars(schema_with = "schemas::yes")]
    success: bool,
    /// The id of the socket; left out on one that was registered already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schemas::id")]
    session_id: Option<&'a str>,
    /// The name that was sent, or the one that lasts as long as the socket.
    #[schemars(schema_with = "schemas::id")]
    device_id: &'a str,
    /// Only on a socket that was registered already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("type" = "string", "const" = REGISTERED_ALREADY))]
    message: Option<&'static str>,
}

const REGISTERED_ALREADY: &str = "Already registered";

/// The answer to `register` is what the `registered` event says.
pub type RegisterAck<'a> = Registered<'a>;

impl<'a> Registered<'a> {
    /// For the first time on this socket.
    pub fn first(session: &'a SessionId, device: &'a DeviceId) -> Self {
        Self { success: true, session_id: Some(session.as_str()), device_id: device.as_str(), message: None }
    }

    /// Once more on this socket.
    pub fn again(device: &'a DeviceId) -> Self {
        Self { success: true, session_id: None, device_id: device.as_str(), message: Some(REGISTERED_ALREADY) }
    }
}

/// The token is the connection's: `{success, expiresAt}`
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TokenRefreshAnswer", deny_unknown_fields)]
pub struct RefreshAck {
    #[schemars(schema_with = "schemas::yes")]
    success: bool,
    /// In milliseconds since the epoch; null for a token that does not expire.
    expires_at: Option<u64>,
}

impl RefreshAck {
    /// The answer to `token_refresh`.
    pub fn new(expires_at: Option<Timestamp>) -> Self {
        Self { success: true, expires_at: expires_at.map(|at| at.0) }
    }
}

/// The answer to `get_ice_servers`: `{success, iceServers, ttl}`
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetIceServersAnswer", deny_unknown_fields)]
pub struct IceServersAck<S> {
    #[schemars(schema_with = "schemas::yes")]
    success: bool,
    /// As `RTCPeerConnection` takes them.
    ice_servers: S,
    /// Seconds for which the credentials are good.
    ttl: u64,
}

/// The `ice_servers` event, which is no answer and says nothing of success.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "IceServersEvent", deny_unknown_fields)]
pub struct FreshIceServers<S> {
    /// As `RTCPeerConnection` takes them.
    ice_servers: S,
    /// Seconds for which the credentials are good.
    ttl: u64,
}

impl<S: Serialize> IceServersAck<S> {
    /// `ice_servers` as WebRTC takes them, and for how long their credentials are good.
    pub fn new(ice_servers: S, ttl: Duration) -> Self {
        Self { success: true, ice_servers, ttl: ttl.as_secs() }
    }
}

impl<S: Serialize> FreshIceServers<S> {
    /// The same.
    pub fn new(ice_servers: S, ttl: Duration) -> Self {
        Self { ice_servers, ttl: ttl.as_secs() }
    }
}

/// `{timestamp, serverTime}`: the answer to the application's own `ping`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Pong {
    #[schemars(schema_with = "schemas::moment")]
    timestamp: u64,
    /// The same in ISO 8601.
    #[schemars(extend("format" = "date-time"))]
    server_time: String,
}

impl Pong {
    /// At `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { timestamp: now.0, server_time: now.to_iso8601() }
    }
}
