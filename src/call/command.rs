//! What can be asked of a call, and by whom.

use crate::call::Text;
use crate::ids::{DeviceId, UserId};

/// Who asks: a user, by one of their devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The person, as their token names them.
    pub user: UserId,
    /// The device; for a socket that has not registered, a device of its own.
    pub device: DeviceId,
    /// Whether the device is known. Until it registers, a socket acts for whichever device of its user is in the call: after a
    /// reconnect the stock client sends what it had buffered before the app can register.
    pub registered: bool,
}

impl Actor {
    /// Whether this actor is, or may act for, `device` of `user`.
    pub fn acts_for(&self, user: &UserId, device: &DeviceId) -> bool {
        self.user == *user && (!self.registered || self.device == *device)
    }
}

/// What is asked of a call, or has happened to one of its parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The callee answers.
    Accept {
        /// Who answers.
        by: Actor,
    },
    /// The callee declines.
    Reject {
        /// Who declines.
        by: Actor,
        /// Why, in the client's words.
        reason: Option<Text>,
    },
    /// Either party hangs up.
    End {
        /// Who hangs up.
        by: Actor,
        /// On whose account.
        hangup: Hangup,
    },
    /// The last connection of a device is gone.
    Away {
        /// Its user.
        user: UserId,
        /// The device.
        device: DeviceId,
    },
    /// A device is connected.
    Back {
        /// Its user.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// What the socket's device was called until it registered by name.
        formerly: Option<DeviceId>,
    },
    /// A deadline may have passed.
    Expire,
}

impl Command {
    /// Who asks; nobody where it has happened to them.
    pub fn by(&self) -> Option<&Actor> {
        match self {
            Self::Accept { by } | Self::Reject { by, .. } | Self::End { by, .. } => Some(by),
            Self::Away { .. } | Self::Back { .. } | Self::Expire => None,
        }
    }
}

/// Why somebody hangs up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// They said so, perhaps with a reason.
    Said(Option<Text>),
    /// Their device has turned to another call.
    Replaced,
}
