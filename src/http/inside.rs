//! What is for the inside: metrics, the timelines of calls, and the probes once more, on a port of their own.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::endpoint::{Answer, Content, Endpoint, Operation};
use super::{NotNow, Timelines, not_found, status, timeline};
use crate::ids::CallId;
use crate::lifecycle::Readiness;
use crate::metrics::{Exposition, Metrics};
use crate::timeline::Account;

/// `/metrics`.
pub fn metrics(exposition: Arc<Exposition>) -> Router {
    Endpoint::routes([metrics_endpoint(exposition)])
}

/// Everything the port for the inside answers.
pub fn inside(exposition: Arc<Exposition>, readiness: Readiness, timelines: Arc<dyn Timelines>) -> Router {
    Endpoint::routes(endpoints(exposition, readiness, timelines))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
}

/// What is published of the port for the inside.
pub fn inside_operations() -> Vec<Operation> {
    let exposition = Arc::new(Exposition::new(Metrics::new()));
    let endpoints = endpoints(exposition, Readiness::new(None), Arc::new(NoTimelines));
    endpoints.into_iter().map(|endpoint| endpoint.operation).collect()
}

/// Those of a node that keeps none.
struct NoTimelines;

#[async_trait]
impl Timelines for NoTimelines {
    fn are_kept(&self) -> bool {
        false
    }

    async fn of(&self, _call: CallId) -> Result<Option<Account>, NotNow> {
        Ok(None)
    }
}

fn endpoints(exposition: Arc<Exposition>, readiness: Readiness, timelines: Arc<dyn Timelines>) -> Vec<Endpoint<()>> {
    let readyz = move || async move { status::readiness(&readiness) };
    vec![
        metrics_endpoint(exposition),
        Endpoint::get("/livez", status::livez, status::livez_described()),
        Endpoint::get("/readyz", readyz, status::readyz_described()),
        timeline::endpoint(timelines),
    ]
}

fn metrics_endpoint(exposition: Arc<Exposition>) -> Endpoint<()> {
    let content = Content::Other(Exposition::CONTENT_TYPE);
    let answer = Answer::new(StatusCode::OK, "All of `docs/metrics.md`, as Prometheus reads it.", content);
    let operation = Operation::new(
        "metrics",
        "The metrics of this node. With `METRICS_PUBLIC=true` also on the public port.",
        [answer],
    );
    Endpoint::get("/metrics", move || async move { text(&exposition) }, operation)
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

    async fn ask(readiness: &Readiness, path: &str) -> (u16, String, String) {
        let router = inside(Arc::new(Exposition::new(Metrics::new())), readiness.clone(), Arc::new(NoTimelines));
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
