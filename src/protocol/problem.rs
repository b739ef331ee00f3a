//! What a client is told went wrong: the documented codes, and the ones beside them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::call::Refusal;

/// A documented error code. `E0xx` who you are, `E1xx` the call, `E2xx` not yours, `E3xx` the request, `E5xx` the server: only
/// these are worth trying again unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "a code is explained by the constructors of `Problem`")]
pub enum Code {
    E001,
    E003,
    E004,
    E005,
    E101,
    E102,
    E203,
    E301,
    E302,
    E303,
    E304,
    E500,
    E501,
    E502,
}

impl Code {
    /// Every one.
    pub const ALL: [Self; 14] = [
        Self::E001,
        Self::E003,
        Self::E004,
        Self::E005,
        Self::E101,
        Self::E102,
        Self::E203,
        Self::E301,
        Self::E302,
        Self::E303,
        Self::E304,
        Self::E500,
        Self::E501,
        Self::E502,
    ];

    /// Whether the same request may succeed a moment later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::E501 | Self::E502)
    }
}

/// A code and the text beside it. Never carries anything a client sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The code.
    pub code: Code,
    /// For the developer of the client.
    pub message: String,
    /// Whether the same request may succeed a moment later; left out where not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retryable: bool,
}

impl Problem {
    /// A problem with this code and text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: code.is_retryable() }
    }

    /// `register` came with nothing in it.
    pub fn registration_failed() -> Self {
        Self::new(Code::E001, "Registration failed")
    }

    /// The socket has no identity: no token, and not registered.
    pub fn no_identity() -> Self {
        Self::new(Code::E003, "Invalid caller ID")
    }

    /// `register` names somebody else than the token does.
    pub fn not_yourself() -> Self {
        Self::new(Code::E203, "You can only register yourself")
    }

    /// A newer connection of the same device has taken over.
    pub fn replaced() -> Self {
        Self::new(Code::E004, "Replaced by a newer connection of this device")
    }

    /// The token the connection came with has expired.
    pub fn token_expired() -> Self {
        Self::new(Code::E005, "Token expired")
    }

    /// No such call, to one who would answer it.
    pub fn call_not_found_or_expired() -> Self {
        Self::new(Code::E101, "Call not found or expired")
    }

    /// No such call, to one who would speak in it.
    pub fn call_not_found() -> Self {
        Self::new(Code::E101, "Call not found")
    }

    /// The payload is not an object.
    pub fn invalid_payload() -> Self {
        Self::new(Code::E301, "Invalid payload")
    }

    /// A field has the wrong type, is too long, or has control characters in it.
    pub fn invalid(field: &str) -> Self {
        Self::new(Code::E301, format!("Invalid {field}"))
    }

    /// A required field is absent.
    pub fn missing(field: &str) -> Self {
        Self::new(Code::E302, format!("Missing {field}"))
    }

    /// Too much in too short a time.
    pub fn rate_limited() -> Self {
        Self::new(Code::E303, "Rate limit exceeded")
    }

    /// No such event.
    pub fn unknown_event() -> Self {
        Self::new(Code::E304, "Unknown event")
    }

    /// Our fault.
    pub fn internal() -> Self {
        Self::new(Code::E500, "Internal error")
    }

    /// It took longer than a client waits.
    pub fn timed_out() -> Self {
        Self::new(Code::E502, "Request timed out")
    }

    /// Not now; the same request may succeed later.
    pub fn unavailable() -> Self {
        Self::new(Code::E501, "Temporarily unavailable")
    }
}

/// By hand: `retryable` goes with some codes, and is left out with the others.
impl JsonSchema for Problem {
    fn schema_name() -> Cow<'static, str> {
        "Problem".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let retryable: Vec<Code> = Code::ALL.into_iter().filter(|code| code.is_retryable()).collect();
        json_schema!({
            "description": "What went wrong.",
            "type": "object",
            "properties": {
                "code": { "description": "Which kind of problem it is.", "type": "string", "enum": Code::ALL },
                "message": { "description": "For the developer of the client.", "type": "string" },
                "retryable": {
                    "description": "The same request may succeed a moment later; left out where not.",
                    "type": "boolean",
                    "const": true,
                },
            },
            "required": ["code", "message"],
            "additionalProperties": false,
            "if": { "properties": { "code": { "enum": retryable } } },
            "then": { "required": ["retryable"] },
            "else": { "not": { "required": ["retryable"] } },
        })
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::SelfCall => Code::E301,
            Refusal::NotTheCallee | Refusal::NotAParticipant => Code::E203,
            Refusal::WrongState { .. } | Refusal::NotActive => Code::E102,
        };
        Self::new(code, refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once() {
        // One more variant is one more number.
        assert_eq!(Code::ALL.map(|code| code as usize), std::array::from_fn(|index| index));
        assert_eq!(Code::ALL.len(), Code::E502 as usize + 1);
    }
}
