//! Files that are part of the program, and the Socket.IO client bundle among them.

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::endpoint::{Answer, Content, Endpoint, Operation};
use super::not_found;

/// socket.io-client 4.8.4, `dist/socket.io.min.js` of the npm package, unchanged.
const CLIENT: File = File { content_type: JAVASCRIPT, bytes: include_bytes!("vendor/socket.io.min.js") };
/// Names the version in the file above.
const CLIENT_ETAG: &str = "\"4.8.4\"";

/// For a day.
const CLIENT_CACHED: &str = "public, max-age=86400";

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const CSS: &str = "text/css; charset=utf-8";
pub(super) const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A file that is part of the program.
#[derive(Clone, Copy)]
pub(super) struct File {
    pub(super) content_type: &'static str,
    pub(super) bytes: &'static [u8],
}

impl IntoResponse for File {
    fn into_response(self) -> Response {
        let headers = [(CONTENT_TYPE, self.content_type), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (headers, Bytes::from_static(self.bytes)).into_response()
    }
}

/// The Socket.IO client at `/socket.io/socket.io.js` and `.min.js`. Merge it with the router that has the
/// Socket.IO service at `/socket.io/`.
pub fn client_bundle() -> Router {
    Endpoint::routes(client_endpoints()).method_not_allowed_fallback(not_found)
}

pub(super) fn client_endpoints() -> [Endpoint<()>; 2] {
    let described = |id| {
        let file = Answer::new(StatusCode::OK, "The file.", Content::Other(JAVASCRIPT));
        let known = Answer::new(StatusCode::NOT_MODIFIED, "The browser has it.", Content::Nothing);
        let answers = [file, known].map(|answer| answer.with(ETAG, CLIENT_ETAG).with(CACHE_CONTROL, CLIENT_CACHED));
        Operation::new(id, "The stock Socket.IO client for browsers.", answers)
    };
    [
        Endpoint::get("/socket.io/socket.io.js", client, described("socketIoClient")),
        Endpoint::get("/socket.io/socket.io.min.js", client, described("socketIoClientMinified")),
    ]
}

async fn client(request: Request) -> Response {
    let known = request.headers().get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let mut response = match known {
        Some(tags) if tags.contains(CLIENT_ETAG) => StatusCode::NOT_MODIFIED.into_response(),
        Some(_) | None => CLIENT.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(CLIENT_ETAG));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(CLIENT_CACHED));
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;
    use crate::http::testing::{Answer, answer};

    async fn ask(method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        answer(client_bundle(), method, path, headers, String::new()).await
    }

    #[tokio::test]
    async fn the_client_is_served_with_its_licence() {
        for path in ["/socket.io/socket.io.js", "/socket.io/socket.io.min.js"] {
            let answer = ask(Method::GET, path, &[]).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), Some(JAVASCRIPT));
            let version = CLIENT_ETAG.trim_matches('"');
            let banner = format!("/*!\n * Socket.IO v{version}\n");
            assert!(answer.body.starts_with(banner.as_bytes()));
            assert!(String::from_utf8_lossy(&answer.body).contains("under the MIT License"));
        }
    }

    #[tokio::test]
    async fn a_browser_that_has_it_is_told_so() {
        let first = ask(Method::GET, "/socket.io/socket.io.js", &[]).await;
        let etag = first.header("etag").unwrap();
        let again = ask(Method::GET, "/socket.io/socket.io.js", &[("if-none-match", etag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        assert_eq!(again.header("etag"), Some(etag));
        let other = ask(Method::GET, "/socket.io/socket.io.js", &[("if-none-match", "\"4.7\"")]).await;
        assert_eq!(other.status, 200);
        assert_eq!(ask(Method::POST, "/socket.io/socket.io.js", &[]).await.status, 404);
    }
}
