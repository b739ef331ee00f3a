//! Sends spans to the collector, in the background and in batches. A collector that is away costs the spans, and nothing else.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::TracesConfig;
use crate::ids::NodeId;
use crate::metrics::{Metrics, Traced};
use crate::outbound;
use crate::traces::span::Span;
use crate::traces::way::{Trouble, Way};

/// Spans in one request: few enough that writing them holds nobody up.
const BATCH: usize = 256;
/// How long a span waits for others to go with.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// How often a batch is tried, and after which pauses: a collector may be replaced. One that is known to be away is tried once.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// Sends spans for as long as the node runs.
pub struct Exporter {
    queue: mpsc::Receiver<Span>,
    collector: SpanExporter,
    way: Way,
    metrics: Arc<Metrics>,
    /// Nothing gets there, and that was said.
    is_down: bool,
}

impl Exporter {
    pub(super) fn new(
        config: &TracesConfig,
        node: &NodeId,
        queue: mpsc::Receiver<Span>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let way = Way::new(config);
        // What is said here counts more than what the library finds in the environment by itself.
        let collector = SpanExporter::builder()
            .with_http()
            .with_http_client(way.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.endpoint.as_str())
            .with_headers(HashMap::new())
            .with_timeout(outbound::TIMEOUT)
            // It would count the attempts, but not say which batch was lost.
            .with_retry_policy(RetryPolicy::disabled())
            .build();
        let mut collector = collector.map_err(io::Error::other)?;
        collector.set_resource(&resource(config, node));
        Ok(Self { queue, collector, way, metrics, is_down: false })
    }

    /// Sends what comes until `stop`, and then what is left, once.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        while self.gather(&mut batch, &stop).await {
            self.deliver(std::mem::take(&mut batch), Some(&stop)).await;
        }
        self.queue.close();
        loop {
            let room = BATCH - batch.len();
            if self.queue.recv_many(&mut batch, room).await == 0 && batch.is_empty() {
                return;
            }
            self.deliver(std::mem::take(&mut batch), None).await;
        }
    }

    /// Waits for a batch; `false` when this is to stop, with what has come until then.
    async fn gather(&mut self, batch: &mut Vec<Span>, stop: &CancellationToken) -> bool {
        // Waits for the first span, or for the end.
        let first = tokio::select! {
            count = self.queue.recv_many(batch, BATCH) => count,
            () = stop.cancelled() => 0,
        };
        let mut over = std::pin::pin!(tokio::time::sleep(GATHERED_FOR));
        let mut is_open = first > 0;
        while is_open && batch.len() < BATCH {
            let room = BATCH - batch.len();
            // Waits for others, for as long as the first one may wait.
            tokio::select! {
                count = self.queue.recv_many(batch, room) => is_open = count > 0,
                () = &mut over => break,
                () = stop.cancelled() => is_open = false,
            }
        }
        is_open
    }

    /// Sends a batch, if need be several times unless the node stops, and says what became of it.
    async fn deliver(&mut self, batch: Vec<Span>, stop: Option<&CancellationToken>) {
        let count = batch.len() as u64;
        let batch: Vec<SpanData> = batch.into_iter().map(SpanData::from).collect();
        let pauses = if self.is_down || stop.is_none() { &[] } else { &PAUSES[..] };
        let mut sent = self.post(batch.clone()).await;
        for pause in pauses {
            let (Some(stop), true) = (stop, sent.as_ref().is_err_and(|trouble| !trouble.is_lasting)) else { break };
            // Waits for the collector, or for the node to stop.
            let _ = tokio::time::timeout(*pause, stop.cancelled()).await;
            sent = self.post(batch.clone()).await;
        }
        self.note(count, sent);
    }

    /// How many spans the collector rejected.
    async fn post(&self, batch: Vec<SpanData>) -> Result<u64, Trouble> {
        // What it says is for people; the way knows what was answered.
        let exported = self.collector.export(batch).await;
        self.way.came_to(exported.is_ok())
    }

    fn note(&mut self, count: u64, sent: Result<u64, Trouble>) {
        let metrics = &self.metrics.trace_spans;
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                metrics.add(Traced::Rejected, rejected);
                metrics.add(Traced::Exported, count - rejected);
                if std::mem::take(&mut self.is_down) {
                    tracing::info!("the collector takes traces again");
                }
            }
            Err(Trouble { why, .. }) => {
                metrics.add(Traced::NotSent, count);
                if !std::mem::replace(&mut self.is_down, true) {
                    tracing::warn!(why, "the collector does not take traces; they are dropped until it does");
                }
            }
        }
    }
}

/// What is said of this node; what the operator says of it counts more.
fn resource(config: &TracesConfig, node: &NodeId) -> Resource {
    let own = [
        ("service.name", config.service_name.as_str()),
        ("service.instance.id", node.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let is_said = |key: &str| config.resource.iter().any(|(said, _)| said == key);
    let own = own.into_iter().filter(|(key, _)| !is_said(key)).map(|(key, value)| KeyValue::new(key, value.to_owned()));
    let said = config.resource.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    // An empty one, as others look around in the environment.
    Resource::builder_empty().with_attributes(own.chain(said)).build()
}
