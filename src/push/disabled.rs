//! No push service: only connected devices ring.

use crate::ids::PushTokens;
use crate::push::{Push, Wakeup};

/// Wakes nobody.
#[derive(Clone, Copy, Debug)]
pub struct Disabled;

impl Push for Disabled {
    fn can_reach(&self, _: &PushTokens) -> bool {
        false
    }

    fn wake(&self, _: Wakeup) {}
}
