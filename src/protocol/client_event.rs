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
use crate::protocol::fields::{Field, call_id, is_absent, optional_text, push_token, request_id, string};
use crate::protocol::payloads::{CallFields, IceFields, InitiateFields, SignalFields, TokenFields};
use crate::protocol::{Code, Media, Problem, SignalKind};

/// Longest avatar, in characters: usually the address of a picture.
const MAX_AVATAR_CHARS: usize = 2048;
/// Longest access token, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

/// How large the opaque parts of a request may be, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// An offer's or an answer's `sdp`, as JSON text, attachments included.
    pub sdp_bytes: usize,
    /// A `candidate`, likewise.
    pub candidate_bytes: usize,
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
            let fields: CallFields<'_> = fields(payload, Problem::call_not_found_or_expired)?;
            call_id(fields.call_id, Problem::call_not_found_or_expired).map(ClientEvent::Accept)
        }
        "call_reject" => {
            let fields: CallFields<'_> = fields(payload, Problem::call_not_found_or_expired)?;
            let call_id = call_id(fields.call_id, Problem::call_not_found_or_expired)?;
            Ok(ClientEvent::Reject(call_id, optional_text(fields.reason, "reason", Text::MAX_CHARS)?))
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

/// The push tokens of a registration, whatever kinds there are.
fn push_tokens(fields: &HashMap<Cow<'_, str>, &RawValue>) -> Result<PushTokens, Problem> {
    let tokens = PushTokenKind::ALL.into_iter().map(|kind| {
        let token = push_token(fields.get(kind.field()).copied(), kind.field())?;
        Ok(token.map(|token| (kind, token)))
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
    // A map, as the names of the push tokens are those of their kinds.
    let fields: HashMap<Cow<'_, str>, &RawValue> = fields(payload, user_required)?;
    let field = |name: &str| fields.get(name).copied();
    let user = string(field("userId")).ok_or_else(user_required)?;
    if user.is_empty() {
        return Err(user_required());
    }
    let user = UserId::parse(&user).ok_or_else(|| Problem::new(Code::E003, "Invalid user ID"))?;
    let device = field("deviceId").filter(|raw| !is_absent(Some(raw)));
    let device = device.map(|raw| {
        let device = string(Some(raw)).and_then(|text| DeviceId::parse(&text));
        device.ok_or_else(|| Problem::invalid("deviceId"))
    });
    let last_event = field("lastEventId").filter(|raw| !is_absent(Some(raw)));
    let last_event = last_event.map(|raw| raw.get().parse().map(EventId).map_err(|_| Problem::invalid("lastEventId")));
    Ok(ClientEvent::Register(Registration {
        user,
        device: device.transpose()?,
        last_event: last_event.transpose()?,
        platform: optional_text(field("platform"), "platform", Text::MAX_CHARS)?,
        tokens: push_tokens(&fields)?,
    }))
}

fn token_refresh(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    let fields: TokenFields<'_> = fields(payload, Problem::invalid_payload)?;
    let token = string(fields.token).ok_or_else(|| Problem::missing("token"))?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Problem::invalid("token"));
    }
    Ok(ClientEvent::TokenRefresh(token.into_owned()))
}

/// A payload is not needed: there is nothing in it that has to be said.
fn get_ice_servers(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    if is_absent(payload) {
        return Ok(ClientEvent::GetIceServers(None));
    }
    let fields: IceFields<'_> = fields(payload, Problem::invalid_payload)?;
    optional_text(fields.region, "region", Text::MAX_CHARS).map(ClientEvent::GetIceServers)
}

fn initiate(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    let invalid_callee = || Problem::new(Code::E003, "Invalid callee ID");
    let fields: InitiateFields<'_> = fields(payload, invalid_callee)?;
    let callee = string(fields.callee_id).and_then(|text| UserId::parse(&text)).ok_or_else(invalid_callee)?;
    Ok(ClientEvent::Initiate(CallRequest { callee, details: details(&fields) }))
}

fn details(fields: &InitiateFields<'_>) -> Result<CallDetails, Problem> {
    let call_type = match string(fields.call_type).as_deref() {
        Some("audio") => CallType::Audio,
        Some("video") => CallType::Video,
        _ => return Err(Problem::invalid("call type")),
    };
    let display = CallerDisplay {
        name: optional_text(fields.caller_name, "callerName", Text::MAX_CHARS)?,
        avatar: optional_text(fields.caller_avatar, "callerAvatar", MAX_AVATAR_CHARS)?,
    };
    Ok(CallDetails { call_type, display, request_id: request_id(fields.request_id)? })
}

fn end(payload: Field<'_>) -> Result<ClientEvent, Problem> {
    let missing = || Problem::missing("callId");
    let fields: CallFields<'_> = fields(payload, missing)?;
    let echo = string(fields.call_id).filter(|text| !text.is_empty()).ok_or_else(missing)?;
    if !crate::ids::is_valid_id(&echo) {
        return Err(Problem::invalid("callId"));
    }
    let target = EndTarget { call: CallId::parse(&echo), echo: echo.into_owned() };
    Ok(ClientEvent::End(target, optional_text(fields.reason, "reason", Text::MAX_CHARS)?))
}

fn signal(kind: SignalKind, payload: Field<'_>, attachments: &[Bytes], bounds: Bounds) -> Result<ClientEvent, Problem> {
    // The contract takes an array for an object without fields.
    if payload.is_some_and(|raw| raw.get().starts_with('[')) {
        return Err(Problem::missing("callId"));
    }
    let fields: SignalFields<'_> = fields(payload, Problem::invalid_payload)?;
    if string(fields.call_id).is_none_or(|text| text.is_empty()) {
        return Err(Problem::missing("callId"));
    }
    let to = string(fields.to);
    if is_absent(fields.to) || to.as_ref().is_some_and(|text| text.is_empty()) {
        return Err(Problem::missing("recipient (to)"));
    }
    let to = to.and_then(|text| UserId::parse(&text)).ok_or_else(|| Problem::invalid("recipient (to)"))?;
    let call_id = call_id(fields.call_id, Problem::call_not_found)?;
    let (name, field, max_bytes) = match kind {
        SignalKind::Offer | SignalKind::Answer => ("sdp", fields.sdp, bounds.sdp_bytes),
        SignalKind::Candidate => ("candidate", fields.candidate, bounds.candidate_bytes),
    };
    let json = field.ok_or_else(|| Problem::missing(name))?;
    let media = media(kind, json, attachments).filter(|media| media.size() <= max_bytes);
    let media = media.ok_or_else(|| Problem::invalid(name))?;
    Ok(ClientEvent::Signal(SignalRequest { call_id, to, kind, media }))
}

/// A description is an object or its text; a candidate may also be null, which tells the other side that there are no more.
fn media(kind: SignalKind, json: &RawValue, attachments: &[Bytes]) -> Option<Media> {
    let fits = match json.get().as_bytes().first()? {
        b'{' | b'"' => true,
        b'n' => !kind.is_description(),
        _ => false,
    };
    let is_sound = attachments.is_empty() || names_each_once(json, attachments.len());
    (fits && is_sound).then(|| Media::new(json, attachments))
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
