//! What is told of the ways of messages: into the backplane, and out of it to a socket.

use crate::backplane::{Commit, Committed, Delivery, Expected, Outgoing, Payload, Sent, Unavailable, Version};
use crate::call::Command;
use crate::ids::CallId;
use crate::protocol::ServerEvent;
use crate::switchboard::{Seat, Switchboard, Unsent};
use crate::traces::{self, Traces};

impl Switchboard {
    /// The traces of this node.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Commits. Whoever gets a message by it tells of that below it.
    pub(super) async fn make(&self, mut commit: Commit) -> Result<Committed, Unavailable> {
        let (call, begins) = (commit.call.id, matches!(commit.expected, Expected::New { .. }));
        let Some(mut sending) = self.traces.sending("commit", call, begins) else {
            return self.backplane.commit(commit).await;
        };
        for outgoing in &mut commit.outbox {
            outgoing.trace = Some(sending.context());
        }
        let committed = self.backplane.commit(commit).await;
        if begins && committed == Ok(Committed::Done) {
            traces::about(call);
        }
        match &committed {
            Ok(Committed::Done) => sending.note("done", false),
            Ok(Committed::Lost) => sending.note("lost", false),
            Ok(Committed::Repeated(_)) => sending.note("repeated", false),
            Err(Unavailable) => sending.note("unavailable", true),
        }
        committed
    }

    /// The same for a message outside of any change.
    pub(super) async fn send(
        &self,
        mut outgoing: Outgoing,
        upon: Option<(CallId, Version)>,
    ) -> Result<Sent, Unavailable> {
        let Some(mut sending) = self.traces.sending("send", outgoing.payload.call_id(), false) else {
            return self.backplane.send(outgoing, upon).await;
        };
        outgoing.trace = Some(sending.context());
        let sent = self.backplane.send(outgoing, upon).await;
        match sent {
            Ok(Sent::Done) => sending.note("done", false),
            Ok(Sent::Stale) => sending.note("stale", false),
            Err(Unavailable) => sending.note("unavailable", true),
        }
        sent
    }
}

impl Seat {
    /// Tells that a message went to the socket, if its way is told of.
    pub(super) fn note_delivery(&self, delivery: &Delivery, sent: Result<(), Unsent>) {
        let Some(context) = delivery.trace else { return };
        let event = match &*delivery.payload {
            Payload::Notice(notice) => ServerEvent::notice(delivery.id, notice).name,
            Payload::Signal(signal) => ServerEvent::signal(delivery.id, signal).name,
        };
        let failure = match sent {
            Ok(()) => None,
            Err(Unsent::Full) => Some("queue_full"),
            Err(Unsent::Gone) => Some("gone"),
        };
        let (call, at) = (delivery.payload.call_id(), delivery.payload.at());
        self.traces.delivered(context, call, event, at, self.session(), failure);
    }
}

/// What a command is called that no client has given.
pub(super) fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Away { .. } => "away",
        Command::Back { .. } => "back",
        Command::Expire => "deadline",
        Command::Accept { .. } => "call_accept",
        Command::Reject { .. } => "call_reject",
        Command::End { .. } => "call_end",
    }
}
