//! The fields of each request, as they came: which names there are, and nothing of what they may hold.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::protocol::fields::Field;

/// A field that tells null, which may mean something, from being absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Field<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct InitiateFields<'a> {
    #[serde(borrow)]
    pub(super) callee_id: Field<'a>,
    #[serde(borrow)]
    pub(super) call_type: Field<'a>,
    #[serde(borrow)]
    pub(super) caller_name: Field<'a>,
    #[serde(borrow)]
    pub(super) caller_avatar: Field<'a>,
    #[serde(borrow)]
    pub(super) request_id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CallFields<'a> {
    #[serde(borrow)]
    pub(super) call_id: Field<'a>,
    #[serde(borrow)]
    pub(super) reason: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SignalFields<'a> {
    #[serde(borrow)]
    pub(super) call_id: Field<'a>,
    #[serde(borrow)]
    pub(super) to: Field<'a>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) sdp: Field<'a>,
    #[serde(borrow, deserialize_with = "present")]
    pub(super) candidate: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenFields<'a> {
    #[serde(borrow)]
    pub(super) token: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct IceFields<'a> {
    #[serde(borrow)]
    pub(super) region: Field<'a>,
}
