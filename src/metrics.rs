//! What is counted and measured: one struct, [`Metrics`], in which each metric is a field whose documentation is its help text, and
//! [`Exposition`], the text that Prometheus reads.
//!
//! [`Metrics`] is handed to those who record; every series is looked up once, and recording is an atomic addition. What is
//! there to be looked at (connections, queues) is looked at when somebody reads.
//!
//! What it does not do: it knows no other room. Label values are the closed sets in `labels`; no id ever becomes one.

mod buckets;
mod catalogue;
mod document;
mod exposition;
mod kinds;
mod labels;
mod registry;

pub use catalogue::Metrics;
pub use document::document;
pub use exposition::Exposition;
pub use kinds::{Counter, Counters, Gauge, Gauges, Histogram, Histograms, Info, Tallies};
pub use labels::{
    Answer, Connect, Ended, EventIn, EventOut, Expelled, FoundBy, Handshake, Label, Left, Limit, NotPushed, Operation,
    Queue, Reload, Road, Rung, Sending, Slow, WebhookEvent, WebhookOutcome,
};

#[cfg(test)]
mod tests;
