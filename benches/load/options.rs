//! What to measure, for how long, and against whom. The meaning of each option is told in the header of `main`.

use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::Failure;
use crate::pair::CANDIDATES;
use crate::report::Column;
use crate::subject::{Keeping, Plan};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    Calls,
    Idle,
    Latency,
    Register,
    Storm,
    Deadlines,
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

/// Where switchboard keeps its state.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    Embedded,
    Redis,
}

/// Where the peer keeps its state.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PeerStore {
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
    #[arg(long, value_delimiter = ',', default_values_t = [1], value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: Vec<u16>,
    #[arg(long)]
    store: Option<Store>,
    #[arg(long)]
    peer_store: Option<PeerStore>,
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
    #[arg(long, default_value_t = CANDIDATES, value_parser = candidates)]
    pub(crate) candidates: usize,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: Option<u32>,
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    hold: Option<u64>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    users: Option<u32>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    calls: Option<u32>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    keys: Option<u32>,
    /// What a generator of its own has to do, as JSON
    #[arg(long, hide = true)]
    pub(crate) shard: Option<String>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn candidates(text: &str) -> Result<usize, String> {
    let most = |candidates: &usize| *candidates <= CANDIDATES;
    text.parse().ok().filter(most).ok_or_else(|| format!("a whole number up to {CANDIDATES}"))
}

impl Options {
    /// # Errors
    /// Several nodes, and nothing through which they could hear each other.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let several = self.several();
        if several && self.store == Some(Store::Embedded) {
            return Err("several nodes of switchboard need --store redis".into());
        }
        if several && self.peer_store.is_some_and(|store| store != PeerStore::Adapter) {
            return Err("several nodes of the peer need --peer-store adapter".into());
        }
        Ok(())
    }

    fn several(&self) -> bool {
        self.nodes.iter().any(|nodes| *nodes > 1)
    }

    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        self.scenario == scenario || self.scenario == Scenario::All
    }

    /// The servers to measure, in the order they take turns.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        self.only.map_or_else(|| vec![Kind::Switchboard, Kind::Peer], |kind| vec![kind])
    }

    /// Each number of nodes, with the servers taking turns.
    pub(crate) fn columns(&self) -> Vec<Column> {
        self.columns_of(&self.nodes)
    }

    /// The same for a scenario that needs two nodes at least.
    pub(crate) fn columns_of_several(&self) -> Vec<Column> {
        let mut nodes: Vec<u16> = self.nodes.iter().map(|nodes| (*nodes).max(2)).collect();
        nodes.dedup();
        self.columns_of(&nodes)
    }

    fn columns_of(&self, nodes: &[u16]) -> Vec<Column> {
        let kinds = self.kinds();
        nodes.iter().flat_map(|nodes| kinds.iter().map(|kind| Column { kind: *kind, nodes: *nodes })).collect()
    }

    /// Where a list of several numbers of nodes begins with one, that one uses Redis too: growth compares like with like.
    pub(crate) fn plan(&self, column: Column) -> Plan {
        let keeping = match (column.kind, self.store, self.peer_store) {
            (Kind::Switchboard, Some(Store::Embedded), _) => Keeping::Memory,
            (Kind::Switchboard, Some(Store::Redis), _) => Keeping::Redis,
            (Kind::Switchboard, None, _) if self.several() => Keeping::Redis,
            (Kind::Switchboard, None, _) => Keeping::Memory,
            (Kind::Peer, _, Some(PeerStore::Memory)) => Keeping::Memory,
            (Kind::Peer, _, Some(PeerStore::Adapter)) => Keeping::RedisAdapter,
            (Kind::Peer, _, None) if self.several() => Keeping::RedisAdapter,
            (Kind::Peer, _, Some(PeerStore::Redis) | None) => Keeping::Redis,
        };
        Plan { column, keeping, settings: Vec::new(), redis_arguments: Vec::new() }
    }

    /// For a scenario that has several nodes behind one Redis whatever was asked for.
    pub(crate) fn plan_of_several(&self, column: Column) -> Plan {
        let keeping = match column.kind {
            Kind::Switchboard => Keeping::Redis,
            Kind::Peer => Keeping::RedisAdapter,
        };
        Plan { keeping, ..self.plan(column) }
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

    pub(crate) fn users(&self, usual: u32, quick: u32) -> u32 {
        self.users.unwrap_or(if self.quick { quick } else { usual })
    }

    /// Registrations per second.
    pub(crate) fn rate(&self, usual: u32) -> u32 {
        self.rate.unwrap_or(usual)
    }

    /// Calls nobody answers.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.unwrap_or(if self.quick { 200 } else { 1_000 })
    }

    /// Keys of others in the same Redis.
    pub(crate) fn keys(&self) -> u32 {
        self.keys.unwrap_or(if self.quick { 50_000 } else { 1_000_000 })
    }
}
