//! The calls that this node is ringing devices for: so that a call that is over is not rung any further, and that no device is told
//! of its end before it was told of its beginning. Each device for itself: the end is told to those that have been rung while
//! others are still being tried.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ids::{CallId, DeviceId};

/// The calls that are rung. One entry for each ring that is queued or tried, removed with it.
#[derive(Clone, Default)]
pub(super) struct Underway(Arc<Mutex<HashMap<CallId, Arc<Signals>>>>);

#[derive(Default)]
struct Signals {
    /// The call rings no more.
    over: CancellationToken,
    /// No device is rung for it any more.
    ended: CancellationToken,
    /// The devices are known.
    listed: CancellationToken,
    /// For each of them, that it is rung no more.
    devices: Mutex<HashMap<DeviceId, CancellationToken>>,
}

/// The efforts to ring devices for a call, to whoever has to wait for their end.
pub(super) struct Efforts(Arc<Signals>);

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
    pub(super) fn stop(&self, call: CallId) -> Option<Efforts> {
        let signals = self.0.lock().get(&call).cloned()?;
        signals.over.cancel();
        Some(Efforts(signals))
    }
}

impl Ringing {
    /// Says when the call rings no more.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.signals.over
    }

    /// These devices are to be rung, and no others. Each is rung until what is returned for it is dropped.
    pub(super) fn rings<'a>(&self, devices: impl IntoIterator<Item = &'a DeviceId>) -> Vec<DropGuard> {
        let mut efforts = self.signals.devices.lock();
        let guards = devices.into_iter().map(|device| efforts.entry(device.clone()).or_default().clone().drop_guard());
        let guards = guards.collect();
        self.signals.listed.cancel();
        guards
    }
}

impl Efforts {
    /// Waits until `device` is rung no more.
    pub(super) async fn end_for(&self, device: &DeviceId) {
        let Signals { ended, listed, devices, .. } = &*self.0;
        let told = async {
            listed.cancelled().await;
            let effort = devices.lock().get(device).cloned();
            if let Some(effort) = effort {
                effort.cancelled().await;
            }
        };
        // Waits for either: the end of all is the end for each.
        tokio::select! {
            () = told => {}
            () = ended.cancelled() => {}
        }
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
    use futures_util::FutureExt;

    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn a_stop_is_heard_by_the_ring_and_waits_for_its_end() {
        let underway = Underway::default();
        let call = CallId::from_u128(1);
        assert!(underway.stop(call).is_none(), "nobody rings it");
        let ringing = underway.begin(call);
        assert!(!ringing.over().is_cancelled());
        let efforts = underway.stop(call).unwrap();
        assert!(ringing.over().is_cancelled());
        let one = device("one");
        assert!(efforts.end_for(&one).now_or_never().is_none());
        drop(ringing);
        assert!(efforts.end_for(&one).now_or_never().is_some() && underway.stop(call).is_none());
        assert!(underway.0.lock().is_empty());
    }

    #[tokio::test]
    async fn each_device_is_waited_for_alone() {
        let underway = Underway::default();
        let call = CallId::from_u128(1);
        let ringing = underway.begin(call);
        let [one, two, three] = ["one", "two", "three"].map(device);
        let efforts = underway.stop(call).unwrap();
        assert!(efforts.end_for(&three).now_or_never().is_none(), "nobody knows yet which devices there are");
        let mut guards = ringing.rings([&one, &two]);
        let ends = |device| efforts.end_for(device).now_or_never().is_some();
        assert!(!ends(&one) && !ends(&two) && ends(&three));
        guards.remove(0);
        assert!(ends(&one) && !ends(&two));
        drop(ringing);
        assert!(ends(&two));
    }
}
