//! A caller and a callee who have one call at a time, and what that call looked like from outside.
//!
//! ```text
//! caller  initiate ─▶ ◀─ ack          ◀─ call_accept, offer ─▶           ◀─ answer   candidates ◀─▶   end ─▶ ◀─ ack
//! callee           incoming_call ─▶ accept ─▶       offer ─▶ answer ─▶             candidates ◀─▶   ─▶ call_end
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::Failure;
use crate::client::{Client, Packet, text_field};
use crate::frames::{ACCEPT, Candidates, END, Frames, INITIATE};

/// Candidates of each side.
pub(crate) const CANDIDATES: usize = 8;

/// What a call consists of.
#[derive(Clone, Copy)]
pub(crate) struct Script {
    /// Pause before each candidate after the first, which follows the description at once.
    pub(crate) gap: Duration,
    /// How many candidates each side sends, at most [`CANDIDATES`].
    pub(crate) candidates: usize,
    /// Whether the caller hangs up when all candidates are there.
    pub(crate) hang_up: bool,
}

/// What a call took.
#[derive(Default)]
pub(crate) struct Observed {
    /// `call_initiate` sent until `incoming_call` received.
    pub(crate) ring: Duration,
    /// `call_initiate` sent until the answer is back at the caller.
    pub(crate) set_up: Duration,
    /// Each candidate, sent until received.
    pub(crate) candidates: Vec<Duration>,
    /// Whether a candidate was received before its description.
    pub(crate) overtaken: bool,
    /// Messages that came from the other side.
    pub(crate) relayed: u32,
}

pub(crate) struct Pair {
    pub(crate) caller: Client,
    pub(crate) callee: Client,
    pub(crate) frames: Frames,
}

impl Pair {
    /// Connects and registers both: the caller at one of the nodes in turn, the callee at the next.
    pub(crate) async fn register(nodes: &[SocketAddr], number: u32) -> Result<Self, Failure> {
        let (caller, callee) = (format!("caller-{number}"), format!("callee-{number}"));
        let node = |number: u32| nodes[number as usize % nodes.len()];
        Ok(Self {
            frames: Frames::between(&caller, &callee),
            caller: Client::registered(node(number), &caller, 2 * number).await?,
            callee: Client::registered(node(number + 1), &callee, 2 * number + 1).await?,
        })
    }

    /// Plays one call. `call_id` is the call's as soon as it is known, also if playing is given up.
    pub(crate) async fn play(&mut self, script: Script, call_id: &mut String) -> Result<Observed, Failure> {
        let mut call = Call::new(script);
        self.caller.send(self.frames.initiate.clone()).await?;
        // Waits on the caller, on the callee, and on the moment the next candidate is due.
        while !call.is_over() {
            let due = call.next_candidate();
            tokio::select! {
                packet = self.caller.receive() => self.caller_hears(&mut call, call_id, &packet?).await?,
                packet = self.callee.receive() => self.callee_hears(&mut call, call_id, &packet?).await?,
                () = sleep_until(due.unwrap_or(call.started)), if due.is_some() => {
                    self.send_candidates(&mut call, call_id).await?;
                }
            }
            if call.script.hang_up && !call.ending && call.has_all() {
                call.ending = true;
                self.caller.send(self.frames.end.of(call_id)).await?;
            }
        }
        Ok(call.observed)
    }

    async fn caller_hears(&mut self, call: &mut Call, call_id: &mut String, packet: &str) -> Result<(), Failure> {
        match Packet::parse(packet) {
            Packet::Ack { id: INITIATE, body } => {
                accepted("call_initiate", body)?;
                set_call_id(call_id, body);
            }
            Packet::Ack { id: END, body } if is_of(call_id, body) => {
                accepted("call_end", body)?;
                call.end_answered = true;
            }
            Packet::Event { name: "call_accept", body } => {
                set_call_id(call_id, body);
                call.observed.relayed += 1;
                self.caller.send(self.frames.offer.of(call_id)).await?;
                call.caller.describe();
                self.send_candidates(call, call_id).await?;
            }
            Packet::Event { name: "sdp_answer", body } if is_of(call_id, body) => {
                call.observed.relayed += 1;
                call.observed.set_up = call.started.elapsed();
                call.caller.described = true;
            }
            Packet::Event { name: "ice_candidate", body } if is_of(call_id, body) => {
                call.observed.candidate(body, &call.callee, &mut call.caller);
            }
            Packet::Event { name: name @ "error", body } => return Err(unwanted(name, body)),
            Packet::Event { name: name @ ("call_reject" | "call_timeout"), body } if is_of(call_id, body) => {
                return Err(unwanted(name, body));
            }
            Packet::Ack { .. } | Packet::Event { .. } | Packet::Other => {}
        }
        Ok(())
    }

