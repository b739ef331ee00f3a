//! The text that Prometheus reads.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::TextEncoder;

use crate::metrics::Metrics;

/// Looks at something when metrics are read.
type Source = Box<dyn Fn(&Metrics) + Send + Sync>;

/// The metrics, and where to look before they are read.
pub struct Exposition {
    metrics: Arc<Metrics>,
    /// One reader at a time: totals that are kept elsewhere must not be added twice.
    sources: Mutex<Vec<Source>>,
}

impl Exposition {
    /// The media type of the text.
    pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

    /// Of `metrics`, which say the version that runs from here on.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        metrics.build_info.say(&[env!("CARGO_PKG_VERSION")]);
        Self { metrics, sources: Mutex::default() }
    }

    /// Has `source` look at something, and note it, whenever the metrics are read.
    pub fn look_at(&self, source: impl Fn(&Metrics) + Send + Sync + 'static) {
        self.sources.lock().push(Box::new(source));
    }

    /// The text.
    pub fn text(&self) -> String {
        let sources = self.sources.lock();
        for source in sources.iter() {
            source(&self.metrics);
        }
        let families = self.metrics.book.registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "the metrics could not be written");
            String::new()
        })
    }
}
