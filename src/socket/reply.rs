//! Where the answer to a request goes, if anybody waits for one.

use std::sync::Arc;

use serde::Serialize;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError};

use crate::protocol::{Problem, Refused};
use crate::socket::wire::Wire;

/// The callback of a request. Answered at most once, because answering takes it.
pub(super) struct Reply {
    sender: Option<AckSender>,
    wire: Arc<Wire>,
}

impl Reply {
    pub(super) fn new(wire: Arc<Wire>, socket: &Arc<Socket>, value: &mut Value, ack_id: Option<i64>) -> Self {
        let sender = ack_id.map(|_| {
            let Ok(sender) = AckSender::from_message_parts(socket, value, &ack_id);
            sender
        });
        Self { sender, wire }
    }

    /// Whether the client gave a callback.
    pub(super) fn is_awaited(&self) -> bool {
        self.sender.is_some()
    }

    /// Answers. A client that takes no answers is cut off: it is not to wait for one that was left out.
    pub(super) fn send(self, body: &impl Serialize) {
        let sent = self.sender.map(|sender| sender.send(body));
        if let Some(Err(SendError::Socket(SocketError::InternalChannelFull))) = sent {
            self.wire.close_transport();
        }
    }

    pub(super) fn refuse(self, problem: &Problem) {
        self.send(&Refused::new(problem));
    }

    pub(super) fn answer(self, result: Result<impl Serialize, Problem>) {
        match result {
            Ok(body) => self.send(&body),
            Err(problem) => self.refuse(&problem),
        }
    }
}