    async fn callee_hears(&mut self, call: &mut Call, call_id: &mut String, packet: &str) -> Result<(), Failure> {
        match Packet::parse(packet) {
            Packet::Ack { id: ACCEPT, body } if is_of(call_id, body) => accepted("call_accept", body)?,
            Packet::Event { name: "incoming_call", body } => {
                set_call_id(call_id, body);
                call.observed.relayed += 1;
                call.observed.ring = call.started.elapsed();
                self.callee.send(self.frames.accept.of(call_id)).await?;
            }
            Packet::Event { name: "sdp_offer", body } if is_of(call_id, body) => {
                call.observed.relayed += 1;
                call.callee.described = true;
                self.callee.send(self.frames.answer.of(call_id)).await?;
                call.callee.describe();
                self.send_candidates(call, call_id).await?;
            }
            Packet::Event { name: "ice_candidate", body } if is_of(call_id, body) => {
                call.observed.candidate(body, &call.caller, &mut call.callee);
            }
            Packet::Event { name: "call_end", body } if is_of(call_id, body) => {
                call.observed.relayed += 1;
                call.end_seen = true;
            }
            Packet::Event { name: name @ "error", body } => return Err(unwanted(name, body)),
            Packet::Event { name: name @ ("call_cancelled" | "call_timeout"), body } if is_of(call_id, body) => {
                return Err(unwanted(name, body));
            }
            Packet::Ack { .. } | Packet::Event { .. } | Packet::Other => {}
        }
        Ok(())
    }

    async fn send_candidates(&mut self, call: &mut Call, call_id: &str) -> Result<(), Failure> {
        let script = call.script;
        while let Some(number) = call.caller.take_due(script) {
            self.caller.send(self.frames.from_caller.of(call_id, number)).await?;
        }
        while let Some(number) = call.callee.take_due(script) {
            self.callee.send(self.frames.from_callee.of(call_id, number)).await?;
        }
        Ok(())
    }
}

/// A call under way.
struct Call {
    script: Script,
    started: Instant,
    observed: Observed,
    caller: Side,
    callee: Side,
    ending: bool,
    end_answered: bool,
    end_seen: bool,
}

impl Call {
    fn new(script: Script) -> Self {
        Self {
            script,
            started: Instant::now(),
            observed: Observed { candidates: Vec::with_capacity(2 * CANDIDATES), ..Observed::default() },
            caller: Side::default(),
            callee: Side::default(),
            ending: false,
            end_answered: false,
            end_seen: false,
        }
    }

    fn next_candidate(&self) -> Option<Instant> {
        [self.caller.due, self.callee.due].into_iter().flatten().min()
    }

    /// Whether both sides have the other's description and all candidates.
    fn has_all(&self) -> bool {
        [&self.caller, &self.callee].iter().all(|side| side.described && side.received >= self.script.candidates)
    }

    fn is_over(&self) -> bool {
        if self.script.hang_up { self.end_answered && self.end_seen } else { self.has_all() }
    }
}

/// One side's candidates.
#[derive(Default)]
struct Side {
    /// When the next one is to be sent.
    due: Option<Instant>,
    sent_at: Vec<Instant>,
    received: usize,
    /// Whether the other side's description is there.
    described: bool,
}

impl Side {
    /// The side has sent its description: candidates follow from this moment on.
    fn describe(&mut self) {
        self.due = Some(Instant::now());
        self.sent_at.reserve(CANDIDATES);
    }

    /// The number of a candidate that is to be sent at this moment.
    fn take_due(&mut self, script: Script) -> Option<usize> {
        let number = self.sent_at.len();
        if number >= script.candidates {
            self.due = None;
        }
        let now = Instant::now();
        let due = self.due.filter(|due| *due <= now)?;
        self.due = Some(due + script.gap);
        self.sent_at.push(now);
        Some(number)
    }
}

impl Observed {
    fn candidate(&mut self, body: &str, sender: &Side, receiver: &mut Side) {
        let Some(sent_at) = Candidates::number(body).and_then(|number| sender.sent_at.get(number)) else { return };
        self.candidates.push(sent_at.elapsed());
        self.relayed += 1;
        self.overtaken |= !receiver.described;
        receiver.received += 1;
    }
}

pub(crate) fn accepted(request: &str, body: &str) -> Result<(), Failure> {
    if body.contains("\"success\":true") { Ok(()) } else { Err(format!("{request}: {body}").into()) }
}

fn unwanted(event: &str, body: &str) -> Failure {
    let why = text_field(body, "message").or_else(|| text_field(body, "reason"));
    format!("{event}: {}", why.unwrap_or_default()).into()
}

/// The first to tell the call's id wins: what is left of an earlier call that was given up does not match it.
fn set_call_id(call_id: &mut String, body: &str) {
    if call_id.is_empty()
        && let Some(id) = text_field(body, "callId")
    {
        id.clone_into(call_id);
    }
}

fn is_of(call_id: &str, body: &str) -> bool {
    text_field(body, "callId") == Some(call_id)
}
