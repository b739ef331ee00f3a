//! The ids of traces and spans, those of calls above all, and which calls are traced.

use std::fmt;
use std::num::NonZeroU64;

use crate::ids::CallId;

/// A trace. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TraceId {
    // A u128 would make room for itself in every message.
    high: u64,
    low: u64,
}

/// A span. Never zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SpanId(NonZeroU64);

impl TraceId {
    /// That of a call: the same 128 bits.
    pub(super) fn of(call: CallId) -> Self {
        Self::from_u128(call.to_u128())
    }

    #[expect(clippy::cast_possible_truncation, reason = "one half and the other")]
    fn from_u128(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    fn to_u128(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.to_u128().to_be_bytes()
    }
}

impl SpanId {
    pub(super) fn random() -> Self {
        Self::of(rand::random())
    }

    fn of(bits: u64) -> Self {
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    pub(super) fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

/// A place in a trace that is taken: where what follows from it begins, on whichever node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

impl Context {
    /// The span of a whole call. Every node knows it by the call id: its first half, which is not zero, as it says which kind of UUID
    /// it is.
    pub(super) fn of_call(call: CallId) -> Self {
        let trace = TraceId::of(call);
        Self { trace, span: SpanId::of(trace.high) }
    }

    /// The beginning of a trace of its own.
    pub(super) fn random() -> Self {
        Self { trace: TraceId::from_u128(rand::random::<u128>().max(1)), span: SpanId::random() }
    }

    /// Another span in the same trace.
    pub(super) fn sibling(self) -> Self {
        Self { span: SpanId::random(), ..self }
    }

    /// What [`fmt::Display`] has written; `None` for anything else, and for what is not traced.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("00-")?;
        let (trace, rest) = rest.split_once('-')?;
        let (span, flags) = rest.split_once('-')?;
        let is_hex = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex(trace, 32) || !is_hex(span, 16) || flags != "01" {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
        let span = NonZeroU64::new(u64::from_str_radix(span, 16).ok()?)?;
        Some(Self { trace: TraceId::from_u128(trace), span: SpanId(span) })
    }
}

/// As `traceparent` of W3C Trace Context, of what is sampled.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace.to_u128(), self.span.0)
    }
}

/// Which traces are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    /// The least randomness with which a trace is kept.
    threshold: u64,
}

impl Sampler {
    /// Bits of a trace id that are random: its last seven bytes (W3C Trace Context Level 2, Random Trace ID Flag). In the eighth a
    /// UUID says which kind it is; a sampler that looks at that takes a quarter of all ratios for another one.
    const RANDOM_BITS: u32 = 56;

    /// One that keeps this part of all traces.
    pub(super) fn new(ratio: f64) -> Self {
        let all = 1_u64 << Self::RANDOM_BITS;
        #[expect(clippy::cast_precision_loss, reason = "a part of all traces need not be exact")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and all of them")]
        let refused = ((1.0 - ratio.clamp(0.0, 1.0)) * all as f64) as u64;
        Self { threshold: refused }
    }

    /// Whether it keeps this one.
    pub(super) fn takes(self, trace: TraceId) -> bool {
        let random = trace.low & ((1 << Self::RANDOM_BITS) - 1);
        random >= self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_trace_and_one_place_in_it() {
        let call = CallId::parse("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap();
        assert_eq!(Context::of_call(call).to_string(), "00-67e5504410b1426f9247bb680e5fe0c8-67e5504410b1426f-01");
        for n in [1, u128::from(u64::MAX)] {
            assert_eq!(Context::of_call(CallId::from_u128(n)).span, SpanId::of(1), "it is never zero");
        }
    }

    #[test]
    fn a_context_is_read_back_as_it_was_written() {
        for context in [Context::random(), Context::random().sibling(), Context::of_call(CallId::random())] {
            assert_eq!(Context::parse(&context.to_string()), Some(context));
        }
        let good = "00-67e5504410b1426f9247bb680e5fe0c8-67e5504410b1426f-01";
        assert!(Context::parse(good).is_some());
        assert_eq!(size_of::<Option<Context>>(), 24);
        let bad = [
            "",
            "00-ab",
            &good.replace("-01", "-00"),
            &good.replace("00-", "01-"),
            &good.replace("67e55044", "+7e55044"),
            &good.replace("67e5504410b1426f", "0000000000000000"),
            &format!("{good}-"),
            "é0-67e5504410b1426f9247bb680e5fe0c8-67e5504410b1426f-01",
        ];
        for bad in bad.into_iter().filter(|bad| *bad != good) {
            let parsed = Context::parse(bad);
            assert!(parsed.is_none(), "{bad}: {parsed:?}");
        }
    }

    #[test]
    fn a_ratio_is_that_part_of_the_calls() {
        let calls: Vec<TraceId> = (0..10_000).map(|_| TraceId::of(CallId::random())).collect();
        let kept = |ratio| calls.iter().filter(|trace| Sampler::new(ratio).takes(**trace)).count();
        assert_eq!((kept(0.0), kept(1.0)), (0, 10_000));
        for (ratio, expected) in [(0.1, 1_000), (0.25, 2_500), (0.5, 5_000), (0.9, 9_000)] {
            assert!(kept(ratio).abs_diff(expected) < 300, "{ratio}: {}", kept(ratio));
        }
        // Whoever keeps a call at a low ratio keeps it at a higher one.
        assert!(calls.iter().all(|trace| !Sampler::new(0.1).takes(*trace) || Sampler::new(0.5).takes(*trace)));
    }
}
