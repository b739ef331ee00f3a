//! Wakes devices that are not connected.
//!
//! What it does not do: it does not decide who is woken, and nobody waits for it.

mod disabled;

pub use disabled::Disabled;

use crate::call::{Text, Wake};
use crate::ids::UserId;

/// A way to wake devices.
pub trait Push: Send + Sync {
    /// Whether a device with this push token could be woken.
    fn can_reach(&self, push_token: Option<&Text>) -> bool;

    /// Starts waking the devices of `user`. Returns at once; what becomes of it is the push service's affair.
    fn wake(&self, user: &UserId, wake: Wake);
}
