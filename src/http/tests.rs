//! What holds for all paths.

use axum::http::Method;
use serde_json::json;

use super::testing::server;

#[tokio::test]
async fn everything_else_is_a_json_404() {
    let server = server([]);
    let cases = [
        (Method::GET, "/nowhere"),
        (Method::GET, "/demo/"),
        (Method::GET, "/health/x"),
        (Method::POST, "/health"),
        (Method::DELETE, "/info"),
        (Method::PUT, "/ice-servers"),
        (Method::POST, "/"),
    ];
    for (method, path) in cases {
        let answer = server.request(method.clone(), path, &[], String::new()).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.json(), json!({ "success": false, "error": "Endpoint not found" }));
    }
}

#[tokio::test]
async fn case_and_a_last_slash_do_not_matter() {
    let server = server([]);
    for path in ["/health", "/Health", "/HEALTH/", "/info/", "/Ice-Servers/?userId=a", "/DEMO/App.js"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn head_works() {
    let answer = server([]).request(Method::HEAD, "/info", &[], String::new()).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_ne!(answer.header("content-length"), Some("0"));
}
