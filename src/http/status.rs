//! `/health`, `/livez`, `/readyz` and `/info`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::HttpState;
use super::answer::json;
use super::endpoint::{Answer, Operation};
use crate::config::Mode;
use crate::ids::schema;
use crate::lifecycle::{OBSTACLES, Readiness};

/// The process is alive.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Health {
    #[schemars(extend("const" = OK))]
    status: &'static str,
    /// By the clock of the server.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    /// Seconds since the start.
    #[schemars(extend("minimum" = 0))]
    uptime: f64,
    /// Whether Redis can be reached; always `disconnected` where it is not used.
    #[schemars(extend("enum" = REDIS))]
    redis: &'static str,
    /// Whether there is a Firebase service account.
    #[schemars(extend("enum" = FCM))]
    fcm: &'static str,
}

const OK: &str = "ok";
const REDIS: [&str; 2] = ["disconnected", "connected"];
const FCM: [&str; 2] = ["not_initialized", "initialized"];

/// The process is alive, whatever becomes of others.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Alive {
    #[schemars(extend("const" = ALIVE))]
    status: &'static str,
}

const ALIVE: &str = "alive";

/// Clients may come.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ready {
    #[schemars(extend("const" = READY))]
    status: &'static str,
}

const READY: &str = "ready";

/// No clients are to be sent here.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct NotReady {
    /// Why.
    #[schemars(extend("minItems" = 1, "items" = { "type": "string", "enum": OBSTACLES }))]
    reasons: Vec<&'static str>,
    #[schemars(extend("const" = NOT_READY))]
    status: &'static str,
}

const NOT_READY: &str = "not_ready";

/// What this server is and has.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Info {
    /// `NODE_ENV`
    #[schemars(extend("enum" = [Mode::Development.as_str(), Mode::Production.as_str()]))]
    env: &'static str,
    features: Features,
    name: &'static str,
    version: &'static str,
}

/// What it has.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "the names on the wire")]
struct Features {
    /// Pushes by Firebase Cloud Messaging.
    fcm: bool,
    /// Whether Redis is used, not whether it is there.
    redis: bool,
    #[schemars(schema_with = "schema::yes")]
    socketio: bool,
    /// TURN servers with credentials.
    turn: bool,
}

/// The process is alive, as the documentation of the clients has it. Whether push services answer is not part of it.
pub(super) async fn health(State(state): State<Arc<HttpState>>) -> Response {
    let now = state.clock.now();
    let health = Health {
        status: OK,
        timestamp: now.to_iso8601(),
        uptime: state.started_at.until(now).as_secs_f64(),
        redis: REDIS[usize::from(state.readiness.redis() == Some(true))],
        fcm: FCM[usize::from(state.has_fcm)],
    };
    json(StatusCode::OK, health)
}

/// The process is alive, whatever becomes of others.
pub(super) async fn livez() -> Response {
    json(StatusCode::OK, Alive { status: ALIVE })
}

/// Whether clients are to be sent here, and if not, why.
pub(super) async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    readiness(&state.readiness)
}

/// The same, for whoever asks.
pub(super) fn readiness(readiness: &Readiness) -> Response {
    let obstacles = readiness.obstacles();
    if obstacles.is_empty() {
        return json(StatusCode::OK, Ready { status: READY });
    }
    json(StatusCode::SERVICE_UNAVAILABLE, NotReady { reasons: obstacles, status: NOT_READY })
}

/// What this server is and has.
pub(super) async fn info(State(state): State<Arc<HttpState>>) -> Response {
    let info = Info {
        env: state.mode.as_str(),
        features: Features {
            fcm: state.has_fcm,
            redis: state.readiness.redis().is_some(),
            socketio: true,
            turn: state.ice_servers.has_turn(),
        },
        name: NAME,
        version: env!("CARGO_PKG_VERSION"),
    };
    json(StatusCode::OK, info)
}

/// As clients of the reference server know it.
const NAME: &str = "WebRTC Signaling Server";

/// What is published of [`health`].
pub(super) fn health_described() -> Operation {
    let example = json!({ "status": OK, "timestamp": "2026-01-31T12:00:00.000Z", "uptime": 1.013, "redis": REDIS[1], "fcm": FCM[0] });
    Operation::new(
        "health",
        "The process serves. Load balancers ask `/readyz`.",
        [Answer::json::<Health>(StatusCode::OK, "It serves.", example)],
    )
}

