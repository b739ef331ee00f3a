//! Binary attachments: the rare payloads whose JSON has placeholders for them.

use bytes::Bytes;
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A payload with the attachments put back where its placeholders are, for the Socket.IO encoder to take out again under
/// numbers of its own.
pub(super) struct WithAttachments<'a, T> {
    pub(super) body: &'a T,
    pub(super) attachments: &'a [Bytes],
}

impl<T: Serialize> Serialize for WithAttachments<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = serde_json::to_value(self.body).map_err(serde::ser::Error::custom)?;
        Part { value: &body, attachments: self.attachments }.serialize(serializer)
    }
}

struct Part<'a> {
    value: &'a Value,
    attachments: &'a [Bytes],
}

impl Part<'_> {
    fn attachment(&self) -> Option<&Bytes> {
        let object = self.value.as_object()?;
        if object.get("_placeholder") != Some(&Value::Bool(true)) {
            return None;
        }
        self.attachments.get(usize::try_from(object.get("num")?.as_u64()?).ok()?)
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(attachment) = self.attachment() {
            return serializer.serialize_bytes(attachment);
        }
        match self.value {
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for value in items {
                    seq.serialize_element(&Part { value, ..*self })?;
                }
                seq.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, &Part { value, ..*self })?;
                }
                map.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}
