//! The scripts that Redis runs: each is one step that happens whole or not at all.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use crate::backplane::redis::keys::Keys;

const SHARED: &str = include_str!("scripts/shared.lua");

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident: $file:literal,)*) => {
        $(
            $(#[$doc])*
            pub(super) static $name: LazyLock<Script> =
                LazyLock::new(|| Script::new(&format!("{SHARED}{}", include_str!(concat!("scripts/", $file)))));
        )*

        /// Every script there is.
        pub(super) fn all() -> impl Iterator<Item = &'static Script> {
            [$(&*$name),*].into_iter()
        }
    };
}

scripts! {
    /// Sessions of a dead node.
    ABANDONED: "abandoned.lua",
    /// Connects a device.
    ATTACH: "attach.lua",
    /// A sign of life.
    BEAT: "beat.lua",
    /// Calls that are due.
    CLAIM: "claim.lua",
    /// Changes a call.
    COMMIT: "commit.lua",
    /// The devices of a user.
    DEVICES: "devices.lua",
    /// Disconnects a device.
    DETACH: "detach.lua",
    /// Takes one call that is due.
    ELECT: "elect.lua",
    /// The live calls of a user.
    LIVE: "live.lua",
    /// One call.
    LOAD: "load.lua",
    /// What a new call is decided upon.
    PROSPECT: "prospect.lua",
    /// What is kept for a user.
    READ: "read.lua",
    /// Puts back a call.
    RESTORE: "restore.lua",
    /// Sends a message.
    SEND: "send.lua",
    /// Keeps the documented records of calls that go on.
    TOUCH: "touch.lua",
}

/// A run of `script`; the arguments of its own follow.
pub(super) fn run(script: &Script, keys: &Keys) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(0).arg(keys.prefix()).arg(keys.channels());
    command
}
