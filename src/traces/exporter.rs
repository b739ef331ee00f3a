//! Sends spans to the collector, in the background and in batches. A collector that is away costs the spans, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response as Answer, StatusCode};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::config::TracesConfig;
use crate::ids::NodeId;
use crate::metrics::{Metrics, Traced};
use crate::traces::otlp::{Request, Resource, Response};
use crate::traces::span::Span;

/// Spans in one request: few enough that writing them holds nobody up.
const BATCH: usize = 256;
/// How long a span waits for others to go with.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// How long one request may take, with the connection that it may need.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a batch is tried, and after which pauses: a collector may be replaced. One that is known to be away is tried once.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// A collector has not much to say.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The way to the collector.
pub struct Exporter {
    queue: mpsc::Receiver<Span>,
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
    resource: Resource,
    metrics: Arc<Metrics>,
    /// Nothing gets there, and that was said.
    is_down: bool,
}

/// Why a batch did not get there.
struct Trouble {
    why: String,
    is_lasting: bool,
}

impl Exporter {
    pub(super) fn new(
        config: &TracesConfig,
        node: &NodeId,
        queue: mpsc::Receiver<Span>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            // Tried when it was read.
            if let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) {
                value.set_sensitive(true);
                headers.append(name.clone(), value);
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Self {
            queue,
            client: client(config.is_here),
            endpoint: config.endpoint.clone(),
            headers,
            resource: resource(config, node),
            metrics,
            is_down: false,
        }
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
        let body = Request::new(&self.resource, batch).encode_to_vec();
        let pauses = if self.is_down || stop.is_none() { &[] } else { &PAUSES[..] };
        let mut sent = self.post(body.clone()).await;
        for pause in pauses {
            let (Some(stop), true) = (stop, sent.as_ref().is_err_and(|trouble| !trouble.is_lasting)) else { break };
            // Waits for the collector, or for the node to stop.
            let _ = tokio::time::timeout(*pause, stop.cancelled()).await;
            sent = self.post(body.clone()).await;
        }
        self.note(count, sent);
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

    /// How many spans the collector rejected.
    async fn post(&self, body: Vec<u8>) -> Result<u64, Trouble> {
        let request = self.client.post(self.endpoint.clone()).headers(self.headers.clone()).body(body);
        let answer = request.send().await.map_err(|error| lost(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(read(answer).await.rejected());
        }
        // As OTLP has it: whatever else is answered, the same is answered again.
        let may_pass = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err(Trouble { why: format!("it answers {}", status.as_u16()), is_lasting: !may_pass })
    }
}

/// What a collector says that has taken the spans: nothing, most often, and nothing if that cannot be read.
async fn read(mut answer: Answer) -> Response {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = answer.chunk().await {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Response::default();
        }
        body.extend_from_slice(&piece);
    }
    Response::decode(&*body).unwrap_or_default()
}

/// Why there is no answer. The text of the error names the address, which may hold a key, so it is not repeated.
fn lost(error: &reqwest::Error) -> Trouble {
    let why = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the connection broke"
    };
    Trouble { why: why.into(), is_lasting: false }
}

fn client(is_here: bool) -> Client {
    let builder = Client::builder()
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .redirect(Policy::none())
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")));
    // Not behind the proxy that the environment may name.
    let builder = if is_here { builder.no_proxy() } else { builder };
    // Fails only where the system's resolver or cryptography cannot be set up, and then everything does.
    builder.build().expect("an HTTP client without special wishes")
}

/// What is said of this node; what the operator says of it counts more.
fn resource(config: &TracesConfig, node: &NodeId) -> Resource {
    let own = [
        ("service.name", config.service_name.as_str()),
        ("service.instance.id", node.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let is_said = |key: &str| config.resource.iter().any(|(said, _)| said == key);
    let own = own.into_iter().filter(|(key, _)| !is_said(key)).map(|(key, value)| (key.to_owned(), value.to_owned()));
    Resource::new(own.chain(config.resource.iter().cloned()))
}
