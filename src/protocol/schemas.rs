//! What fields of the server hold, as JSON Schema. What is passed on of a client has the schema of the field it came in.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::ids::{EventId, schema};
use crate::protocol::fields::{self, Kind};

pub(super) use crate::ids::schema::{no, yes};

/// As a client has sent it.
pub(super) fn of<K: Kind>(_: &mut SchemaGenerator) -> Schema {
    K::schema()
}

/// The same, or null.
pub(super) fn or_null<K: Kind>(_: &mut SchemaGenerator) -> Schema {
    fields::or_null(K::schema())
}

/// The id of a user, a device or a session.
pub(super) fn id(_: &mut SchemaGenerator) -> Schema {
    schema::id()
}

/// The id of a call.
pub(super) fn call_id(_: &mut SchemaGenerator) -> Schema {
    schema::call_id()
}

/// A moment by the clock of the server.
pub(super) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "When, in milliseconds since the epoch, by the clock of the server.",
        "type": "integer",
        "minimum": 0,
        "examples": [1_769_860_800_000_u64],
    })
}

/// The place of an event.
pub(super) fn event_id(_: &mut SchemaGenerator) -> Schema {
    let mut schema = EventId::schema();
    schema.insert("description".into(), "Rises with every event to the same user; goes into `lastEventId`.".into());
    schema
}
