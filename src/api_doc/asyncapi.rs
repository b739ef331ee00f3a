//! `docs/asyncapi.json`, AsyncAPI 3.0. It speaks of the server: what that receives are the requests of clients, what it sends are
//! events. The answer to a request, which Socket.IO calls an ack, is its reply.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::api_doc::{described, generator, text};
use crate::auth::{AuthError, handshake_schema};
use crate::clock::Clock;
use crate::config::{Config, LimitsConfig};
use crate::protocol::{self, ALWAYS, Bounds, Code, Problem, Refused, Request, Told};
use crate::socket::{MAX_ATTACHMENTS, TooManyConnections};
use crate::turn::IceServers;

const ABOUT: &str = "Apps with a stock Socket.IO client ring each other, agree on a WebRTC session and hang up.

Made by `switchboard api-doc asyncapi > docs/asyncapi.json` from the types that the server reads and writes; a test compares, and another \
one holds what is really said against it. What it means is in the README.

The engine is Engine.IO 4 with websocket, polling and the upgrade between them; the namespace is `/`. A request is an event with one \
argument, its payload, and a callback as the last one, which gets the reply; without a callback a refusal is silent, except for `register` \
and the rate limit. The requests of one socket are handled, and arrive, in the order sent. Any other event than those below is refused with \
E304. Binary data inside `sdp` and `candidate` is passed on as binary. What is no Socket.IO is answered HTTP 400 \
`{\"code\",\"message\"}`; a node that is full or ends answers 503: the stock client comes back by itself.

Unknown fields of a request are ignored. What the server sends has the fields given here and no others; a later version may add some, so \
ignore those you do not know.";

/// The channel of everything but replies.
const NAMESPACE: &str = "namespace";
/// The channel of replies.
const ACKS: &str = "acks";

/// The document.
///
/// # Panics
/// Never: the defaults are a valid configuration.
pub fn asyncapi() -> String {
    let vars = [("TURN_SERVER_URL", "turn:turn.example.org:3478"), ("TURN_USERNAME", "u"), ("TURN_CREDENTIAL", "c")];
    let config = Config::from_vars(vars).expect("the defaults are valid");
    let servers = IceServers::new(&config.ice, Clock::system());
    let servers = servers.for_user("alice", servers.region(None));
    let limits = &config.limits;

    let mut document = Document::default();
    document.handshake();
    for request in protocol::requests(servers.clone()) {
        document.request(request, limits);
    }
    for told in protocol::told(servers) {
        document.told(told);
    }
    text(&document.finish(limits))
}

/// A document in the making.
struct Document {
    /// Describes what clients send.
    read: SchemaGenerator,
    /// Describes what the server sends.
    written: SchemaGenerator,
    messages: Map<String, Value>,
    acks: Map<String, Value>,
    operations: Map<String, Value>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            read: generator(SchemaSettings::draft07().for_deserialize()),
            written: generator(SchemaSettings::draft07().for_serialize()),
            messages: Map::new(),
            acks: Map::new(),
            operations: Map::new(),
        }
    }
}

impl Document {
    /// CONNECT, which is no event, and what becomes of it.
    fn handshake(&mut self) {
        let messages = AuthError::REFUSALS.map(|error| error.to_string()).into_iter();
        let messages: Vec<_> =
            messages.chain([TooManyConnections.to_string(), "Invalid namespace".to_owned()]).collect();
        let connected = json!({
            "type": "object",
            "properties": { "sid": { "description": "The id of the socket.", "type": "string" } },
            "required": ["sid"],
        });
        let refused = json!({
            "type": "object",
            "properties": { "message": { "description": "The client stays away by itself.", "type": "string", "enum": messages } },
            "required": ["message"],
        });
        let packet = |title: &str, packet: &str, payload: Value, example: Value| json!({ "name": title, "title": title, "payload": payload, "examples": [{ "payload": example }], "x-socketio-packet": packet });
        let auth = handshake_schema().to_value();
        self.messages.insert("connect".into(), packet("connect", "CONNECT", auth, json!({ "token": "eyJ0eXAi…" })));
        self.acks.insert(
            "connected".into(),
            packet("connect", "CONNECT", connected, json!({ "sid": "mXjW0rYIuAoaRJ0mAAAB" })),
        );
        let example = json!({ "message": AuthError::Expired.to_string() });
        self.acks.insert("connect_error".into(), packet("connect_error", "CONNECT_ERROR", refused, example));
        let about = "The handshake, `io(url, { auth })`: who connects. `Authentication required` does not come from a server with \
                     `AUTH_REQUIRED=false`. A token whose key cannot be fetched at present is not refused: the connection is closed \
                     after 5 s, and the client comes back.";
        let operation = operation("receive", "connect", about, "connect", &["connected", "connect_error"]);
        self.operations.insert("connect".into(), operation);
    }

