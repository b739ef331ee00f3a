//! What is for the inside: metrics, and the probes once more, on a port of their own.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{not_found, status};
use crate::lifecycle::Readiness;
use crate::metrics::Exposition;

/// `/metrics`.
pub fn metrics(exposition: Arc<Exposition>) -> Router {
    Router::new().route("/metrics", get(move || async move { text(&exposition) }))
}

/// Everything the port for the inside answers.
pub fn inside(exposition: Arc<Exposition>, readiness: Readiness) -> Router {
    metrics(exposition)
        .route("/livez", get(status::livez))
        .route("/readyz", get(move || async move { status::readiness(&readiness) }))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
}

fn text(exposition: &Exposition) -> Response {
    ([(CONTENT_TYPE, Exposition::CONTENT_TYPE)], exposition.text()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::metrics::Metrics;

    async fn ask(readiness: &Readiness, path: &str) -> (u16, String, String) {
        let router = inside(Arc::new(Exposition::new(Metrics::new())), readiness.clone());
        let response = router.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let kind = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, kind, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_inside_has_metrics_and_probes_and_nothing_else() {
        let readiness = Readiness::new(None);
        let (status, kind, text) = ask(&readiness, "/metrics").await;
        assert_eq!((status, &*kind), (200, "text/plain; version=0.0.4"));
        assert!(
            text.contains("# HELP switchboard_connections ") && text.contains("# TYPE switchboard_connections gauge")
        );
        for (path, status) in [("/livez", 200), ("/readyz", 200), ("/health", 404), ("/info", 404), ("/", 404)] {
            assert_eq!(ask(&readiness, path).await.0, status, "{path}");
        }
        readiness.start_draining();
        assert_eq!((ask(&readiness, "/livez").await.0, ask(&readiness, "/readyz").await.0), (200, 503));
    }
}
