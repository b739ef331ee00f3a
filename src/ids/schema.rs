//! What the identifiers and texts of clients look like, as JSON Schema: the bounds that [`is_valid_id`](crate::ids::is_valid_id) and
//! [`is_printable`](crate::ids::is_printable) check, for the documents in `docs`.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::ids::MAX_ID_CHARS;

/// A character that is none of the control characters, as the inside of a class.
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// Puts the schema of a type among those of a document, and names it.
pub type Describe = fn(&mut SchemaGenerator) -> Schema;

/// A user, device or request id.
pub fn id() -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX_ID_CHARS, "pattern": not_blank() })
}

/// A text of at most `max_chars` characters; it may be empty.
pub fn text(max_chars: usize) -> Schema {
    json_schema!({ "type": "string", "maxLength": max_chars, "pattern": format!("^[^{CONTROL}]*$") })
}

/// A text of at most `max_chars` characters that is empty or not blank.
pub fn text_or_empty(max_chars: usize) -> Schema {
    let not_blank = not_blank();
    json_schema!({ "type": "string", "maxLength": max_chars, "pattern": format!("^$|{not_blank}") })
}

/// The id of a call.
pub fn call_id() -> Schema {
    json_schema!({
        "type": "string",
        "format": "uuid",
        "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        "examples": ["cdcbef34-f06f-4fb0-b55c-b66ff1088e50"],
    })
}

/// `true`.
pub fn yes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "const": true })
}

/// `false`.
pub fn no(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "boolean", "const": false })
}

/// Without control characters, and with something to be seen.
fn not_blank() -> String {
    format!(r"^[^{CONTROL}]*[^\s{CONTROL}][^{CONTROL}]*$")
}
