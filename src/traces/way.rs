//! How the exporter of OpenTelemetry speaks to the collector: by the clients that all of this server has, and with a memory of what was
//! answered last, of which the exporter itself says too little.

use std::sync::Arc;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use parking_lot::Mutex;
use prost::Message;
use secrecy::ExposeSecret;

use crate::config::TracesConfig;
use crate::outbound::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use crate::outbound::{Client, Failure, Manner, StatusCode};

/// A collector has not much to say.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// The way to one collector.
#[derive(Clone, Debug)]
pub(super) struct Way {
    client: Client,
    /// What the operator has sent along; secret.
    headers: HeaderMap,
    /// What the last request came to.
    last: Arc<Mutex<Result<u64, Trouble>>>,
}

/// Why a batch did not get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) why: String,
    /// Whether the same would be answered again.
    pub(super) is_lasting: bool,
}

impl Way {
    pub(super) fn new(config: &TracesConfig) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            // Tried when it was read.
            if let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) {
                value.set_sensitive(true);
                headers.append(name.clone(), value);
            }
        }
        Self { client: Client::new(&config.endpoint, Manner::Often), headers, last: Arc::new(Mutex::new(Ok(0))) }
    }

    /// How many spans the collector did not want of those that were sent last, or why it has got none.
    pub(super) fn came_to(&self, is_sent: bool) -> Result<u64, Trouble> {
        let last = std::mem::replace(&mut *self.last.lock(), Ok(0));
        match last {
            Ok(_) if !is_sent => Err(Trouble { why: "the request could not be made".into(), is_lasting: true }),
            last => last,
        }
    }
}

#[async_trait]
impl HttpClient for Way {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        // Not what else the exporter has found in the environment: that may be for another collector.
        let mut headers = self.headers.clone();
        headers.extend(parts.headers.get(CONTENT_TYPE).cloned().map(|kind| (CONTENT_TYPE, kind)));
        let answer = self.client.post(parts.uri.to_string().parse()?, headers, body.into(), ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|failure| {
            *self.last.lock() = Err(lost(&failure));
            failure.kind()
        })?;
        let body = answer.body.unwrap_or_default();
        *self.last.lock() = if answer.status.is_success() { Ok(rejected(&body)) } else { Err(refused(answer.status)) };
        let mut response = Response::new(body.into());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// How many spans a collector did not want, that has taken the others: nothing, most often, and nothing if that cannot be read.
fn rejected(body: &[u8]) -> u64 {
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    answer.partial_success.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or_default()
}

fn lost(failure: &Failure) -> Trouble {
    Trouble { why: failure.kind().into(), is_lasting: false }
}

fn refused(status: StatusCode) -> Trouble {
    // As OTLP has it: whatever else is answered, the same is answered again.
    let may_pass = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    Trouble { why: format!("it answers {}", status.as_u16()), is_lasting: !may_pass }
}
