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

/// One value of one run of one server.
struct Sample {
    row: &'static str,
    kind: Kind,
    value: f64,
}

/// Rows of values by server, filled run by run and printed as medians.
pub(crate) struct Table {
    title: String,
    rows: Vec<(&'static str, usize)>,
    samples: Vec<Sample>,
}

impl Table {
    pub(crate) fn new(title: String) -> Self {
        Self { title, rows: Vec::new(), samples: Vec::new() }
    }

    /// Adds what one run found. Rows are printed in the order they first appear.
    pub(crate) fn add(&mut self, kind: Kind, row: &'static str, decimals: usize, value: f64) {
        if !self.rows.iter().any(|(name, _)| *name == row) {
            self.rows.push((row, decimals));
        }
        self.samples.push(Sample { row, kind, value });
    }

    pub(crate) fn print(&self) {
        println!("{}", self.title);
        println!("{:<46}{:>28}{:>28}{:>8}", "median (lowest to highest)", "switchboard", "peer", "ratio");
        for &(row, decimals) in &self.rows {
            let [ours, peers] = [Kind::Switchboard, Kind::Peer].map(|kind| self.sorted(row, kind));
            let ratio = match (median(&ours), median(&peers)) {
                (Some(ours), Some(peers)) if ours > 0.0 && peers.is_finite() => format!("{:.2}", peers / ours),
                _ => String::new(),
            };
            println!("{row:<46}{:>28}{:>28}{ratio:>8}", cell(&ours, decimals), cell(&peers, decimals));
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
