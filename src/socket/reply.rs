//! Where the answer to a request goes, if anybody waits for one.

use std::sync::Arc;

use serde::Serialize;
use socketioxide::extract::AckSender;
use socketioxide::handler::{FromMessageParts, Value};
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError};

use crate::metrics::{Answer, EventIn, Slow};
use crate::protocol::{Code, Problem, Refused};
use crate::socket::wire::Wire;

/// The callback of a request. Answered at most once, because answering takes it.
pub(super) struct Reply {
    sender: Option<AckSender>,
    wire: Arc<Wire>,
    event: EventIn,
}

impl Reply {
    pub(super) fn new(wire: Arc<Wire>, socket: &Arc<Socket>, value: &mut Value, ack_id: Option<i64>) -> Self {
        let sender = ack_id.map(|_| {
            let Ok(sender) = AckSender::from_message_parts(socket, value, &ack_id);
            sender
        });
        Self { sender, wire, event: EventIn::Unread }
    }

    /// The same, to an event of this name.
    pub(super) fn to(self, name: &str) -> Self {
        Self { event: EventIn::of(name).unwrap_or(EventIn::Unread), ..self }
    }

    /// Notes that the event was dealt with, and how, where there is nothing to send.
    pub(super) fn note(&self, answer: Answer) {
        self.wire.metrics().events_in.inc((self.event, answer));
    }

    /// Whether the client gave a callback.
    pub(super) fn is_awaited(&self) -> bool {
        self.sender.is_some()
    }

    /// Answers. A client that takes no answers is cut off: it is not to wait for one that was left out.
    pub(super) fn send(self, body: &impl Serialize) {
        self.note(Answer::Ok);
        self.answer_with(body);
    }

    pub(super) fn refuse(self, problem: &Problem) {
        self.note(counted_as(problem.code));
        self.answer_with(&Refused::new(problem));
    }

    pub(super) fn answer(self, result: Result<impl Serialize, Problem>) {
        match result {
            Ok(body) => self.send(&body),
            Err(problem) => self.refuse(&problem),
        }
    }

    fn answer_with(self, body: &impl Serialize) {
        let sent = self.sender.map(|sender| sender.send(body));
        if let Some(Err(SendError::Socket(SocketError::InternalChannelFull))) = sent {
            self.wire.metrics().slow_consumers.inc(Slow::Answers);
            self.wire.close_transport();
        }
    }
}

fn counted_as(code: Code) -> Answer {
    match code {
        Code::E001 => Answer::E001,
        Code::E003 => Answer::E003,
        Code::E004 => Answer::E004,
        Code::E005 => Answer::E005,
        Code::E101 => Answer::E101,
        Code::E102 => Answer::E102,
        Code::E203 => Answer::E203,
        Code::E301 => Answer::E301,
        Code::E302 => Answer::E302,
        Code::E303 => Answer::E303,
        Code::E304 => Answer::E304,
        Code::E500 => Answer::E500,
        Code::E501 => Answer::E501,
        Code::E502 => Answer::E502,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{EventOut, Label};
    use crate::protocol::{EVENT_NAMES, told};

    #[test]
    fn every_event_of_clients_is_counted_by_its_name() {
        for name in EVENT_NAMES {
            assert_eq!(EventIn::of(name).map(Label::words), Some(vec![name]));
        }
        assert_eq!(EventIn::COUNT, EVENT_NAMES.len() + 1, "and those without one");
    }

    #[test]
    fn every_event_that_is_sent_is_counted_by_its_name() {
        let told = told(());
        for told in &told {
            assert!(EventOut::of(told.name).is_some(), "{}", told.name);
        }
        assert_eq!(EventOut::COUNT, told.len() + 1, "and those without one");
    }

    #[test]
    fn a_code_is_counted_as_it_is_spelled() {
        for code in [Code::E001, Code::E101, Code::E203, Code::E304, Code::E502] {
            assert_eq!(counted_as(code).words(), [format!("{code:?}")]);
        }
    }
}
