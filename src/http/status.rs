//! `/health`, `/livez`, `/readyz` and `/info`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::HttpState;
use super::answer::json;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    timestamp: String,
    uptime: f64,
    redis: &'static str,
    fcm: &'static str,
}

/// The process is alive, as the documentation of the clients has it. Whether push services answer is not part of it.
pub(super) async fn health(State(state): State<Arc<HttpState>>) -> Response {
    let now = state.clock.now();
    let health = Health {
        status: "ok",
        timestamp: now.to_iso8601(),
        uptime: state.started_at.until(now).as_secs_f64(),
        redis: if state.readiness.redis() == Some(true) { "connected" } else { "disconnected" },
        fcm: if state.has_fcm { "initialized" } else { "not_initialized" },
    };
    json(StatusCode::OK, health)
}

/// The process is alive, whatever becomes of others.
pub(super) async fn livez() -> Response {
    json(StatusCode::OK, serde_json::json!({ "status": "alive" }))
}

/// Whether clients are to be sent here, and if not, why.
pub(super) async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    let obstacles = state.readiness.obstacles();
    if obstacles.is_empty() {
        return json(StatusCode::OK, serde_json::json!({ "status": "ready" }));
    }
    json(StatusCode::SERVICE_UNAVAILABLE, serde_json::json!({ "status": "not_ready", "reasons": obstacles }))
}

/// What this server is and has.
pub(super) async fn info(State(state): State<Arc<HttpState>>) -> Response {
    let info = serde_json::json!({
        "name": "WebRTC Signaling Server",
        "version": env!("CARGO_PKG_VERSION"),
        "env": state.mode.as_str(),
        "features": {
            "socketio": true,
            "redis": state.readiness.redis().is_some(),
            "fcm": state.has_fcm,
            "turn": state.ice_servers.has_turn(),
        },
    });
    json(StatusCode::OK, info)
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
