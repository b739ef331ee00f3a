//! Quantiles, medians over runs, and the tables. Decides nothing: the scenarios name their rows.

use std::borrow::Cow;
use std::time::Duration;

use crate::options::Kind;
use crate::redis_server::RedisWork;
use crate::subject::Consumed;

/// The `per_mille`-th of the samples in milliseconds; not a number if there are none.
pub(crate) fn quantile_ms(samples: &mut [Duration], per_mille: usize) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    let index = (samples.len() * per_mille / 1000).min(samples.len() - 1);
    let (_, sample, _) = samples.select_nth_unstable(index);
    ms(*sample)
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts of one benchmark")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

/// What makes a value good, and so what its ratio is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// Costs and times: the peer's over ours.
    Lower,
    /// Rates: ours over the peer's.
    Higher,
    /// Circumstances, and counts that should be zero: no ratio.
    Neither,
}

/// What was measured: one server as so many nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) kind: Kind,
    pub(crate) nodes: u16,
}

impl Column {
    pub(crate) fn name(self) -> String {
        if self.nodes == 1 {
            self.kind.name().to_owned()
        } else {
            format!("{}, {} nodes", self.kind.name(), self.nodes)
        }
    }
}

/// One value of one run of one column.
struct Sample {
    row: Cow<'static, str>,
    column: Column,
    value: f64,
}

struct Row {
    name: Cow<'static, str>,
    decimals: usize,
    better: Better,
}

/// Rows of values by column, filled run by run and printed as medians.
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
    samples: Vec<Sample>,
}

impl Table {
    pub(crate) fn new(title: String) -> Self {
        Self { title, rows: Vec::new(), samples: Vec::new() }
    }

    /// Adds what one run found. Rows are printed in the order they first appear.
    pub(crate) fn add(
        &mut self,
        column: Column,
        name: impl Into<Cow<'static, str>>,
        decimals: usize,
        better: Better,
        value: f64,
    ) {
        let name = name.into();
        if !self.rows.iter().any(|row| row.name == name) {
            self.rows.push(Row { name: name.clone(), decimals, better });
        }
        self.samples.push(Sample { row: name, column, value });
    }

    /// Adds what Redis sent and received for one of `unit`.
    pub(crate) fn add_traffic(&mut self, column: Column, unit: &str, work: &RedisWork, units: f64) {
        let commands = count(work.commands.values().sum());
        self.add(column, format!("Redis commands per {unit}"), 1, Better::Lower, commands / units);
        self.add(column, format!("bytes out of Redis per {unit}"), 0, Better::Lower, count(work.bytes_out) / units);
        self.add(column, format!("bytes into Redis per {unit}"), 0, Better::Lower, count(work.bytes_in) / units);
    }

    /// Adds what goes on when nobody asks for anything.
    pub(crate) fn add_rest(&mut self, column: Column, rest: &Consumed) {
        let seconds = rest.elapsed.as_secs_f64();
        self.add(column, "at rest: server CPU per second, ms", 2, Better::Lower, ms(rest.server) / seconds);
        if let Some(redis) = &rest.redis {
            let commands = count(redis.commands.values().sum());
            self.add(column, "at rest: Redis CPU per second, ms", 2, Better::Lower, ms(redis.cpu) / seconds);
            self.add(column, "at rest: Redis commands per second", 1, Better::Lower, commands / seconds);
        }
    }

    /// Adds each command of Redis for itself.
    pub(crate) fn add_commands(&mut self, column: Column, work: &RedisWork, units: f64) {
        for (name, calls) in &work.commands {
            self.add(column, name.clone(), 3, Better::Neither, count(*calls) / units);
        }
    }

    /// Prints nothing if nothing was added.
    pub(crate) fn print(&self) {
        let mut nodes: Vec<u16> = self.samples.iter().map(|sample| sample.column.nodes).collect();
        nodes.sort_unstable();
        nodes.dedup();
        match nodes[..] {
            [] => {}
            [nodes] => self.print_beside(nodes),
            _ => self.print_growth(&nodes),
        }
    }

