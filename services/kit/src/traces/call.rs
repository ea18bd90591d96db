//! Which calls get a span, and what the span tells.

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, SpanKind, TraceContextExt, Tracer},
};
use tonic::{Code, codegen::http::Request};

use super::{Span, TRACES, Traceparent};
use crate::access::Scope;

/// The span of a call that is being answered.
#[derive(Debug)]
pub struct CallSpan {
    span: Span,
    is_answered: bool,
}

/// Begins the span of a call, if it is to have one. One whose caller has no scope, and so was not let in as anybody, has none: nobody else
/// makes this process work.
pub fn begin<B>(request: &Request<B>) -> Option<CallSpan> {
    let traces = TRACES.get()?;
    request.extensions().get::<Scope>()?;
    let parent = match decide(Traceparent::of(request.headers()), traces.percent, rand::random_range(0.0..100.0)) {
        Decision::NoSpan => return None,
        Decision::Child(parent) => Context::new().with_remote_span_context(parent.context()),
        Decision::Root => Context::new(),
    };
    let span = Span(traces.tracer.build_with_context(description(request.uri().path()), &parent));
    Some(CallSpan { span, is_answered: false })
}

impl CallSpan {
    /// What refers to this span.
    pub fn traceparent(&self) -> Traceparent {
        self.span.traceparent()
    }

    /// Notes how the call was answered.
    pub fn answered(&mut self, code: Code) {
        self.is_answered = true;
        self.span.set("rpc.grpc.status_code", i64::from(i32::from(code)));
        if is_failure(code) {
            self.span.fail(code.description());
        }
    }
}

/// An answer that was dropped, because the caller has gone or a limit has passed, is noted as cancelled.
impl Drop for CallSpan {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answered(Code::Cancelled);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    NoSpan,
    /// Of the caller's span.
    Child(Traceparent),
    /// The first span of a trace.
    Root,
}

/// A caller that says anything has decided; otherwise chance does. `draw` is from 0 up to, and without, 100.
fn decide(parent: Option<Traceparent>, percent: f64, draw: f64) -> Decision {
    match parent {
        Some(parent) if parent.is_sampled() => Decision::Child(parent),
        Some(_) => Decision::NoSpan,
        None if draw < percent => Decision::Root,
        None => Decision::NoSpan,
    }
}

fn description(path: &str) -> SpanBuilder {
    let name = path.trim_start_matches('/').to_owned();
    let (service, method) = name.rsplit_once('/').unwrap_or((&name, ""));
    let attributes = [
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.service", service.to_owned()),
        KeyValue::new("rpc.method", method.to_owned()),
    ];
    SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes(attributes)
}

/// Whether the server failed, and not the caller, as OpenTelemetry's conventions have it.
fn is_failure(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// Reads a share of a hundred.
pub fn parse_percent(text: &str) -> Result<f64, &'static str> {
    let percent = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
    percent.ok_or("must be a number from 0 to 100")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(flags: &str) -> Option<Traceparent> {
        Traceparent::parse(&format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"))
    }

    #[test]
    fn the_caller_decides_and_otherwise_chance() {
        let sampled = parent("01").expect("valid");
        for (percent, draw) in [(0.0, 0.0), (100.0, 99.9)] {
            assert_eq!(decide(parent("01"), percent, draw), Decision::Child(sampled.clone()));
            assert_eq!(decide(parent("00"), percent, draw), Decision::NoSpan);
        }
        assert_eq!(decide(None, 0.0, 0.0), Decision::NoSpan);
        assert_eq!((decide(None, 0.5, 0.4), decide(None, 0.5, 0.5)), (Decision::Root, Decision::NoSpan));
        assert_eq!(decide(None, 100.0, 99.999), Decision::Root);
    }

    #[test]
    fn a_share_is_a_number_from_0_to_100() {
        assert_eq!((parse_percent("0"), parse_percent("0.5"), parse_percent("100")), (Ok(0.0), Ok(0.5), Ok(100.0)));
        for wrong in ["-1", "100.1", "NaN", "inf", "a", ""] {
            assert!(parse_percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_span_is_named_after_its_rpc() {
        assert_eq!(description("/comanda.v1.OrderService/CreateOrder").name, "comanda.v1.OrderService/CreateOrder");
        assert!(is_failure(Code::Internal) && !is_failure(Code::NotFound) && !is_failure(Code::Cancelled));
    }
}
