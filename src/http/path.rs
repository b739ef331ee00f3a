//! Paths as forgiving as those of the reference server: any case, and a slash at the end if one likes.

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use tower::util::MapRequest;

/// `routes` behind a rewriting of the path. It stands outside the router: a layer inside would come after routing.
pub(super) fn normalised(routes: Router) -> MapRequest<Router, fn(Request) -> Request> {
    MapRequest::new(routes, normalise)
}

fn normalise(mut request: Request) -> Request {
    if let Some(uri) = normal_form(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

/// The URI in lower case and without the last slash of its path; `None` if it is so already.
fn normal_form(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let trimmed = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    if trimmed.len() == path.len() && !path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let mut text = trimmed.to_ascii_lowercase();
    if let Some(query) = uri.query() {
        text.push('?');
        text.push_str(query);
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_is_rewritten() {
        let cases = [
            ("/HEALTH/", Some("/health")),
            ("/Ice-Servers/?userId=Alice/", Some("/ice-servers?userId=Alice/")),
            ("http://Host/Info", Some("http://Host/info")),
            ("/health", None),
            ("/health?A=B/", None),
            ("/", None),
        ];
        for (from, to) in cases {
            let normal = normal_form(&from.parse().unwrap());
            assert_eq!(normal.map(|uri| uri.to_string()).as_deref(), to, "{from}");
        }
    }
}
