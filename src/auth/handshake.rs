//! Where the token of a Socket.IO handshake is: `auth.token`, or else the query parameter `token`.

use std::fmt;

use schemars::{Schema, json_schema};
use serde_json::Value;

use crate::auth::MAX_TOKEN_BYTES;

/// The token of a handshake. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub enum HandshakeToken {
    /// There is none.
    Missing,
    /// `auth.token` is something, but no text.
    Malformed,
    /// This one.
    Token(String),
}

impl fmt::Debug for HandshakeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "Missing",
            Self::Malformed => "Malformed",
            Self::Token(_) => "Token([redacted])",
        })
    }
}

/// The token of a handshake with this `auth` object and this query string.
///
/// As the reference server had it: `auth.token` if it is truthy in the sense of JavaScript, and then nothing
/// else; otherwise the query's. Of a repeated parameter the first counts.
pub fn token_from_handshake(auth: Option<&Value>, query: Option<&str>) -> HandshakeToken {
    match auth.and_then(|auth| auth.get("token")) {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::String(token)) if token.is_empty() => {}
        Some(Value::Number(number)) if number.as_f64() == Some(0.0) => {}
        Some(Value::String(token)) => return HandshakeToken::Token(token.clone()),
        Some(Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return HandshakeToken::Malformed;
        }
    }
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    match pairs.into_iter().find(|(name, _)| name == "token") {
        Some((_, token)) if !token.is_empty() => HandshakeToken::Token(token.into_owned()),
        Some(_) | None => HandshakeToken::Missing,
    }
}

/// The `auth` object as it should be, as JSON Schema.
pub fn handshake_schema() -> Schema {
    json_schema!({
        "description": "The `auth` of the handshake.",
        "type": ["object", "null"],
        "properties": {
            "token": {
                "description": "A JWT that names the user. If it is empty, null or left out, the query parameter `token` is taken.",
                "type": ["string", "null"],
                "maxLength": MAX_TOKEN_BYTES,
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(text: &str) -> HandshakeToken {
        HandshakeToken::Token(text.into())
    }

    #[test]
    fn auth_goes_before_the_query() {
        let auth = json!({ "token": "a" });
        assert_eq!(token_from_handshake(Some(&auth), Some("token=q")), token("a"));
        assert_eq!(token_from_handshake(None, Some("EIO=4&token=q")), token("q"));
    }

    #[test]
    fn a_falsy_auth_token_leaves_it_to_the_query() {
        for falsy in [json!(null), json!(""), json!(0), json!(0.0), json!(false)] {
            let auth = json!({ "token": falsy });
            assert_eq!(token_from_handshake(Some(&auth), None), HandshakeToken::Missing);
            assert_eq!(token_from_handshake(Some(&auth), Some("token=q")), token("q"));
        }
        for auth in [json!({}), json!(null), json!("token"), json!([]), json!(7)] {
            assert_eq!(token_from_handshake(Some(&auth), None), HandshakeToken::Missing);
        }
    }

    #[test]
    fn another_type_is_malformed_whatever_the_query_says() {
        for other in [json!(7), json!(true), json!({}), json!([]), json!(["a"])] {
            let auth = json!({ "token": other });
            let found = token_from_handshake(Some(&auth), Some("token=q"));
            assert_eq!(found, HandshakeToken::Malformed);
        }
    }

    #[test]
    fn the_query_is_decoded() {
        assert_eq!(token_from_handshake(None, Some("token=a%2Eb%2ec")), token("a.b.c"));
        assert_eq!(token_from_handshake(None, Some("token=a&token=b")), token("a"));
        for none in ["", "token", "token=", "Token=a", "xtoken=a"] {
            assert_eq!(token_from_handshake(None, Some(none)), HandshakeToken::Missing, "{none}");
        }
    }

    #[test]
    fn debug_hides_the_token() {
        assert!(!format!("{:?}", token("hunter2")).contains("hunter2"));
    }
}
