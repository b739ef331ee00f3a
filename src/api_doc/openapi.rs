//! `docs/openapi.json`, OpenAPI 3.1.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::api_doc::{described, generator, object, text};
use crate::http::{self, Access, Answer, Content, Operation, Parameter};
use crate::ids::schema::Describe;

const ABOUT: &str = "What a node answers over HTTP, beside Socket.IO, which `docs/asyncapi.json` is about.

Made by `switchboard api-doc openapi > docs/openapi.json` from the types that the server writes; a test compares, and another one holds what \
is really answered against it. What it means is in the README.

Paths are matched in any case, with or without a slash at the end; HEAD is answered as GET is. Anything else is 404 \
`{\"success\":false,\"error\":\"Endpoint not found\"}`. A body that calls itself JSON and is not is 400, one of more than 100 kB 413, \
whatever it is sent to.";

/// The document.
pub fn openapi() -> String {
    let mut read = generator(SchemaSettings::draft2020_12().for_deserialize());
    let mut written = generator(SchemaSettings::draft2020_12().for_serialize());
    let (public, inside) = (server_public(), server_inside());
    let mut paths = Map::new();
    for (servers, operations) in [(&public, http::public_operations()), (&inside, http::inside_operations())] {
        for operation in operations {
            let item = paths.entry(operation.path).or_insert_with(|| json!({ "servers": [] }));
            if let Value::Array(named) = &mut item["servers"] {
                named.push(servers.clone());
            }
            let method = operation.method.as_str().to_ascii_lowercase();
            item[method] = published(operation, &mut read, &mut written);
        }
    }
    let schemas = described(read, written);
    let document = json!({
        "openapi": "3.1.1",
        "info": {
            "title": "switchboard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [public, inside],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The token of a user." },
                "query": { "type": "apiKey", "in": "query", "name": "token", "description": "The same, as query parameter." },
                "statusToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The `statusToken` of a push: good for its one call, until a minute after it has stopped ringing. \
                                    Also as query parameter `token`.",
                },
            },
        },
    });
    text(&document)
}

/// Where clients come.
fn server_public() -> Value {
    json!({ "url": "http://localhost:3000", "description": "The public port, `PORT`." })
}

/// Where they must not.
fn server_inside() -> Value {
    json!({ "url": "http://localhost:9464", "description": "The port for the inside, `METRICS_PORT`: no token is asked for." })
}

fn published(operation: Operation, read: &mut SchemaGenerator, written: &mut SchemaGenerator) -> Value {
    let Operation { id, about, access, parameters, body, answers, path: _, method: _ } = operation;
    let mut published = json!({
        "operationId": id,
        "summary": about,
        "security": security(access),
        "responses": object(answers.into_iter().map(|answer| (answer.status.as_str().to_owned(), answered(answer, written)))),
    });
    if !parameters.is_empty() {
        published["parameters"] = parameters.into_iter().map(parameter).collect();
    }
    if let Some(body) = body {
        let schema = body(read).to_value();
        published["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    published
}

fn security(access: Access) -> Value {
    match access {
        Access::Anybody => json!([]),
        Access::MayHaveToken => json!([{}, { "bearer": [] }, { "query": [] }]),
        Access::NeedsToken => json!([{ "bearer": [] }, { "query": [] }, { "statusToken": [] }]),
    }
}

fn parameter(parameter: Parameter) -> Value {
    let Parameter { name, in_path, about, schema } = parameter;
    let place = if in_path { "path" } else { "query" };
    json!({ "name": name, "in": place, "required": in_path, "description": about, "schema": schema })
}

fn answered(answer: Answer, written: &mut SchemaGenerator) -> Value {
    let Answer { status: _, about, headers, content } = answer;
    let mut described = json!({ "description": about });
    if !headers.is_empty() {
        let headers = headers.into_iter().map(|(name, value)| {
            let name = name.as_str().split('-').map(capitalised).collect::<Vec<_>>().join("-");
            (name, json!({ "required": true, "schema": { "type": "string", "const": value } }))
        });
        described["headers"] = object(headers);
    }
    match content {
        Content::Nothing => {}
        Content::Other(kind) => described["content"] = json!({ kind: { "schema": { "type": "string" } } }),
        Content::Json { schema, narrowed, example } => {
            described["content"] = json!({ "application/json": json_content(schema, narrowed, example, written) });
        }
    }
    described
}

fn json_content(
    schema: Describe,
    narrowed: Option<Value>,
    example: Option<Value>,
    written: &mut SchemaGenerator,
) -> Value {
    let schema = schema(written).to_value();
    let mut content = match narrowed {
        Some(narrowed) => json!({ "schema": { "allOf": [schema, narrowed] } }),
        None => json!({ "schema": schema }),
    };
    if let Some(example) = example {
        content["example"] = example;
    }
    content
}

/// `Cache` of `cache`, as headers are commonly written.
fn capitalised(word: &str) -> String {
    if word == "www" {
        return word.to_ascii_uppercase();
    }
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}