    /// What a client may ask, and what it is answered.
    fn request(&mut self, request: Request, limits: &LimitsConfig) {
        let Request { name, about, payload, examples, media, answer, answered, refusals } = request;
        let [asked, accepted, refused] = ["request", "ok", "refused"].map(|kind| format!("{name}.{kind}"));
        let payload = payload(&mut self.read).to_value();
        let mut asking = message(name, about, &payload, &examples);
        if let Some(kind) = media {
            let bounds = Bounds { sdp_bytes: limits.max_sdp_bytes, candidate_bytes: limits.max_candidate_bytes };
            let (field, bytes) = bounds.of(kind);
            let about = format!("{about} `{field}` has {bytes} bytes of JSON at most, attachments included.");
            asking["summary"] = about.into();
            asking["x-max-bytes"] = json!({ field: bytes });
        }
        self.messages.insert(asked.clone(), asking);
        let answer = answer(&mut self.written).to_value();
        self.acks.insert(accepted.clone(), message(name, "It was done.", &answer, &[answered]));
        let codes: Vec<Code> = refusals.iter().copied().chain(ALWAYS).collect();
        let refusal = self.written.subschema_for::<Refused<'_>>().to_value();
        let error = json!({ "properties": { "code": { "enum": codes } } });
        let refusal = json!({ "allOf": [refusal, { "properties": { "error": error } }] });
        let example = json!(Refused::new(&Problem::unavailable()));
        self.acks.insert(refused.clone(), message(name, "It was not done, and this is why.", &refusal, &[example]));
        let operation = operation("receive", name, about, &asked, &[&accepted, &refused]);
        self.operations.insert(format!("receive.{name}"), operation);
    }

    /// What the server says unasked.
    fn told(&mut self, told: Told) {
        let Told { name, about, payload, examples, problems } = told;
        let mut payload = payload(&mut self.written).to_value();
        if !problems.is_empty() {
            payload = json!({ "allOf": [payload, { "properties": { "code": { "enum": problems } } }] });
        }
        let key = format!("{name}.event");
        self.messages.insert(key.clone(), message(name, about, &payload, &examples));
        self.operations.insert(format!("send.{name}"), operation("send", name, about, &key, &[]));
    }

    fn finish(self, limits: &LimitsConfig) -> Value {
        let schemas = described(self.read, self.written);
        let version = env!("CARGO_PKG_VERSION");
        json!({
            "asyncapi": "3.0.0",
            "info": {
                "title": "switchboard",
                "version": version,
                "description": ABOUT,
                "license": { "name": "MIT" },
            },
            "defaultContentType": "application/json",
            "servers": { "node": server() },
            "channels": {
                NAMESPACE: {
                    "address": "/",
                    "title": "The namespace",
                    "description": "Requests of clients (`….request`) and events from the server (`….event`).",
                    "messages": self.messages,
                    "bindings": { "ws": handshake_binding() },
                },
                ACKS: {
                    "address": null,
                    "title": "Answers to requests",
                    "description": "What the callback of a request gets: `….ok` or `….refused`.",
                    "messages": self.acks,
                },
            },
            "operations": self.operations,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "auth": {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "JWT",
                        "description": "As `auth.token` of the Socket.IO handshake, without `Bearer`; no header is looked at.",
                    },
                    "query": {
                        "type": "httpApiKey",
                        "name": "token",
                        "in": "query",
                        "description": "As query parameter, where `auth.token` is empty.",
                    },
                },
            },
            "x-limits": limits_of(limits),
        })
    }
}

fn server() -> Value {
    json!({
        "host": "localhost:3000",
        "pathname": "/socket.io/",
        "protocol": "ws",
        "description": "Any node. Socket.IO over Engine.IO 4: a stock client (JavaScript 3 or 4, Java 2, Swift 16), no bare websocket.",
        "security": [{ "$ref": "#/components/securitySchemes/auth" }, { "$ref": "#/components/securitySchemes/query" }],
    })
}

fn handshake_binding() -> Value {
    json!({
        "method": "GET",
        "query": {
            "type": "object",
            "properties": {
                "EIO": { "type": "string", "const": "4" },
                "transport": { "type": "string", "enum": ["websocket", "polling"] },
                "token": { "type": "string", "description": "A JWT, where `auth.token` is empty." },
            },
            "required": ["EIO", "transport"],
        },
        "bindingVersion": "0.1.0",
    })
}

/// The defaults of what bounds clients, each by the name of its variable.
fn limits_of(limits: &LimitsConfig) -> Value {
    json!({
        "MAX_PAYLOAD": limits.max_payload,
        "MAX_SDP_BYTES": limits.max_sdp_bytes,
        "MAX_CANDIDATE_BYTES": limits.max_candidate_bytes,
        "MAX_CONNECTIONS_PER_USER": limits.max_connections_per_user,
        "EVENT_RATE": limits.event_rate,
        "EVENT_BURST": limits.event_burst,
        "EVENT_BYTES_RATE": limits.event_bytes_rate,
        "EVENT_BYTES_BURST": limits.event_bytes_burst,
        "USER_EVENT_RATE": limits.user_event_rate,
        "USER_EVENT_BURST": limits.user_event_burst,
        "CALL_RATE": limits.call_rate_per_minute,
        "CALL_BURST": limits.call_burst,
        "attachments": MAX_ATTACHMENTS,
    })
}

fn message(name: &str, about: &str, payload: &Value, examples: &[Value]) -> Value {
    let mut message = json!({ "name": name, "title": name, "summary": about, "payload": payload });
    if !examples.is_empty() {
        message["examples"] = examples.iter().map(|example| json!({ "payload": example })).collect();
    }
    message
}

fn operation(action: &str, name: &str, about: &str, message: &str, replies: &[&str]) -> Value {
    let reference =
        |channel: &str, message: &str| json!({ "$ref": format!("#/channels/{channel}/messages/{message}") });
    let channel = |channel: &str| json!({ "$ref": format!("#/channels/{channel}") });
    let mut operation = json!({
        "action": action,
        "title": name,
        "summary": about,
        "channel": channel(NAMESPACE),
        "messages": [reference(NAMESPACE, message)],
    });
    if !replies.is_empty() {
        let messages: Vec<_> = replies.iter().map(|reply| reference(ACKS, reply)).collect();
        operation["reply"] = json!({ "channel": channel(ACKS), "messages": messages });
    }
    operation
}
