//! The wire: every event name, field, code and message that a client sees is spelled here and nowhere else.
//!
//! Decoding checks types and bounds and answers with values that are valid by their type, or with the [`Problem`] the client is
//! told. What two devices say to each other ([`Media`]) passes as the bytes that came.
//!
//! What it does not do: it does not know whose turn it is, or whether a call exists.

mod ack;
mod catalogue;
mod client_event;
mod event_name;
mod fields;
mod media;
mod payloads;
mod problem;
mod schemas;
mod server_event;

pub use ack::{
    CallAck, CallAnswered, Done, FreshIceServers, IceServersAck, InitiateAck, Pong, Reachability, RefreshAck, Refused,
    RegisterAck, Registered, Said,
};
pub use catalogue::{ALWAYS, Request, Told, requests, told};
pub use client_event::{
    Bounds, CallDetails, CallRequest, ClientEvent, EndTarget, Registration, SignalRequest, Undecodable,
    UndecodableKind, decode,
};
pub use event_name::EVENT_NAMES;
pub use media::{Media, Signal, SignalKind};
pub use problem::{Code, Problem};
pub use server_event::{Body, ServerEvent};
