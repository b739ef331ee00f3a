//! `docs/metrics.md`, made from the metrics themselves.

use std::fmt::Write;

use crate::metrics::Metrics;
use crate::metrics::registry::Entry;

const HEAD: &str = "# Metrics

Made by `switchboard metrics-doc > docs/metrics.md`; a test compares. How to scrape them is in the [README](../README.md#metrics).

Durations are in seconds. A node reports what happened at itself: sum over the nodes. No label ever holds the id of a user or of a call.

";

const TAIL: &str = "
## The process

On Linux, as Prometheus clients have them: `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds`,
`process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_start_time_seconds`, `process_threads`.
";

/// Every metric, as Markdown.
pub fn document() -> String {
    let metrics = Metrics::new();
    let mut text = String::from(HEAD);
    text.push_str("| Metric | Type | Labels | |\n|---|---|---|---|\n");
    for Entry { name, kind, labels, help, .. } in &metrics.book.entries {
        let labels: Vec<_> = labels.iter().map(|(label, _)| format!("`{label}`")).collect();
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    text.push_str("\n## Label values\n\n| Metric | Label | Values |\n|---|---|---|\n");
    for Entry { name, labels, .. } in &metrics.book.entries {
        for (label, words) in labels.iter().filter(|(_, words)| !words.is_empty()) {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            let _ = writeln!(text, "| `{name}` | `{label}` | {} |", words.join(", "));
        }
    }
    text.push_str("\n## Buckets\n\nIn seconds.\n\n| Metric | Upper bounds |\n|---|---|\n");
    for Entry { name, buckets, .. } in metrics.book.entries.iter().filter(|entry| !entry.buckets.is_empty()) {
        let bounds: Vec<_> = buckets.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "| `{name}` | {} |", bounds.join(", "));
    }
    text.push_str(TAIL);
    text
}
