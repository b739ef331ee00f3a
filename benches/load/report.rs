//! Quantiles, medians over runs, and the tables. Decides nothing: the scenarios name their rows.

use std::time::Duration;

use crate::options::Kind;

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

/// What makes a value good, and so what its ratio is.
#[derive(Clone, Copy)]
pub(crate) enum Better {
    /// Costs and times: the peer's over ours.
    Lower,
    /// Rates: ours over the peer's.
    Higher,
    /// Circumstances, and counts that should be zero: no ratio.
    Neither,
}

/// One value of one run of one server.
struct Sample {
    row: &'static str,
    kind: Kind,
    value: f64,
}

struct Row {
    name: &'static str,
    decimals: usize,
    better: Better,
}

/// Rows of values by server, filled run by run and printed as medians.
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
    pub(crate) fn add(&mut self, kind: Kind, name: &'static str, decimals: usize, better: Better, value: f64) {
        if !self.rows.iter().any(|row| row.name == name) {
            self.rows.push(Row { name, decimals, better });
        }
        self.samples.push(Sample { row: name, kind, value });
    }

    pub(crate) fn print(&self) {
        println!("{}", self.title);
        println!("{:<46}{:>28}{:>28}{:>8}", "median (lowest to highest)", "switchboard", "peer", "ratio");
        for &Row { name, decimals, better } in &self.rows {
            let [ours, peers] = [Kind::Switchboard, Kind::Peer].map(|kind| self.sorted(name, kind));
            let ratio =
                ratio(better, median(&ours), median(&peers)).map_or(String::new(), |ratio| format!("{ratio:.2}"));
            println!("{name:<46}{:>28}{:>28}{ratio:>8}", cell(&ours, decimals), cell(&peers, decimals));
        }
        println!();
    }

    fn sorted(&self, row: &str, kind: Kind) -> Vec<f64> {
        let of_row = self.samples.iter().filter(|sample| sample.row == row && sample.kind == kind);
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
