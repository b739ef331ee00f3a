//! The form in which the exporter of OpenTelemetry takes spans.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    Link, SpanContext, SpanId as OtherSpanId, SpanKind, Status, TraceFlags, TraceId as OtherTraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::traces::ids::{Context, SpanId};
use crate::traces::span::{Kind, Span, Value};

impl From<Span> for SpanData {
    fn from(span: Span) -> Self {
        let Span { context, parent, name, kind, start, end, attributes, link, failure } = span;
        let mut links = SpanLinks::default();
        links.links.extend(link.map(|link| Link::with_context(place(link))));
        Self {
            span_context: place(context),
            parent_span_id: parent.map_or(OtherSpanId::INVALID, span_id),
            // It came in an envelope.
            parent_span_is_remote: kind == Kind::Consumer,
            span_kind: match kind {
                Kind::Internal => SpanKind::Internal,
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Producer => SpanKind::Producer,
                Kind::Consumer => SpanKind::Consumer,
            },
            name,
            start_time: moment(start),
            end_time: moment(end),
            attributes: attributes.into_iter().map(said).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: failure.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

fn place(context: Context) -> SpanContext {
    let trace = OtherTraceId::from_bytes(context.trace.bytes());
    SpanContext::new(trace, span_id(context.span), TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn span_id(id: SpanId) -> OtherSpanId {
    OtherSpanId::from_bytes(id.bytes())
}

fn moment(nanos: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanos)
}

fn said((key, value): (&'static str, Value)) -> KeyValue {
    match value {
        Value::Text(text) => KeyValue::new(key, text),
        Value::Number(number) => KeyValue::new(key, number),
    }
}
