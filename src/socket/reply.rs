//! Where the answer to a request goes, if anybody waits for one.

use std::sync::Arc;

use serde::Serialize;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;

use crate::protocol::{Problem, Refused};

/// The callback of a request. Answered at most once, because answering takes it.
pub(super) struct Reply {
    sender: Option<AckSender>,
}

impl Reply {
    pub(super) fn new(socket: &Arc<Socket>, value: &mut Value, ack_id: Option<i64>) -> Self {
        let sender = ack_id.map(|_| {
            let Ok(sender) = AckSender::from_message_parts(socket, value, &ack_id);
            sender
        });
        Self { sender }
    }

    /// Whether the client gave a callback.
    pub(super) fn is_awaited(&self) -> bool {
        self.sender.is_some()
    }

    /// Answers. A client that is gone, or takes nothing more, has its socket to tell it so.
    pub(super) fn send(self, body: &impl Serialize) {
        if let Some(sender) = self.sender {
            let _ = sender.send(body);
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
