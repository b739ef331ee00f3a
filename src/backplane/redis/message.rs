//! A message as it travels through Redis and lies in an inbox. Media pass as the bytes that came; fields that a release does not
//! know are passed over.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::backplane::redis::record::end_reason;
use crate::backplane::{Delivery, Payload};
use crate::call::{Audience, CallType, CallerDisplay, Elsewhere, EndReason, Event, Notice, Text};
use crate::clock::Timestamp;
use crate::ids::{CallId, DeviceId, EventId, UserId};
use crate::protocol::{Media, Signal, SignalKind};
use crate::traces::Context;

/// Most messages to one user within a millisecond.
const NUMBERS: u64 = 1_000;
/// Longest text taken from a message, in characters.
const MAX_TEXT_CHARS: usize = 4096;

#[derive(Default, Serialize, Deserialize)]
struct Json<'a> {
    kind: &'a str,
    call: &'a str,
    at: u64,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    only: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    except: Option<Cow<'a, str>>,
    /// Who calls, was called, hung up or speaks.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    who: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    avatar: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    r#type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    why: Option<&'a str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    said: Option<Cow<'a, str>>,
    /// JSON of any kind, `null` included.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default, deserialize_with = "present")]
    media: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    attached: Vec<String>,
    /// The record of the call, so that a node which is to act on the message need not ask for it.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    record: Option<&'a RawValue>,
    /// Where what becomes of the message is told. Only there where it is.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    trace: Option<Cow<'a, str>>,
}

/// A message, read.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) delivery: Delivery,
    pub(super) sent_at: Timestamp,
    /// Who sent it, as the name of the change or message begins.
    pub(super) token: &'a str,
    /// The revision of the call that it came of.
    pub(super) revision: u64,
    /// The record of the call at that revision.
    pub(super) record: Option<&'a str>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// How expendable a message is, as the scripts spell it.
fn class(payload: &Payload) -> char {
    match payload {
        Payload::Signal(_) => 's',
        Payload::Notice(_) if payload.is_live_notice() => 'n',
        Payload::Notice(_) => 'e',
    }
}

/// A message as it is kept, after the id that Redis gives it: `class size call token revision body`.
///
/// With `record`, the record of the call at `revision`, where the message makes somebody act on the call.
pub(super) fn write(
    audience: &Audience,
    payload: &Payload,
    trace: Option<Context>,
    token: &str,
    revision: u64,
    record: Option<&str>,
) -> String {
    let (class, size, call) = (class(payload), payload.size(), payload.call_id());
    let record = record.filter(|_| payload.is_live_notice());
    format!("{class} {size} {call} {token} {revision} {}", body(audience, payload, trace, record))
}

fn body(audience: &Audience, payload: &Payload, trace: Option<Context>, record: Option<&str>) -> String {
    let call = payload.call_id().to_string();
    let borrowed = |text: &'_ Option<Text>| text.as_ref().map(|text| Cow::Owned(text.as_str().to_owned()));
    let record = record.and_then(|record| serde_json::from_str(record).ok());
    let trace = trace.map(|context| context.to_string().into());
    let mut json = Json { call: &call, record, trace, ..Json::default() };
    match audience {
        Audience::All => {}
        Audience::Only(device) => json.only = Some(device.as_str().into()),
        Audience::Except(device) => json.except = Some(device.as_str().into()),
    }
    match payload {
        Payload::Notice(Notice { at, event, .. }) => {
            json.at = at.0;
            match event {
                Event::Incoming { caller, display, call_type } => {
                    json.kind = "incoming";
                    json.who = Some(caller.as_str().into());
                    json.name = borrowed(&display.name);
                    json.avatar = borrowed(&display.avatar);
                    json.r#type = Some(call_type.word());
                }
                Event::Accepted { callee } => {
                    json.kind = "accepted";
                    json.who = Some(callee.as_str().into());
                }
                Event::Rejected { callee, reason } => {
                    json.kind = "rejected";
                    json.who = Some(callee.as_str().into());
                    json.said = borrowed(reason);
                }
                Event::Ended { ended_by, reason } => {
                    json.kind = "ended";
                    json.who = ended_by.as_ref().map(|user| user.as_str().into());
                    json.why = Some(end_reason(reason));
                    if let EndReason::HungUp(said) = reason {
                        json.said = borrowed(said);
                    }
                }
                Event::NoAnswer => json.kind = "no_answer",
                Event::Missed => json.kind = "missed",
                Event::Cancelled(Elsewhere::Answered) => json.kind = "answered_elsewhere",
                Event::Cancelled(Elsewhere::Declined) => json.kind = "declined_elsewhere",
            }
        }
        Payload::Signal(Signal { from, at, kind, media, .. }) => {
            json.kind = match kind {
                SignalKind::Offer => "offer",
                SignalKind::Answer => "answer",
                SignalKind::Candidate => "candidate",
            };
            json.at = at.0;
            json.who = Some(from.as_str().into());
            json.media = Some(media.json());
            json.attached = media.attachments().iter().map(|bytes| STANDARD.encode(bytes)).collect();
        }
    }
    // Strings, numbers and JSON can be written.
    serde_json::to_string(&json).unwrap_or_default()
}

