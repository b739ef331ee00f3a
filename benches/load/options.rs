//! What to measure, for how long, and against whom. The meaning of each option is told in the header of `main`.

use std::time::Duration;

use clap::{Parser, ValueEnum};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    Calls,
    Idle,
    Latency,
    All,
}

/// A server under test.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    Switchboard,
    Peer,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Switchboard => "switchboard",
            Self::Peer => "peer",
        }
    }
}

/// Where the peer keeps its state.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerStore {
    Redis,
    Memory,
    Adapter,
}

/// Load benchmark of switchboard beside a Node peer.
#[derive(Parser)]
pub(crate) struct Options {
    #[arg(default_value = "all")]
    scenario: Scenario,
    /// One short run of each
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure one server alone
    #[arg(long)]
    only: Option<Kind>,
    #[arg(long, default_value = "redis")]
    pub(crate) peer_store: PeerStore,
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: Option<u16>,
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    #[arg(long, value_delimiter = ',', default_values_t = [50, 300], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rates: Vec<u32>,
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) pairs: u32,
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    gap: u64,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: Option<u32>,
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    hold: Option<u64>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        self.scenario == scenario || self.scenario == Scenario::All
    }

    /// The servers to measure, in the order they take turns.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.only.map_or_else(|| vec![Kind::Switchboard, Kind::Peer], |kind| vec![kind])
    }

    pub(crate) fn runs(&self, usual: u16) -> u16 {
        self.runs.unwrap_or(if self.quick { 1 } else { usual })
    }

    /// The measured window.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 3 } else { 10 }))
    }

    pub(crate) fn gap(&self) -> Duration {
        Duration::from_millis(self.gap)
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.unwrap_or(if self.quick { 2_000 } else { 10_000 })
    }

    /// How long idle connections are held: whole ping intervals, so that each has as many pings as the next.
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_secs(self.hold.unwrap_or(if self.quick { 25 } else { 50 }))
    }
}
