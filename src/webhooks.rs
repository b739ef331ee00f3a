//! Tells another server what calls have come to: each event is posted as JSON to one address, signed as Standard Webhooks has it
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! ```text
//!             take for 30 s             post, 5 s
//! feed ──────────────────────► worker ────────────► receiver
//!   ▲   32 calls at once          │  2xx: told, and the next event of this call
//!   └─────────────────────────────┘  else: this call is put off, the others go on
//! ```
//!
//! The [feed](crate::backplane::Feed) keeps the events, in order for each call, until they are told; so they outlive this node, and
//! whichever node takes a call tells it. An event may come twice, with the same id. What this room does not do: it does not decide what a
//! call comes to, and it keeps nothing.

mod alarm;
mod event;
mod examination;
mod pace;
mod receiver;
mod signature;
mod worker;

#[cfg(test)]
mod tests;

pub use receiver::Receiver;
pub use worker::{KEPT, Worker};
