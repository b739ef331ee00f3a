//! No push service: only connected devices ring.

use crate::call::{Text, Wake};
use crate::ids::UserId;
use crate::push::Push;

/// Wakes nobody.
#[derive(Clone, Copy, Debug)]
pub struct Disabled;

impl Push for Disabled {
    fn can_reach(&self, _: Option<&Text>) -> bool {
        false
    }

    fn wake(&self, _: &UserId, _: Wake) {}
}
