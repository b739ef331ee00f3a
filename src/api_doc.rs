//! `docs/asyncapi.json` and `docs/openapi.json`: what `protocol` and `http` say of themselves, in the two languages that others have
//! tools for. The numbers in them are the defaults of `config`.
//!
//! What it does not do: it knows no event, field or path. What is published is said where it is decided.

mod asyncapi;
mod openapi;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};

pub use asyncapi::asyncapi;
pub use openapi::openapi;

/// Describes types in the place that both kinds of document have for them.
fn generator(settings: SchemaSettings) -> SchemaGenerator {
    let settings = settings.with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// All that is described by the types that are read and by those that are written.
fn described(read: SchemaGenerator, written: SchemaGenerator) -> Value {
    let mut all = Map::new();
    for (name, schema) in [read, written].into_iter().flat_map(|mut schemas| schemas.take_definitions(true)) {
        let other = all.insert(name, schema);
        debug_assert!(other.is_none(), "one name for what is read and for what is written");
    }
    Value::Object(all)
}

/// An object of what `entries` name.
fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Object(entries.into_iter().map(|(name, value)| (name.into(), value)).collect::<Map<_, _>>())
}

/// As it stands in `docs`.
fn text(document: &Value) -> String {
    // The alternate form is indented, and a `Value` can always be written.
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails unless everything that `value` refers to is in `document`.
    fn expect_all_there(document: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = to.strip_prefix('#').expect("it is of this document");
                    assert!(document.pointer(pointer).is_some(), "{to} is not there");
                }
                fields.values().for_each(|value| expect_all_there(document, value));
            }
            Value::Array(items) => items.iter().for_each(|value| expect_all_there(document, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn what_the_documents_refer_to_is_there_under_a_name_of_its_own() {
        for text in [asyncapi(), openapi()] {
            let document: Value = serde_json::from_str(&text).unwrap();
            expect_all_there(&document, &document);
            // The second type of a name would get a number.
            let names = document["components"]["schemas"].as_object().unwrap().keys();
            assert!(names.clone().count() > 5 && names.clone().all(|name| name.chars().all(char::is_alphabetic)));
        }
    }

    #[test]
    fn they_are_the_same_each_time() {
        assert_eq!((asyncapi(), openapi()), (asyncapi(), openapi()));
    }
}
