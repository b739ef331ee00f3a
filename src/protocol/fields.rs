//! Reading one field of a payload: its type and its bounds, and the same as JSON Schema.
//!
//! A field says by its type what it may hold: [`Required<UserId>`](Required), [`Optional<Limited<256>>`](Optional). What it is read by
//! ([`Read`]) and what is published of it ([`Kind`]) stand side by side, so that one does not change without the other.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::call::{CallType, Text};
use crate::ids::{CallId, DeviceId, EventId, PushToken, RequestId, UserId, is_valid_id, schema};
use crate::protocol::{Problem, SignalKind};

/// A field as it came: absent, or some JSON.
pub(super) type Field<'a> = Option<&'a RawValue>;

/// What a field may hold, as it is published.
pub(super) trait Kind {
    /// As JSON Schema.
    fn schema() -> Schema;
}

/// What a field may hold, as it is read.
pub(super) trait Read: Kind + Sized {
    /// The value; `None` where `json` is anything else.
    fn read(json: &RawValue) -> Option<Self>;
}

/// A field that has to be there. What is answered where it is not, is for the request to say.
pub(super) struct Required<'a, K> {
    pub(super) json: Field<'a>,
    kind: PhantomData<K>,
}

/// A field that may be left out, or null. In the struct of a payload it stands with `#[schemars(default)]`.
pub(super) struct Optional<'a, K> {
    json: Field<'a>,
    kind: PhantomData<K>,
}

impl<'a, K> Required<'a, K> {
    /// Its text; `None` where it is anything but a string.
    pub(super) fn string(&self) -> Option<Cow<'a, str>> {
        string(self.json)
    }
}

impl<K: Read> Required<'_, K> {
    /// The value; `None` where there is nothing, or something else.
    pub(super) fn read(&self) -> Option<K> {
        K::read(self.json?)
    }
}

impl<'a, K: Read> Optional<'a, K> {
    pub(super) fn new(json: Field<'a>) -> Self {
        Self { json, kind: PhantomData }
    }

    /// The value, if there is one: absent, null and nothing else may stand for none.
    pub(super) fn read(&self, name: &str) -> Result<Option<K>, Problem> {
        match self.json {
            Some(json) if !is_absent(self.json) => K::read(json).map(Some).ok_or_else(|| Problem::invalid(name)),
            Some(_) | None => Ok(None),
        }
    }
}

macro_rules! field {
    ($name:ident, $schema:expr) => {
        impl<K> Default for $name<'_, K> {
            fn default() -> Self {
                Self { json: None, kind: PhantomData }
            }
        }

        /// Tells null, which may mean something, from being absent.
        impl<'de: 'a, 'a, K> Deserialize<'de> for $name<'a, K> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <&RawValue>::deserialize(deserializer).map(|json| Self { json: Some(json), kind: PhantomData })
            }
        }

        impl<K: Kind> JsonSchema for $name<'_, K> {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema(K::schema())
            }
        }
    };
}

field!(Required, |schema| schema);
field!(Optional, or_null);

/// The same, or null.
pub(super) fn or_null(mut schema: Schema) -> Schema {
    if let Some(kind) = schema.remove("type") {
        schema.insert("type".into(), serde_json::json!([kind, "null"]));
    }
    schema
}

macro_rules! kinds {
    ($($kind:ty: $schema:expr, $read:expr;)+) => {
        $(
            impl Kind for $kind {
                fn schema() -> Schema {
                    $schema
                }
            }

            impl Read for $kind {
                fn read(json: &RawValue) -> Option<Self> {
                    let read: fn(&RawValue) -> Option<Self> = $read;
                    read(json)
                }
            }
        )+
    };
}

kinds! {
    UserId: schema::id(), |json| UserId::parse(&string(Some(json))?);
    DeviceId: schema::id(), |json| DeviceId::parse(&string(Some(json))?);
    RequestId: schema::id(), |json| RequestId::parse(&string(Some(json))?);
    CallId: schema::call_id(), |json| CallId::parse(&string(Some(json))?);
    CallType: json_schema!({ "type": "string", "enum": CallType::ALL.map(CallType::word) }), |json| {
        let word = string(Some(json))?;
        CallType::ALL.into_iter().find(|call_type| call_type.word() == word)
    };
    EventId: json_schema!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }), |json| json.get().parse().ok().map(EventId);
}

