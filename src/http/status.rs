//! `/health` and `/info`.

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

/// The process is alive. The embedded backplane has no Redis, and this release no push.
pub(super) async fn health(State(state): State<Arc<HttpState>>) -> Response {
    let now = state.clock.now();
    let health = Health {
        status: "ok",
        timestamp: now.to_iso8601(),
        uptime: state.started_at.until(now).as_secs_f64(),
        redis: "disconnected",
        fcm: "not_initialized",
    };
    json(StatusCode::OK, health)
}

/// What this server is and has.
pub(super) async fn info(State(state): State<Arc<HttpState>>) -> Response {
    let info = serde_json::json!({
        "name": "WebRTC Signaling Server",
        "version": env!("CARGO_PKG_VERSION"),
        "env": state.mode.as_str(),
        "features": {
            "socketio": true,
            "redis": false,
            "fcm": false,
            "turn": state.ice_servers.has_turn(),
        },
    });
    json(StatusCode::OK, info)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use crate::http::testing::server;

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