    /// Both servers beside each other, as so many nodes.
    fn print_beside(&self, nodes: u16) {
        println!("{}{}", self.title, if nodes == 1 { String::new() } else { format!("; {nodes} nodes") });
        println!("{:<46}{:>28}{:>28}{:>8}", "median (lowest to highest)", "switchboard", "peer", "ratio");
        for Row { name, decimals, better } in &self.rows {
            let [ours, peers] = [Kind::Switchboard, Kind::Peer].map(|kind| self.sorted(name, Column { kind, nodes }));
            let ratio =
                ratio(*better, median(&ours), median(&peers)).map_or(String::new(), |ratio| format!("{ratio:.2}"));
            println!("{name:<46}{:>28}{:>28}{ratio:>8}", cell(&ours, *decimals), cell(&peers, *decimals));
        }
        println!();
    }

    /// A column for each number of nodes, and in it how many times the first column's a value is.
    fn print_growth(&self, nodes: &[u16]) {
        let line = |label: &str, server: &str, cells: Vec<String>| {
            let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>18}")).collect();
            println!("{label:<46}{server:<12}{}", cells.concat());
        };
        println!("{}", self.title);
        let head = nodes.iter().map(|nodes| if *nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") });
        line("median, and how many times that of the first", "", head.collect());
        for row in &self.rows {
            let of = |kind| nodes.iter().map(|nodes| self.median(&row.name, Column { kind, nodes: *nodes })).collect();
            let [ours, peers]: [Vec<Option<f64>>; 2] = [of(Kind::Switchboard), of(Kind::Peer)];
            let ratios: Vec<Option<f64>> =
                ours.iter().zip(&peers).map(|(ours, peers)| ratio(row.better, *ours, *peers)).collect();
            let mut label = row.name.as_ref();
            for (kind, values) in [(Kind::Switchboard, &ours), (Kind::Peer, &peers)] {
                if values.iter().any(Option::is_some) {
                    line(label, kind.name(), values.iter().map(|value| grown(row, *value, values[0])).collect());
                    label = "";
                }
            }
            if ratios.iter().any(Option::is_some) {
                line(label, "ratio", ratios.iter().map(|ratio| grown_ratio(*ratio)).collect());
            }
        }
        println!();
    }

    fn median(&self, row: &str, column: Column) -> Option<f64> {
        median(&self.sorted(row, column))
    }

    fn sorted(&self, row: &str, column: Column) -> Vec<f64> {
        let of_row = self.samples.iter().filter(|sample| sample.row == row && sample.column == column);
        let mut values: Vec<f64> = of_row.map(|sample| sample.value).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// How many times as good ours is; nothing where one of them is missing or not positive.
fn ratio(better: Better, ours: Option<f64>, peers: Option<f64>) -> Option<f64> {
    let (ours, peers) = (ours.filter(|ours| *ours > 0.0)?, peers.filter(|peers| *peers > 0.0)?);
    match better {
        Better::Lower => Some(peers / ours),
        Better::Higher => Some(ours / peers),
        Better::Neither => None,
    }
}

/// `0.215 x1.02`
fn grown(row: &Row, value: Option<f64>, first: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let decimals = row.decimals;
    let growth = first.filter(|first| *first > 0.0 && row.better != Better::Neither).map(|first| value / first);
    let growth = growth.map_or(String::new(), |growth| format!("x{growth:.2}"));
    format!("{value:.decimals$} {growth:<6}")
}

/// In line with the values above it.
fn grown_ratio(ratio: Option<f64>) -> String {
    ratio.map_or(String::new(), |ratio| format!("{ratio:.2} {:<6}", ""))
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len() / 2).copied()
}

fn cell(sorted: &[f64], decimals: usize) -> String {
    let (Some(median), Some(lowest), Some(highest)) = (median(sorted), sorted.first(), sorted.last()) else {
        return "-".to_owned();
    };
    if sorted.len() == 1 {
        return format!("{median:.decimals$}");
    }
    format!("{median:.decimals$} ({lowest:.decimals$} to {highest:.decimals$})")
}
