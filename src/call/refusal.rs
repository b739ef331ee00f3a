//! Why a command is refused. A refusal is an answer to a client, not a failure of ours.

use std::fmt;

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Caller and callee are the same person.
    #[error("Cannot call yourself")]
    SelfCall,
    /// Only the callee may do this.
    #[error("You are not the callee of this call")]
    NotTheCallee,
    /// Only the two parties may do this.
    #[error("You are not a participant of this call")]
    NotAParticipant,
    /// The call is not ringing any more.
    #[error("Call cannot be {verb} in state: {state}")]
    WrongState {
        /// What was asked.
        verb: Verb,
        /// The word for the state the call is in.
        state: &'static str,
    },
    /// There is nothing to negotiate: the call rings, or is over.
    #[error("Call is not active")]
    NotActive,
}

/// What can be done to a call only in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Answered.
    Accepted,
    /// Declined.
    Rejected,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verb::Accepted => "accepted",
            Verb::Rejected => "rejected",
        })
    }
}