/// What is published of [`livez`].
pub(super) fn livez_described() -> Operation {
    Operation::new(
        "livez",
        "The process serves, whatever becomes of Redis: for whoever restarts nodes.",
        [Answer::json::<Alive>(StatusCode::OK, "It serves.", json!({ "status": ALIVE }))],
    )
}

/// What is published of [`readyz`].
pub(super) fn readyz_described() -> Operation {
    Operation::new(
        "readyz",
        "Whether clients are to be sent here: for load balancers.",
        [
            Answer::json::<Ready>(StatusCode::OK, "They are.", json!({ "status": READY })),
            Answer::json::<NotReady>(
                StatusCode::SERVICE_UNAVAILABLE,
                "They are not: the node was asked to end, Redis cannot be reached or used, or there are no keys to check a token with.",
                json!({ "reasons": ["redis"], "status": NOT_READY }),
            ),
        ],
    )
}

/// What is published of [`info`].
pub(super) fn info_described() -> Operation {
    let features = json!({ "fcm": false, "redis": true, "socketio": true, "turn": false });
    let example = json!({ "env": Mode::Production.as_str(), "features": features, "name": NAME, "version": env!("CARGO_PKG_VERSION") });
    Operation::new(
        "info",
        "What this server is and has.",
        [Answer::json::<Info>(StatusCode::OK, "What it is.", example)],
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use crate::http::testing::{server, server_with};
    use crate::lifecycle::Readiness;

    #[tokio::test(start_paused = true)]
    async fn health_is_as_documented() {
        let server = server([]);
        tokio::time::advance(Duration::from_millis(2500)).await;
        let answer = server.get("/health").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(
            answer.json(),
            json!({
                "status": "ok",
                "timestamp": "2023-11-14T22:13:22.500Z",
                "uptime": 2.5,
                "redis": "disconnected",
                "fcm": "not_initialized",
            })
        );
    }

    #[tokio::test]
    async fn a_node_says_whether_it_is_ready_and_why_not() {
        let server = server([]);
        assert_eq!(server.get("/readyz").await.json(), json!({ "status": "ready" }));
        server.state.readiness.start_draining();
        let answer = server.get("/readyz").await;
        assert_eq!((answer.status, answer.json()), (503, json!({ "status": "not_ready", "reasons": ["draining"] })));
        assert_eq!(server.get("/livez").await.status, 200);
    }

    #[tokio::test]
    async fn a_node_without_its_redis_is_alive_and_not_ready() {
        let server = server_with([], Readiness::new(Some(Arc::new(|| false))));
        let answer = server.get("/readyz").await;
        assert_eq!((answer.status, answer.json()), (503, json!({ "status": "not_ready", "reasons": ["redis"] })));
        assert_eq!((server.get("/livez").await.status, server.get("/health").await.status), (200, 200));
        assert_eq!(server.get("/health").await.json()["redis"], "disconnected");
        assert_eq!(server.get("/info").await.json()["features"]["redis"], true);
        let server = server_with([], Readiness::new(Some(Arc::new(|| true))));
        assert_eq!(server.get("/health").await.json()["redis"], "connected");
        assert_eq!(server.get("/readyz").await.status, 200);
    }

    #[tokio::test]
    async fn a_node_that_can_check_no_token_is_not_ready() {
        let readiness = |has_keys| Readiness::new(None).needing_keys(Arc::new(move || has_keys));
        let answer = server_with([], readiness(false)).get("/readyz").await;
        assert_eq!((answer.status, answer.json()), (503, json!({ "status": "not_ready", "reasons": ["keys"] })));
        assert_eq!(server_with([], readiness(true)).get("/readyz").await.status, 200);
    }

    #[tokio::test]
    async fn info_is_as_documented() {
        let expected = json!({
            "name": "WebRTC Signaling Server",
            "version": env!("CARGO_PKG_VERSION"),
            "env": "development",
            "features": { "socketio": true, "redis": false, "fcm": false, "turn": false },
        });
        assert_eq!(server([]).get("/info").await.json(), expected);
        let turn = [("TURN_SERVER_URL", "turn:t"), ("TURN_STATIC_SECRET", "s")];
        assert_eq!(server(turn).get("/info").await.json()["features"]["turn"], true);
    }
}