/// A text of at most `MAX` characters.
pub(super) struct Limited<const MAX: usize>(pub(super) Text);

impl<const MAX: usize> Kind for Limited<MAX> {
    fn schema() -> Schema {
        schema::text(MAX)
    }
}

impl<const MAX: usize> Read for Limited<MAX> {
    fn read(json: &RawValue) -> Option<Self> {
        Text::parse_up_to(&string(Some(json))?, MAX).map(Self)
    }
}

/// A short text.
pub(super) type Short = Limited<{ Text::MAX_CHARS }>;

/// The address of a picture.
pub(super) type Avatar = Limited<2048>;

/// A push token; an empty text is none, as apps send that have none yet.
pub(super) struct PushAddress(pub(super) Option<PushToken>);

impl Kind for PushAddress {
    fn schema() -> Schema {
        schema::text_or_empty(PushToken::MAX_CHARS)
    }
}

impl Read for PushAddress {
    fn read(json: &RawValue) -> Option<Self> {
        let text = string(Some(json))?;
        if text.is_empty() { Some(Self(None)) } else { PushToken::parse(&text).map(|token| Self(Some(token))) }
    }
}

/// An access token. Whether it is good is not looked at here.
pub(super) struct AccessToken(pub(super) String);

/// Longest access token, in bytes.
const MAX_TOKEN_BYTES: usize = 8192;

impl Kind for AccessToken {
    fn schema() -> Schema {
        json_schema!({ "type": "string", "maxLength": MAX_TOKEN_BYTES })
    }
}

impl Read for AccessToken {
    fn read(json: &RawValue) -> Option<Self> {
        string(Some(json)).filter(|token| token.len() <= MAX_TOKEN_BYTES).map(|token| Self(token.into_owned()))
    }
}

/// The name of a call that may be over: any id, as it came.
pub(super) struct CallName(pub(super) String);

impl Kind for CallName {
    fn schema() -> Schema {
        schema::id()
    }
}

impl Read for CallName {
    fn read(json: &RawValue) -> Option<Self> {
        string(Some(json)).filter(|name| is_valid_id(name)).map(|name| Self(name.into_owned()))
    }
}

/// A session description: an object, or its text.
pub(super) struct Description;

/// A candidate: the same, or null, which tells the other side that there are no more.
pub(super) struct Candidate;

impl Kind for Description {
    fn schema() -> Schema {
        media_schema(SignalKind::Offer)
    }
}

impl Kind for Candidate {
    fn schema() -> Schema {
        media_schema(SignalKind::Candidate)
    }
}

/// The types that media may be of, and how the text of each begins.
fn media_types(kind: SignalKind) -> &'static [(&'static str, u8)] {
    const TYPES: [(&str, u8); 3] = [("object", b'{'), ("string", b'"'), ("null", b'n')];
    if kind.is_description() { &TYPES[..2] } else { &TYPES }
}

fn media_schema(kind: SignalKind) -> Schema {
    let types: Vec<_> = media_types(kind).iter().map(|(name, _)| name).collect();
    json_schema!({ "type": types })
}

/// Whether `json` is of a type that such media may be of.
pub(super) fn is_media(kind: SignalKind, json: &RawValue) -> bool {
    let first = json.get().as_bytes().first();
    media_types(kind).iter().any(|(_, begins)| first == Some(begins))
}

/// Whether the field is absent or null.
pub(super) fn is_absent(field: Field<'_>) -> bool {
    field.is_none_or(|raw| raw.get() == "null")
}

/// The field's text; `None` where it is anything but a string.
pub(super) fn string(field: Field<'_>) -> Option<Cow<'_, str>> {
    let raw = field?.get();
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str::<String>(raw).ok().map(Cow::Owned) } else { Some(inside.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_with_and_without_escapes() {
        for (json, expected) in [
            (r#""plain""#, Some("plain")),
            (r#""a\"b""#, Some("a\"b")),
            (r#""\u00e9""#, Some("é")),
            (r#""""#, Some("")),
            ("7", None),
            ("null", None),
            (r#"{"a":"b"}"#, None),
            (r#"["a"]"#, None),
        ] {
            let raw: &RawValue = serde_json::from_str(json).expect("the test's JSON is valid");
            assert_eq!(string(Some(raw)).as_deref(), expected, "{json}");
        }
    }
}
