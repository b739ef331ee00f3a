//! Reading one field of a payload: its type and its bounds.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::call::Text;
use crate::ids::{CallId, PushToken, RequestId};
use crate::protocol::Problem;

/// A field as it came: absent, or some JSON.
pub(super) type Field<'a> = Option<&'a RawValue>;

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

/// An optional short text: absent, null and nothing else may stand for none.
pub(super) fn optional_text(field: Field<'_>, name: &str, max_chars: usize) -> Result<Option<Text>, Problem> {
    if is_absent(field) {
        return Ok(None);
    }
    let text = string(field).ok_or_else(|| Problem::invalid(name))?;
    Text::parse_up_to(&text, max_chars).map(Some).ok_or_else(|| Problem::invalid(name))
}

/// An optional push token; an empty one is none, as apps send that have none yet.
pub(super) fn push_token(field: Field<'_>, name: &str) -> Result<Option<PushToken>, Problem> {
    match optional_text(field, name, PushToken::MAX_CHARS)? {
        Some(text) if !text.as_str().is_empty() => {
            PushToken::parse(text.as_str()).map(Some).ok_or_else(|| Problem::invalid(name))
        }
        Some(_) | None => Ok(None),
    }
}

/// An optional request id.
pub(super) fn request_id(field: Field<'_>) -> Result<Option<RequestId>, Problem> {
    if is_absent(field) {
        return Ok(None);
    }
    let text = string(field).ok_or_else(|| Problem::invalid("requestId"))?;
    RequestId::parse(&text).map(Some).ok_or_else(|| Problem::invalid("requestId"))
}

/// The id of a call that is to be answered or spoken in. Text that is not the id of any call names a call that is not there.
pub(super) fn call_id(field: Field<'_>, not_found: fn() -> Problem) -> Result<CallId, Problem> {
    string(field).and_then(|text| CallId::parse(&text)).ok_or_else(not_found)
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
