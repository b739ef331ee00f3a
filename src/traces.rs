//! Tells a collector of OpenTelemetry what became of a call, node by node.
//!
//! One trace for each call, whose id is that of the call: so all nodes agree on which calls are traced without asking each other, and
//! whoever has a call id has the trace. What happens to a call without a client having asked for it (deadlines, absences, pushes) are
//! traces of their own with a link to that of the call.
//!
//! ```text
//! call ─┬─ call_initiate ── commit ─┬─ deliver incoming_call     (another node, perhaps)
//!       ├─ call_accept ── commit ───┴─ deliver call_accept
//!       └─ sdp_offer ── send ── deliver sdp_offer                 ring ⋯link⋯► call
//! ```
//!
//! What it does not do: nothing waits for it, and nothing is decided by it. No payload, no name and no token gets here.

mod exporter;
mod ids;
mod otlp;
mod scope;
mod span;
mod way;

use std::io;
use std::sync::Arc;

use futures_util::future::Either;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

pub use exporter::Exporter;
pub use ids::Context;
pub use scope::{Scope, Sending, about, answered};

use crate::call::{Call, Over};
use crate::clock::{Clock, Timestamp};
use crate::config::TracesConfig;
use crate::ids::{CallId, NodeId, SessionId};
use crate::metrics::{Metrics, Traced};
use ids::{Sampler, TraceId};
use span::{Kind, Span};

/// Spans that wait to be sent. What comes beyond that is dropped.
const QUEUE: usize = 8192;

/// What is said of something that was dropped before anything came of it.
const GIVEN_UP: &str = "given_up";

/// The traces of one node. Where there are none it is empty, and costs a look.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Recorder>>);

/// Takes what is over, and never waits.
struct Recorder {
    sampler: Sampler,
    clock: Clock,
    queue: mpsc::Sender<Span>,
    metrics: Arc<Metrics>,
}

impl Traces {
    /// The traces of `node`, if there are to be any, and what has to run for them.
    ///
    /// # Errors
    /// If the exporter cannot be set up: it finds something in the environment that it does not understand.
    pub fn new(
        config: Option<&TracesConfig>,
        node: &NodeId,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> io::Result<(Self, Option<Exporter>)> {
        let Some(config) = config else { return Ok((Self::off(), None)) };
        let (queue, receiver) = mpsc::channel(QUEUE);
        let exporter = Exporter::new(config, node, receiver, metrics.clone())?;
        let sampler = Sampler::new(config.ratio);
        let recorder = Recorder { sampler, clock, queue, metrics: metrics.clone() };
        Ok((Self(Some(Arc::new(recorder))), Some(exporter)))
    }

    /// No traces.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether there are any.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn of(&self, call: CallId) -> Option<&Arc<Recorder>> {
        self.0.as_ref().filter(|recorder| recorder.sampler.takes(TraceId::of(call)))
    }

    /// A request that came at `came_at`, about a call, or one that is still to begin.
    pub fn request(&self, name: &'static str, call: Option<CallId>, came_at: Timestamp) -> Option<Scope> {
        let recorder = match call {
            Some(call) => self.of(call)?,
            None => self.0.as_ref()?,
        };
        Some(Scope::request(recorder, name, call, came_at))
    }

    /// Something is done to a call that no client has asked for. It is told of if anything changes by it.
    pub fn act<T, F: Future<Output = T>>(
        &self,
        name: &'static str,
        call: CallId,
        what: F,
    ) -> impl Future<Output = T> + use<T, F> {
        match self.of(call) {
            // Boxed: others are not to carry its room.
            Some(recorder) => Either::Left(Box::pin(Scope::act(recorder, name, call).run(what))),
            None => Either::Right(what),
        }
    }

    /// Messages about a call are on their way to other sockets, until what is answered is dropped.
    pub fn sending(&self, name: &'static str, call: CallId, begins: bool) -> Option<Sending> {
        Sending::new(self.0.as_ref()?, name, call, begins)
    }

    /// A message that was sent in `context` at `sent_at` was handed to a socket, or could not be.
    pub fn delivered(
        &self,
        context: Context,
        call: CallId,
        event: &'static str,
        sent_at: Timestamp,
        session: &SessionId,
        failure: Option<&'static str>,
    ) {
        let Some(recorder) = &self.0 else { return };
        let now = recorder.clock.nanos();
        // What was sent within a millisecond was sent in it, not at its beginning: nothing is to arrive before it leaves.
        let start = nanos(Timestamp(sent_at.0 + 1)).min(now);
        let mut span = Span::new(format!("deliver {event}"), Kind::Consumer, context.sibling(), start);
        span.parent = Some(context.span);
        span.end = now;
        span.failure = failure;
        span.note("call.id", call.to_string());
        span.note("session.id", session.as_str().to_owned());
        recorder.take(span);
    }

    /// A call is over. Told once, by the node that ended it: the span in which all others of the call are.
    pub fn call_ended(&self, call: &Call, over: &Over, how: &'static str) {
        let Some(recorder) = self.of(call.id) else { return };
        let mut span = Span::new("call", Kind::Internal, Context::of_call(call.id), nanos(call.created_at));
        // Decided within that millisecond, like everything before it.
        span.end = nanos(Timestamp(over.at.0 + 1));
        span.note("call.id", call.id.to_string());
        span.note("call.type", call.call_type.word());
        span.note("call.caller", call.caller.user.as_str().to_owned());
        span.note("call.callee", call.callee.as_str().to_owned());
        span.note("call.end_reason", how);
        let answered_at = over.accepted_at.unwrap_or(over.at);
        span.note("call.ring_ms", millis(call.created_at, answered_at));
        if over.accepted_at.is_some() {
            span.note("call.talk_ms", millis(answered_at, over.at));
        }
        recorder.take(span);
    }

    /// A push to a device begins.
    pub fn push(&self, call: CallId, kind: &'static str, provider: &'static str) -> Option<Pushing> {
        let recorder = self.of(call)?;
        let mut span = Span::new(format!("push {kind}"), Kind::Client, Context::random(), recorder.clock.nanos());
        span.link = Some(Context::of_call(call));
        span.note("call.id", call.to_string());
        span.note("push.provider", provider);
        span.failure = Some(GIVEN_UP);
        Some(Pushing { recorder: recorder.clone(), span })
    }
}

/// A push that is under way, until this is dropped.
pub struct Pushing {
    recorder: Arc<Recorder>,
    span: Span,
}

impl Pushing {
    /// What became of it.
    pub fn note(&mut self, outcome: &'static str, failed: bool) {
        self.span.failure = failed.then_some(outcome);
        self.span.note("push.outcome", outcome);
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.span.end = self.recorder.clock.nanos();
        self.recorder.take(self.span.take());
    }
}

impl Recorder {
    fn take(&self, span: Span) {
        match self.queue.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.trace_spans.inc(Traced::QueueFull),
            // The node has ended.
            Err(TrySendError::Closed(_)) => self.metrics.trace_spans.inc(Traced::NotSent),
        }
    }
}

fn nanos(at: Timestamp) -> u64 {
    at.0.saturating_mul(1_000_000)
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    i64::try_from(to.0.saturating_sub(from.0)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
