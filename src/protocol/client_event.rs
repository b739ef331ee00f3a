//! What clients say: from the text of a packet to a request that is valid by its type.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::call::{CallType, CallerDisplay, Text};
use crate::ids::{CallId, DeviceId, EventId, PushTokenKind, PushTokens, RequestId, UserId};
use crate::protocol::event_name::EVENT_NAMES;
use crate::protocol::fields::{
    AccessToken, CallName, Field, Limited, Optional, PushAddress, Required, is_absent, is_media, string,
};
use crate::protocol::payloads::{
    AcceptFields, CandidateFields, DescriptionFields, EndFields, IceFields, InitiateFields, RegisterFields,
    RejectFields, TokenFields,
};
use crate::protocol::{Code, Media, Problem, SignalKind};

/// How large the opaque parts of a request may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// An offer's or an answer's `sdp`, as JSON text, attachments included.
    pub sdp_bytes: usize,
    /// A `candidate`, likewise.
    pub candidate_bytes: usize,
}

impl Bounds {
    /// The field that holds what is said, and how large it may be.
    pub fn of(self, kind: SignalKind) -> (&'static str, usize) {
        match kind {
            SignalKind::Offer | SignalKind::Answer => ("sdp", self.sdp_bytes),
            SignalKind::Candidate => ("candidate", self.candidate_bytes),
        }
    }
}

/// A request of a client.
#[derive(Debug)]
pub enum ClientEvent {
    /// `register`
    Register(Registration),
    /// `unregister`
    Unregister,
    /// `token_refresh`
    TokenRefresh(String),
    /// `get_ice_servers`, with the region it names
    GetIceServers(Option<Text>),
    /// `call_initiate`
    Initiate(CallRequest),
    /// `call_accept`
    Accept(CallId),
    /// `call_reject`
    Reject(CallId, Option<Text>),
    /// `call_end`
    End(EndTarget, Option<Text>),
    /// `sdp_offer`, `sdp_answer`, `ice_candidate`
    Signal(SignalRequest),
    /// The application's own `ping`.
    Ping,
    /// `pong`, which needs no answer.
    Pong,
}

/// Who registers, and how they can be woken.
#[derive(Debug)]
pub struct Registration {
    /// Who.
    pub user: UserId,
    /// On which device, if the app has a name for it.
    pub device: Option<DeviceId>,
    /// "android", "ios", "web", anything.
    pub platform: Option<Text>,
    /// Where a push reaches this device.
    pub tokens: PushTokens,
    /// The last event this device has dealt with.
    pub last_event: Option<EventId>,
}

/// Who is called, and how.
#[derive(Debug)]
pub struct CallRequest {
    /// Who.
    pub callee: UserId,
    /// How; what is wrong with that counts only once caller and callee are two people.
    pub details: Result<CallDetails, Problem>,
}

/// How somebody is called.
#[derive(Debug)]
pub struct CallDetails {
    /// Audio or video.
    pub call_type: CallType,
    /// What the callee is shown.
    pub display: CallerDisplay,
    /// What the client calls this request.
    pub request_id: Option<RequestId>,
}

/// Which call ends. Text that cannot be the id of a call names one that is over already.
#[derive(Debug)]
pub struct EndTarget {
    /// The call, if there can be one.
    pub call: Option<CallId>,
    /// Its id as it was sent, for the answer.
    pub echo: String,
}

/// Something to be said to the other side of a call.
#[derive(Debug)]
pub struct SignalRequest {
    /// In which call.
    pub call_id: CallId,
    /// To whom.
    pub to: UserId,
    /// Offer, answer or candidate.
    pub kind: SignalKind,
    /// The thing itself.
    pub media: Media,
}

/// A packet that is no request.
#[derive(Debug)]
pub struct Undecodable {
    /// What it was meant to be.
    pub kind: UndecodableKind,
    /// Its name, if that is one we know.
    pub event: Option<&'static str>,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What a packet that is no request was meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndecodableKind {
    /// No Socket.IO packet at all, or a reserved event: the connection is not worth keeping.
    Garbage,
    /// `register`, whose problems are told by an event of their own.
    Register,
    /// `call_initiate`, which has to be asked by somebody before anything else is wrong with it.
    Initiate,
    /// Anything else.
    Other,
}

