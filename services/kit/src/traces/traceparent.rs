//! The place of a span in a trace, as it is written into headers (<https://www.w3.org/TR/trace-context/>).

use std::fmt;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tonic::codegen::http::HeaderMap;

/// The name of the header, in HTTP and on Kafka.
pub use comanda_proto::topics::TRACEPARENT as HEADER;

/// A trace, the span in it that something belongs to, and whether the trace is sampled. What a caller says beside it (`tracestate`) is not
/// kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Traceparent {
    trace: TraceId,
    span: SpanId,
    is_sampled: bool,
}

impl Traceparent {
    /// Reads a header's value; `None` for one that is none, which the standard says to ignore. Of a version above 00 the known part is read.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = hex(version, 2)? != 0xff && (version != "00" || parts.next().is_none());
        let (trace, span, flags) = (hex(trace, 32)?, hex(span, 16)?, hex(flags, 2)?);
        (is_known && trace != 0 && span != 0).then(|| Self {
            trace: TraceId::from(trace),
            span: SpanId::from(span as u64),
            is_sampled: flags & 1 == 1,
        })
    }

    /// That of a request. Two are as good as none.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(HEADER).into_iter();
        let only = values.next().filter(|_| values.next().is_none())?;
        Self::parse(only.to_str().ok()?)
    }

    /// That of a span of ours.
    pub fn of_span(context: &SpanContext) -> Self {
        Self { trace: context.trace_id(), span: context.span_id(), is_sampled: context.is_sampled() }
    }

    /// Whether somebody wants to see the trace.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// As OpenTelemetry has it.
    pub(super) fn context(&self) -> SpanContext {
        let flags = TraceFlags::default().with_sampled(self.is_sampled);
        SpanContext::new(self.trace, self.span, flags, true, TraceState::NONE)
    }
}

/// As it is written into headers, in version 00.
impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.is_sampled))
    }
}

/// The number that so many lower-case hexadecimal digits are.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(text, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn written(text: &str) -> Option<String> {
        Traceparent::parse(text).map(|traceparent| traceparent.to_string())
    }

    #[test]
    fn a_traceparent_is_read_and_written() {
        assert_eq!(written(GOOD).as_deref(), Some(GOOD));
        let unsampled = GOOD.replace("-01", "-00");
        assert_eq!(written(&unsampled), Some(unsampled.clone()));
        let is_sampled = |flags: &str| Traceparent::parse(&GOOD.replace("-01", flags)).map(|t| t.is_sampled());
        assert_eq!((is_sampled("-03"), is_sampled("-02"), is_sampled("-ff")), (Some(true), Some(false), Some(true)));
        assert_eq!(written(&GOOD.replace("-01", "-03")).as_deref(), Some(GOOD), "other flags are not ours to set");
    }

    #[test]
    fn of_a_later_version_the_known_part_is_read() {
        for later in [GOOD.replacen("00", "cc", 1), format!("{}-what-follows", GOOD.replacen("00", "01", 1))] {
            assert_eq!(written(&later).as_deref(), Some(GOOD), "{later}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_ignored() {
        let wrong = [
            String::new(),
            "00".into(),
            GOOD.to_uppercase(),
            format!(" {GOOD}"),
            format!("{GOOD}-00"),
            format!("{GOOD}0"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0", 1),
            GOOD.replace("0af7", "+af7"),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            GOOD.replace("b7ad6b7169203331", "b7ad6b716920333"),
            GOOD.replace('-', "_"),
        ];
        for wrong in wrong {
            assert_eq!(Traceparent::parse(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_request_has_one_or_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(Traceparent::of(&headers), None);
        headers.append(HEADER, GOOD.parse().expect("a value"));
        assert_eq!(Traceparent::of(&headers), Traceparent::parse(GOOD));
        headers.append(HEADER, GOOD.parse().expect("a value"));
        assert_eq!(Traceparent::of(&headers), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_in_the_form_of_version_00(text in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?|.{0,60}") {
            if let Some(written) = written(&text) {
                prop_assert_eq!(written.len(), 55);
                prop_assert_eq!(Traceparent::parse(&written), Traceparent::parse(&text));
            }
        }
    }
}
