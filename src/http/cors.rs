//! Which web pages may read answers (the CORS protocol of <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use axum::Router;
use axum::extract::Request;
use axum::http::header::ORIGIN;
use axum::http::{HeaderName, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::CorsOrigin;

/// What a preflight for the HTTP endpoints is told.
pub const HTTP_METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::POST, Method::DELETE];

/// What a preflight for the Socket.IO path is told.
pub const SOCKET_IO_METHODS: [Method; 2] = [Method::GET, Method::POST];

/// `router` with CORS headers on every answer, and preflight requests answered with 204.
///
/// `*` allows every origin, but no cookies, as browsers refuse the two together. With a list, an origin in it is
/// echoed and may send cookies; any other gets no header.
pub fn cors(router: Router, origin: &CorsOrigin, methods: &[Method]) -> Router {
    let layer = CorsLayer::new().allow_methods(methods.to_vec()).allow_headers(AllowHeaders::mirror_request());
    let layer = match origin {
        CorsOrigin::Any => layer.allow_origin(AllowOrigin::any()).vary(Vec::<HeaderName>::new()),
        CorsOrigin::List(origins) => {
            let listed = origins.clone();
            layer
                .allow_origin(AllowOrigin::list(origins.clone()))
                .allow_credentials(AllowCredentials::predicate(move |origin, _| listed.contains(origin)))
                .vary([ORIGIN])
        }
    };
    router.layer(layer).layer(from_fn(no_content_for_options))
}

/// The CORS layer answers every OPTIONS request itself, with an empty 200.
async fn no_content_for_options(request: Request, next: Next) -> Response {
    let is_options = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if is_options {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::{Answer, server};

    const A: &str = "https://a.example";
    const B: &str = "https://b.example:8443";
    const LIST: (&str, &str) = ("CORS_ORIGIN", "https://a.example,https://b.example:8443");

    async fn get(vars: &[(&str, &str)], origin: &str) -> Answer {
        server(vars.iter().copied()).get_with("/health", &[("origin", origin)]).await
    }

    async fn preflight(vars: &[(&str, &str)], origin: &str) -> Answer {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-token"),
        ];
        server(vars.iter().copied()).request(Method::OPTIONS, "/health", &headers, String::new()).await
    }

    #[tokio::test]
    async fn a_star_allows_everybody_without_cookies() {
        let answer = get(&[], A).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        assert_eq!(answer.header("vary"), None);
    }

    #[tokio::test]
    async fn a_list_echoes_its_members_and_nobody_else() {
        for origin in [A, B] {
            let answer = get(&[LIST], origin).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
            assert_eq!(answer.header("vary"), Some("origin"));
        }
        for origin in ["https://c.example", "https://a.example.evil", "null"] {
            let answer = get(&[LIST], origin).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            assert_eq!(answer.header("vary"), Some("origin"));
        }
    }

    #[tokio::test]
    async fn one_origin_is_a_list_of_one() {
        let one = [("CORS_ORIGIN", A)];
        assert_eq!(get(&one, A).await.header("access-control-allow-origin"), Some(A));
        assert_eq!(get(&one, B).await.header("access-control-allow-origin"), None);
    }

    #[tokio::test]
    async fn a_preflight_is_204_with_methods_and_the_requested_headers() {
        for (vars, allowed) in [(&[][..], "*"), (&[LIST][..], A)] {
            let answer = preflight(vars, A).await;
            assert_eq!((answer.status, answer.body.len()), (204, 0));
            assert_eq!(answer.header("access-control-allow-origin"), Some(allowed));
            let methods = answer.header("access-control-allow-methods");
            assert_eq!(methods, Some("GET,HEAD,PUT,PATCH,POST,DELETE"));
            let headers = answer.header("access-control-allow-headers");
            assert_eq!(headers, Some("content-type,x-token"));
        }
    }

    #[tokio::test]
    async fn unknown_paths_have_cors_headers_too() {
        let answer = server([LIST]).get_with("/nowhere", &[("origin", B)]).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("access-control-allow-origin"), Some(B));
    }
}