/// Reads the body of a message; `None` where this release cannot.
fn read_body(text: &str) -> Option<(Audience, Payload, Option<Context>, Option<&str>)> {
    let json: Json<'_> = serde_json::from_str(text).ok()?;
    let (audience, payload) = parse(&json)?;
    let trace = json.trace.as_deref().and_then(Context::parse);
    Some((audience, payload, trace, json.record.map(RawValue::get)))
}

fn parse(json: &Json<'_>) -> Option<(Audience, Payload)> {
    let device = |device: &Cow<'_, str>| DeviceId::parse(device);
    let audience = match (&json.only, &json.except) {
        (Some(only), _) => Audience::Only(device(only)?),
        (None, Some(except)) => Audience::Except(device(except)?),
        (None, None) => Audience::All,
    };
    let who = || json.who.as_deref().and_then(UserId::parse);
    let text = |text: &Option<Cow<'_, str>>| text.as_ref().and_then(|text| Text::parse_up_to(text, MAX_TEXT_CHARS));
    let (call_id, at) = (CallId::parse(json.call)?, Timestamp(json.at));
    let event = match json.kind {
        "offer" => return Some((audience, signal(json, call_id, SignalKind::Offer)?)),
        "answer" => return Some((audience, signal(json, call_id, SignalKind::Answer)?)),
        "candidate" => return Some((audience, signal(json, call_id, SignalKind::Candidate)?)),
        "incoming" => Event::Incoming {
            caller: who()?,
            display: CallerDisplay { name: text(&json.name), avatar: text(&json.avatar) },
            call_type: match json.r#type? {
                "audio" => CallType::Audio,
                "video" => CallType::Video,
                _ => return None,
            },
        },
        "accepted" => Event::Accepted { callee: who()? },
        "rejected" => Event::Rejected { callee: who()?, reason: text(&json.said) },
        "ended" => Event::Ended {
            ended_by: who(),
            reason: match json.why? {
                "hung_up" => EndReason::HungUp(text(&json.said)),
                "replaced" => EndReason::Replaced,
                "connection_lost" => EndReason::ConnectionLost,
                "max_duration" => EndReason::MaxDuration,
                _ => return None,
            },
        },
        "no_answer" => Event::NoAnswer,
        "missed" => Event::Missed,
        "answered_elsewhere" => Event::Cancelled(Elsewhere::Answered),
        "declined_elsewhere" => Event::Cancelled(Elsewhere::Declined),
        _ => return None,
    };
    Some((audience, Payload::Notice(Notice { call_id, at, event })))
}

fn signal(json: &Json<'_>, call_id: CallId, kind: SignalKind) -> Option<Payload> {
    let attached: Result<Vec<Bytes>, _> =
        json.attached.iter().map(|text| STANDARD.decode(text).map(Bytes::from)).collect();
    let from = json.who.as_deref().and_then(UserId::parse)?;
    let media = Media::new(json.media?, &attached.ok()?);
    Some(Payload::Signal(Signal { call_id, from, at: Timestamp(json.at), kind, media }))
}

/// A message as it was published: `id class size call token revision body`.
pub(super) fn read(text: &str) -> Option<Message<'_>> {
    let mut parts = text.splitn(7, ' ');
    let (id, sent_at) = place(parts.next()?)?;
    let token = parts.nth(3)?;
    let revision = parts.next()?.parse().ok()?;
    let (audience, payload, trace, record) = read_body(parts.next()?)?;
    let delivery = Delivery { id, audience, payload: payload.into(), trace };
    Some(Message { delivery, sent_at, token, revision, record })
}

/// The place of a message, and when it was sent, of the id that Redis gave it: milliseconds, and a number within them. An event id
/// has both, and stays a number that JavaScript can hold.
pub(super) fn place(id: &str) -> Option<(EventId, Timestamp)> {
    let (millis, number) = id.split_once('-')?;
    let (millis, number): (u64, u64) = (millis.parse().ok()?, number.parse().ok()?);
    Some((EventId(millis * NUMBERS + number.min(NUMBERS - 1)), Timestamp(millis)))
}