/// Events that the Socket.IO protocol keeps for itself.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Reads `packet`, the JSON array of a Socket.IO event: its name, then its arguments.
///
/// # Errors
/// The [`Problem`] with it, for the client.
pub fn decode(packet: &str, attachments: &[Bytes], bounds: Bounds) -> Result<ClientEvent, Undecodable> {
    let garbage = || Undecodable { kind: UndecodableKind::Garbage, event: None, problem: Problem::invalid_payload() };
    let packet: Packet<'_> = serde_json::from_str(packet).map_err(|_| garbage())?;
    let name = &*packet.name;
    if RESERVED.contains(&name) {
        return Err(garbage());
    }
    decode_payload(name, packet.payload, attachments, bounds).map_err(|problem| {
        let kind = match name {
            "register" => UndecodableKind::Register,
            "call_initiate" => UndecodableKind::Initiate,
            _ => UndecodableKind::Other,
        };
        let event = EVENT_NAMES.into_iter().find(|known| *known == name);
        Undecodable { kind, event, problem }
    })
}

fn decode_payload(
    name: &str,
    payload: Field<'_>,
    attachments: &[Bytes],
    bounds: Bounds,
) -> Result<ClientEvent, Problem> {
    match name {
        "register" => register(payload),
        "unregister" => Ok(ClientEvent::Unregister),
        "token_refresh" => token_refresh(payload),
        "get_ice_servers" => get_ice_servers(payload),
        "call_initiate" => initiate(payload),
        "call_accept" => {
            let fields: AcceptFields<'_> = fields(payload, Problem::call_not_found_or_expired)?;
            fields.call_id.read().map(ClientEvent::Accept).ok_or_else(Problem::call_not_found_or_expired)
        }
        "call_reject" => {
            let fields: RejectFields<'_> = fields(payload, Problem::call_not_found_or_expired)?;
            let call_id = fields.call_id.read().ok_or_else(Problem::call_not_found_or_expired)?;
            Ok(ClientEvent::Reject(call_id, text(&fields.reason, "reason")?))
        }
        "call_end" => end(payload),
        "sdp_offer" => signal(SignalKind::Offer, payload, attachments, bounds),
        "sdp_answer" => signal(SignalKind::Answer, payload, attachments, bounds),
        "ice_candidate" => signal(SignalKind::Candidate, payload, attachments, bounds),
        "ping" => Ok(ClientEvent::Ping),
        "pong" => Ok(ClientEvent::Pong),
        _ => Err(Problem::unknown_event()),
    }
}

struct Packet<'a> {
    name: Cow<'a, str>,
    payload: Field<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Packet<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PacketVisitor;
        impl<'de> Visitor<'de> for PacketVisitor {
            type Value = Packet<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event name and its arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let raw = seq.next_element::<&RawValue>()?;
                let name = string(raw).ok_or_else(|| serde::de::Error::custom("no event name"))?;
                let payload = seq.next_element()?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Packet { name, payload })
            }
        }
        deserializer.deserialize_seq(PacketVisitor)
    }
}

/// An optional text.
fn text<const MAX: usize>(field: &Optional<'_, Limited<MAX>>, name: &str) -> Result<Option<Text>, Problem> {
    Ok(field.read(name)?.map(|Limited(text)| text))
}

/// The push tokens of a registration, whatever kinds there are.
fn push_tokens(payload: Field<'_>) -> Result<PushTokens, Problem> {
    let all: HashMap<Cow<'_, str>, &RawValue> = fields(payload, Problem::invalid_payload)?;
    let tokens = PushTokenKind::ALL.into_iter().map(|kind| {
        let token = Optional::new(all.get(kind.field()).copied()).read(kind.field())?;
        Ok(token.and_then(|PushAddress(token)| Some((kind, token?))))
    });
    tokens.filter_map(Result::transpose).collect()
}

/// The fields of an object. An absent or null payload is always the same problem; one that is something else is what the
/// documented contract calls it, `otherwise`.
fn fields<'a, T: Deserialize<'a> + Default>(payload: Field<'a>, otherwise: fn() -> Problem) -> Result<T, Problem> {
    let Some(raw) = payload.filter(|_| !is_absent(payload)) else {
        return Err(Problem::invalid_payload());
    };
    if !raw.get().starts_with('{') {
        return Err(otherwise());
    }
    serde_json::from_str(raw.get()).map_err(|_| Problem::invalid_payload())
}

fn register(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    let user_required = || Problem::new(Code::E003, "User ID is required");
    if is_absent(payload) {
        return Err(Problem::registration_failed());
    }
    let fields: RegisterFields<'_> = fields(payload, user_required)?;
    if fields.user_id.string().is_none_or(|user| user.is_empty()) {
        return Err(user_required());
    }
    let user = fields.user_id.read().ok_or_else(|| Problem::new(Code::E003, "Invalid user ID"))?;
    Ok(ClientEvent::Register(Registration {
        user,
        device: fields.device_id.read("deviceId")?,
        last_event: fields.last_event_id.read("lastEventId")?,
        platform: text(&fields.platform, "platform")?,
        tokens: push_tokens(payload)?,
    }))
}

