//! The calls that this node is ringing devices for: so that a call that is over is not rung any further, and that no device is told
//! of its end before it was told of its beginning.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::ids::CallId;

/// The calls that are rung. One entry for each ring that is queued or tried, removed with it.
#[derive(Clone, Default)]
pub(super) struct Underway(Arc<Mutex<HashMap<CallId, Arc<Signals>>>>);

#[derive(Default)]
struct Signals {
    /// The call rings no more.
    over: CancellationToken,
    /// No device is rung for it any more.
    ended: CancellationToken,
}

/// A call is rung as long as this lives.
pub(super) struct Ringing {
    call: CallId,
    signals: Arc<Signals>,
    calls: Underway,
}

impl Underway {
    /// A call is to be rung.
    pub(super) fn begin(&self, call: CallId) -> Ringing {
        let signals = Arc::<Signals>::default();
        self.0.lock().insert(call, signals.clone());
        Ringing { call, signals, calls: self.clone() }
    }

    /// A call rings no more. Where it is rung, this ends as soon as what is on its way has arrived; who tells of the end waits for
    /// that by the answer.
    pub(super) fn stop(&self, call: CallId) -> Option<CancellationToken> {
        let signals = self.0.lock().get(&call).cloned()?;
        signals.over.cancel();
        Some(signals.ended.clone())
    }
}

impl Ringing {
    /// Says when the call rings no more.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.signals.over
    }
}

impl Drop for Ringing {
    fn drop(&mut self) {
        let mut calls = self.calls.0.lock();
        if calls.get(&self.call).is_some_and(|signals| Arc::ptr_eq(signals, &self.signals)) {
            calls.remove(&self.call);
        }
        self.signals.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_heard_by_the_ring_and_waits_for_its_end() {
        let underway = Underway::default();
        let call = CallId::from_u128(1);
        assert!(underway.stop(call).is_none(), "nobody rings it");
        let ringing = underway.begin(call);
        assert!(!ringing.over().is_cancelled());
        let ended = underway.stop(call).unwrap();
        assert!(ringing.over().is_cancelled() && !ended.is_cancelled());
        drop(ringing);
        assert!(ended.is_cancelled() && underway.stop(call).is_none());
        assert!(underway.0.lock().is_empty());
    }
}