/// The milliseconds and the number of an event id.
pub(super) fn parts_of(id: EventId) -> (u64, u64) {
    (id.0 / NUMBERS, id.0 % NUMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-67e5504410b1426f9247bb680e5fe0c8-67e5504410b1426f-01";

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn signal_of(kind: SignalKind, attachments: &[Bytes]) -> Payload {
        media_of(kind, r#"{"sdp":"v=0\r\n","n":1e2,"b":{"_placeholder":true,"num":0}}"#, attachments)
    }

    fn media_of(kind: SignalKind, json: &str, attachments: &[Bytes]) -> Payload {
        let json = RawValue::from_string(json.to_owned()).unwrap();
        let media = Media::new(&json, attachments);
        Payload::Signal(Signal { call_id: CallId::from_u128(7), from: user("al\"ice"), at: Timestamp(5), kind, media })
    }

    fn every_payload() -> Vec<Payload> {
        let ended = |ended_by, reason| Event::Ended { ended_by, reason };
        let display = CallerDisplay { name: Text::parse("Zo\\ë"), avatar: None };
        let events = [
            Event::Incoming { caller: user("alice"), display, call_type: CallType::Video },
            Event::Accepted { callee: user("bob") },
            Event::Rejected { callee: user("bob"), reason: Text::parse("busy") },
            Event::Rejected { callee: user("bob"), reason: None },
            ended(Some(user("bob")), EndReason::HungUp(Text::parse("user_ended"))),
            ended(None, EndReason::HungUp(None)),
            ended(None, EndReason::Replaced),
            ended(None, EndReason::ConnectionLost),
            ended(None, EndReason::MaxDuration),
            Event::NoAnswer,
            Event::Missed,
            Event::Cancelled(Elsewhere::Answered),
            Event::Cancelled(Elsewhere::Declined),
        ];
        let notice = |event| Payload::Notice(Notice { call_id: CallId::from_u128(7), at: Timestamp(5), event });
        let mut payloads: Vec<_> = events.into_iter().map(notice).collect();
        payloads.extend([
            signal_of(SignalKind::Offer, &[Bytes::from_static(&[0, 255, 7])]),
            signal_of(SignalKind::Answer, &[]),
            signal_of(SignalKind::Candidate, &[]),
            media_of(SignalKind::Candidate, "null", &[]),
            media_of(SignalKind::Offer, "\"v=0\"", &[]),
        ]);
        payloads
    }

    #[test]
    fn everything_is_read_back_as_it_was() {
        let device = DeviceId::parse("b \"1").unwrap();
        for audience in [Audience::All, Audience::Only(device.clone()), Audience::Except(device)] {
            for (payload, trace) in every_payload().into_iter().zip([None, Context::parse(TRACE)].into_iter().cycle()) {
                let record = r#"{"rev":3,"by":"x"}"#;
                let published = format!("34-12 {}", write(&audience, &payload, trace, "token", 3, Some(record)));
                let (id, audience) = (EventId(34_012), audience.clone());
                let delivery = Delivery { id, audience, payload: payload.clone().into(), trace };
                let record = payload.is_live_notice().then_some(record);
                let expected = Message { delivery, sent_at: Timestamp(34), token: "token", revision: 3, record };
                assert_eq!(read(&published), Some(expected));
            }
        }
    }

    #[test]
    fn the_place_in_a_trace_is_one_more_field_and_only_of_what_is_traced() {
        for payload in every_payload() {
            let with = |trace| write(&Audience::All, &payload, trace, "token", 3, None);
            let field = format!(r#","trace":"{TRACE}""#);
            assert!(!with(None).contains("trace"));
            assert_eq!(with(Context::parse(TRACE)).replace(&field, ""), with(None));
        }
    }

    #[test]
    fn an_event_id_is_a_place_and_back() {
        let (id, at) = place("1795628984123-7").unwrap();
        assert_eq!((id, at), (EventId(1_795_628_984_123_007), Timestamp(1_795_628_984_123)));
        assert_eq!(parts_of(id), (1_795_628_984_123, 7));
        assert!(id.0 < 1 << 53, "JavaScript can hold it");
        assert_eq!(place("17956"), None);
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        let known = body(&Audience::All, &every_payload()[1], None, None);
        for newer in [r#"{"zone":"b","#, r#"{"trace":"00-ab","#] {
            assert_eq!(read_body(&known.replacen('{', newer, 1)), read_body(&known));
        }
        for bad in [known.replace("accepted", "held"), "{}".into(), "x".into(), String::new()] {
            assert_eq!(read_body(&bad), None, "{bad}");
        }
        assert_eq!(read("34-12 s"), None);
        assert_eq!(read("34-12 s 56 call token 3 {}"), None);
    }
}
