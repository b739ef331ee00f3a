//! Where metrics enter their names, and what is known of each.

use prometheus::Registry;
use prometheus::core::Collector;

use crate::metrics::labels::Label;

/// What all names begin with.
const PREFIX: &str = "switchboard_";

/// All metrics of a node.
pub(super) struct Book {
    pub(super) registry: Registry,
    pub(super) entries: Vec<Entry>,
}

/// One metric.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) help: String,
    pub(super) kind: &'static str,
    /// Each label, and its values where they are a closed set.
    pub(super) labels: Vec<(&'static str, Vec<&'static str>)>,
    pub(super) buckets: &'static [f64],
}

impl Book {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        enter(&registry, prometheus::process_collector::ProcessCollector::for_self());
        Self { registry, entries: Vec::new() }
    }

    /// Enters a metric.
    pub(super) fn add(&mut self, entry: Entry, collector: impl Collector + 'static) {
        debug_assert!(entry.name.starts_with(PREFIX), "{}", entry.name);
        enter(&self.registry, collector);
        self.entries.push(entry);
    }
}

/// Fails only for a name that is there already: then the first test that makes metrics fails.
fn enter(registry: &Registry, collector: impl Collector + 'static) {
    let entered = registry.register(Box::new(collector));
    debug_assert!(entered.is_ok(), "{entered:?}");
}

/// The labels of a closed set, each with its values.
pub(super) fn labels_of<L: Label>() -> Vec<(&'static str, Vec<&'static str>)> {
    let values = L::all();
    let of_label = |(place, name): (usize, &'static str)| {
        let mut words: Vec<&'static str> = Vec::new();
        for word in values.iter().map(|value| value.words()[place]) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
        (name, words)
    };
    L::names().into_iter().enumerate().map(of_label).collect()
}
