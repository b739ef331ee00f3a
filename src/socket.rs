//! Listens to clients in order, and speaks to them.
//!
//! Each connected client is a session with a bounded mailbox: what it sends is read and checked where
//! it arrives, without waiting, and worked off by one task at a time. What it is sent goes out by its wire. An idle client
//! costs no task.
//!
//! What it does not do: it decides nothing about calls, and spells nothing; it asks `switchboard` and `protocol`.

mod attachments;
mod connect;
mod engine;
mod hub;
mod ice;
mod limits;
mod mailbox;
mod registering;
mod reply;
mod requests;
mod session;
mod token_expiry;
mod transports;
mod wire;

pub use engine::{Engine, MAX_ATTACHMENTS};
pub use hub::{Hub, SocketSettings, TooManyConnections};
