//! What is being done in a task at the moment, and what follows from it.
//!
//! What a request is about is known from its beginning, but for a call that is still to begin: so what follows from a request is kept
//! until that is at its end, and told then, or not at all.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::traces::ids::{Context, SpanId, TraceId};
use crate::traces::span::{Kind, Span};
use crate::traces::{GIVEN_UP, Recorder, nanos};

/// Spans that follow from one request: a decision that lost all its races has sixteen. Beyond it they are not told.
const CHILDREN_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: Arc<Scope>;
}

/// Something that is being done about a call.
pub struct Scope {
    recorder: Arc<Recorder>,
    state: Mutex<State>,
}

struct State {
    /// That of a request is right when its call is known.
    span: Span,
    call: Option<CallId>,
    is_request: bool,
    children: Vec<Span>,
}

/// The request that is being dealt with is about this call.
pub fn about(call: CallId) {
    let _ = CURRENT.try_with(|scope| scope.state.lock().concerns(call));
}

/// The request that is being dealt with is answered.
pub fn answered(word: &'static str, is_our_fault: bool) {
    let _ = CURRENT.try_with(|scope| {
        let span = &mut scope.state.lock().span;
        span.note("answer", word);
        span.failure = is_our_fault.then_some(word);
    });
}

impl Scope {
    pub(super) fn request(
        recorder: &Arc<Recorder>,
        name: &'static str,
        call: Option<CallId>,
        came_at: Timestamp,
    ) -> Self {
        let now = recorder.clock.nanos();
        // Counts what it has waited, unless that is no more than the clock is coarse.
        let start = if nanos(Timestamp(came_at.0 + 1)) < now { nanos(came_at) } else { now };
        let mut state = State {
            span: Span::new(name, Kind::Server, Context::random(), start),
            call: None,
            is_request: true,
            children: Vec::new(),
        };
        if let Some(call) = call {
            state.concerns(call);
        }
        Self { recorder: recorder.clone(), state: Mutex::new(state) }
    }

    pub(super) fn act(recorder: &Arc<Recorder>, name: &'static str, call: CallId) -> Self {
        let mut span = Span::new(name, Kind::Internal, Context::random(), recorder.clock.nanos());
        span.link = Some(Context::of_call(call));
        span.note("call.id", call.to_string());
        let state = State { span, call: Some(call), is_request: false, children: Vec::new() };
        Self { recorder: recorder.clone(), state: Mutex::new(state) }
    }

    /// Does `what`. When that is done, or given up, it is told.
    pub async fn run<T>(self, what: impl Future<Output = T>) -> T {
        CURRENT.scope(Arc::new(self), what).await
    }
}

impl State {
    /// The first call a request is about is the one it is about.
    fn concerns(&mut self, call: CallId) {
        if self.call.is_none() {
            self.call = Some(call);
            let whole = Context::of_call(call);
            self.span.context.trace = whole.trace;
            self.span.parent = Some(whole.span);
            self.span.note("call.id", call.to_string());
        }
    }

    /// Where what follows is: in the trace of this, or of the call that begins by this; `None` while nobody knows.
    fn trace(&self, begins: Option<CallId>) -> Option<TraceId> {
        self.call.map(|_| self.span.context.trace).or(begins.map(TraceId::of))
    }
}

impl Drop for Scope {
    /// Held by nobody any more: it is over.
    fn drop(&mut self) {
        let State { span, call, is_request, children } = self.state.get_mut();
        let Some(call) = *call else { return };
        let is_told = if *is_request { self.recorder.sampler.takes(TraceId::of(call)) } else { !children.is_empty() };
        if !is_told {
            return;
        }
        span.end = self.recorder.clock.nanos();
        for mut child in children.drain(..) {
            // Of a call that was to begin, and lost to one that had begun.
            child.context.trace = span.context.trace;
            self.recorder.take(child);
        }
        self.recorder.take(span.take());
    }
}

/// Messages on their way into the backplane. They are when this is dropped.
pub struct Sending {
    recorder: Arc<Recorder>,
    parent: Option<Arc<Scope>>,
    span: Span,
}

impl Sending {
    /// `None` for what is not traced: what follows from something that is, or is about a call that is.
    pub(super) fn new(recorder: &Arc<Recorder>, name: &'static str, call: CallId, begins: bool) -> Option<Self> {
        let is_sampled = recorder.sampler.takes(TraceId::of(call));
        let current = CURRENT.try_with(Arc::clone).ok();
        let begun = (begins && is_sampled).then_some(call);
        let place = current.and_then(|scope| {
            let (trace, parent) = {
                let state = scope.state.lock();
                (state.trace(begun)?, state.span.context.span)
            };
            Some((Context { trace, span: SpanId::random() }, parent, scope))
        });
        let now = recorder.clock.nanos();
        let (mut span, parent) = match place {
            Some((context, parent, scope)) => {
                let mut span = Span::new(name, Kind::Producer, context, now);
                span.parent = Some(parent);
                (span, Some(scope))
            }
            None if is_sampled => (Span::new(name, Kind::Producer, Context::random(), now), None),
            None => return None,
        };
        if span.context.trace != TraceId::of(call) && is_sampled {
            span.link = Some(Context::of_call(call));
        }
        span.note("call.id", call.to_string());
        span.failure = Some(GIVEN_UP);
        Some(Self { recorder: recorder.clone(), parent, span })
    }

    /// What goes along with the messages.
    pub fn context(&self) -> Context {
        self.span.context
    }

    /// What became of it.
    pub fn note(&mut self, outcome: &'static str, failed: bool) {
        self.span.note("outcome", outcome);
        self.span.failure = failed.then_some(outcome);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.span.end = self.recorder.clock.nanos();
        let span = self.span.take();
        let Some(parent) = &self.parent else { return self.recorder.take(span) };
        let mut state = parent.state.lock();
        if state.children.len() < CHILDREN_MAX {
            state.children.push(span);
        }
    }
}