fn token_refresh(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    let fields: TokenFields<'_> = fields(payload, Problem::invalid_payload)?;
    fields.token.string().ok_or_else(|| Problem::missing("token"))?;
    let AccessToken(token) = fields.token.read().ok_or_else(|| Problem::invalid("token"))?;
    Ok(ClientEvent::TokenRefresh(token))
}

/// A payload is not needed: there is nothing in it that has to be said.
fn get_ice_servers(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    if is_absent(payload) {
        return Ok(ClientEvent::GetIceServers(None));
    }
    let fields: IceFields<'_> = fields(payload, Problem::invalid_payload)?;
    text(&fields.region, "region").map(ClientEvent::GetIceServers)
}

fn initiate(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    let invalid_callee = || Problem::new(Code::E003, "Invalid callee ID");
    let fields: InitiateFields<'_> = fields(payload, invalid_callee)?;
    let callee = fields.callee_id.read().ok_or_else(invalid_callee)?;
    Ok(ClientEvent::Initiate(CallRequest { callee, details: details(&fields) }))
}

fn details(fields: &InitiateFields<'_>) -> Result<CallDetails, Problem> {
    let call_type = fields.call_type.read().ok_or_else(|| Problem::invalid("call type"))?;
    let display = CallerDisplay {
        name: text(&fields.caller_name, "callerName")?,
        avatar: text(&fields.caller_avatar, "callerAvatar")?,
    };
    Ok(CallDetails { call_type, display, request_id: fields.request_id.read("requestId")? })
}

fn end(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    let missing = || Problem::missing("callId");
    let fields: EndFields<'_> = fields(payload, missing)?;
    if fields.call_id.string().is_none_or(|text| text.is_empty()) {
        return Err(missing());
    }
    let CallName(echo) = fields.call_id.read().ok_or_else(|| Problem::invalid("callId"))?;
    let target = EndTarget { call: CallId::parse(&echo), echo };
    Ok(ClientEvent::End(target, text(&fields.reason, "reason")?))
}

fn signal(kind: SignalKind, payload: Field<'_>, attachments: &[Bytes], bounds: Bounds) -> Result<ClientEvent, Problem> {
    // The contract takes an array for an object without fields.
    if payload.is_some_and(|raw| raw.get().starts_with('[')) {
        return Err(Problem::missing("callId"));
    }
    let (call_id, to, json) = if kind.is_description() {
        let fields: DescriptionFields<'_> = fields(payload, Problem::invalid_payload)?;
        (fields.call_id, fields.to, fields.sdp.json)
    } else {
        let fields: CandidateFields<'_> = fields(payload, Problem::invalid_payload)?;
        (fields.call_id, fields.to, fields.candidate.json)
    };
    if call_id.string().is_none_or(|text| text.is_empty()) {
        return Err(Problem::missing("callId"));
    }
    let to = recipient(&to)?;
    let call_id = call_id.read().ok_or_else(Problem::call_not_found)?;
    let (name, max_bytes) = bounds.of(kind);
    let json = json.ok_or_else(|| Problem::missing(name))?;
    let media = media(kind, json, attachments).filter(|media| media.size() <= max_bytes);
    let media = media.ok_or_else(|| Problem::invalid(name))?;
    Ok(ClientEvent::Signal(SignalRequest { call_id, to, kind, media }))
}

fn recipient(to: &Required<'_, UserId>) -> Result<UserId, Problem> {
    if is_absent(to.json) || to.string().is_some_and(|text| text.is_empty()) {
        return Err(Problem::missing("recipient (to)"));
    }
    to.read().ok_or_else(|| Problem::invalid("recipient (to)"))
}

/// What is said, if it is of the right type and whole.
fn media(kind: SignalKind, json: &RawValue, attachments: &[Bytes]) -> Option<Media> {
    let is_sound = attachments.is_empty() || names_each_once(json, attachments.len());
    (is_media(kind, json) && is_sound).then(|| Media::new(json, attachments))
}

/// Whether `json` has one placeholder for each of `count` attachments: they are put back into it on the way out, and one that is
/// named a thousand times would leave a thousand times. It has to be JSON through and through, too.
fn names_each_once(json: &RawValue, count: usize) -> bool {
    let Ok(value) = serde_json::from_str(json.get()) else { return false };
    let mut numbers = Vec::new();
    let mut unread: Vec<&Value> = vec![&value];
    while let Some(value) = unread.pop() {
        match value {
            Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
                numbers.push(fields.get("num").and_then(Value::as_u64));
            }
            Value::Object(fields) => unread.extend(fields.values()),
            Value::Array(items) => unread.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    numbers.sort_unstable();
    numbers.into_iter().eq((0..count as u64).map(Some))
}
