//! The payload of each request: its fields, and what each may hold. What they are read by is what `docs/asyncapi.json` is made of.

use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;

use crate::call::CallType;
use crate::ids::{CallId, DeviceId, EventId, PushTokenKind, RequestId, UserId};
use crate::protocol::fields::{
    AccessToken, Avatar, CallName, Candidate, Description, Kind, Optional, PushAddress, Required, Short,
};

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "RegisterRequest", !default, transform = with_push_tokens)]
pub(super) struct RegisterFields<'a> {
    /// The user of the token.
    #[serde(borrow)]
    pub(super) user_id: Required<'a, UserId>,
    /// A name that survives restarts of the app; by default one that lasts as long as the socket.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) device_id: Optional<'a, DeviceId>,
    /// `android`, `ios`, `web`, anything.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) platform: Optional<'a, Short>,
    /// The last `eventId` this device has handled: everything after it is sent, nothing before it.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) last_event_id: Optional<'a, EventId>,
}

/// Adds the fields that bring push tokens, whatever kinds there are.
fn with_push_tokens(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(|properties| properties.as_object_mut()) else {
        return;
    };
    for kind in PushTokenKind::ALL {
        let mut token = PushAddress::schema();
        token.insert("type".into(), serde_json::json!(["string", "null"]));
        token.insert(
            "description".into(),
            "Where a push reaches this device; empty, null or left out keeps the last one.".into(),
        );
        properties.insert(kind.field().to_owned(), token.to_value());
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "CallInitiateRequest", !default)]
pub(super) struct InitiateFields<'a> {
    /// Who is called.
    #[serde(borrow)]
    pub(super) callee_id: Required<'a, UserId>,
    /// How.
    #[serde(borrow)]
    pub(super) call_type: Required<'a, CallType>,
    /// Shown to the callee as it is; `Unknown` if there is none.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) caller_name: Optional<'a, Short>,
    /// The address of a picture, shown to the callee.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) caller_avatar: Optional<'a, Avatar>,
    /// A fresh one for each call: a repeat within 24 h answers with the first one's `callId`.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) request_id: Optional<'a, RequestId>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "CallAcceptRequest", !default)]
pub(super) struct AcceptFields<'a> {
    /// As received in `incoming_call`.
    #[serde(borrow)]
    pub(super) call_id: Required<'a, CallId>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "CallRejectRequest", !default)]
pub(super) struct RejectFields<'a> {
    /// As received in `incoming_call`.
    #[serde(borrow)]
    pub(super) call_id: Required<'a, CallId>,
    /// Told to the caller; `declined` if there is none.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) reason: Optional<'a, Short>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "CallEndRequest", !default)]
pub(super) struct EndFields<'a> {
    /// The call. One that is unknown is over already.
    #[serde(borrow)]
    pub(super) call_id: Required<'a, CallName>,
    /// Told to the other side; `ended` if there is none.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) reason: Optional<'a, Short>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "DescriptionRequest", !default)]
pub(super) struct DescriptionFields<'a> {
    /// An accepted call of this device.
    #[serde(borrow)]
    pub(super) call_id: Required<'a, CallId>,
    /// The user id of the other party.
    #[serde(borrow)]
    pub(super) to: Required<'a, UserId>,
    /// What `createOffer` or `createAnswer` returned, or a text of the app's own: passed on unread.
    #[serde(borrow)]
    pub(super) sdp: Required<'a, Description>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "CandidateRequest", !default)]
pub(super) struct CandidateFields<'a> {
    /// An accepted call of this device.
    #[serde(borrow)]
    pub(super) call_id: Required<'a, CallId>,
    /// The user id of the other party.
    #[serde(borrow)]
    pub(super) to: Required<'a, UserId>,
    /// What `onicecandidate` has, a text of the app's own, or null for "no more": passed on unread.
    #[serde(borrow)]
    pub(super) candidate: Required<'a, Candidate>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "TokenRefreshRequest", !default)]
pub(super) struct TokenFields<'a> {
    /// A fresh token of the same user.
    #[serde(borrow)]
    pub(super) token: Required<'a, AccessToken>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "GetIceServersRequest", !default, transform = or_nothing)]
pub(super) struct IceFields<'a> {
    /// One of `TURN_REGIONS`; another one is none.
    #[serde(borrow)]
    #[schemars(default)]
    pub(super) region: Optional<'a, Short>,
}

/// The payload itself may be left out, or null.
fn or_nothing(schema: &mut Schema) {
    schema.insert("type".into(), serde_json::json!(["object", "null"]));
}

/// The payload of a request of which nothing is read.
pub(super) struct Unread;

impl JsonSchema for Unread {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Unread".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        json_schema!({ "description": "Anything or nothing: it is not read." })
    }
}
