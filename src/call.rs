//! A call, and what may happen to it. Decides, and does nothing else: no I/O, no clock, no log.
//!
//! ```text
//!              Accept                    End, Away too long, max duration
//!   ┌─ Ringing ───────► Accepted ───────────────────────┐
//!   │                                                   ▼
//!   └── Reject, End, ring time-out, caller away ────► Over
//! ```
//!
//! [`Call::initiate`] makes a call; [`Call::decide`] takes it, a [`Command`] and the time, and answers with the call as it
//! is afterwards and the [`Effect`]s that somebody else carries out, or with a [`Refusal`]. A value goes in and a value comes
//! out, because a decision that lost a race is made again on what won. [`Call::deadline`] is the one moment at which a call
//! wants to be looked at again; being looked at early, or twice, changes nothing.
//!
//! What it does not do: it does not know who is connected, how an event is spelled, or where a call is kept.

mod accepted;
mod command;
mod decide;
mod effect;
mod end_reason;
mod initiate;
mod milestone;
mod refusal;
mod ringing;
mod state;

pub use command::{Actor, Command, Hangup};
pub use decide::{Decision, Transition};
pub use effect::{Audience, Effect, Elsewhere, Event, Notice, Silence, Wake};
pub use end_reason::{EndReason, Text};
pub use initiate::{Initiation, Request, calls_to_leave};
pub use milestone::{Ending, Milestone, Turn};
pub use refusal::{Refusal, Verb};
pub use state::{Accepted, Call, CallType, CallerDisplay, Outcome, Over, Party, Ringing, Rules, State};

#[cfg(test)]
mod tests;
