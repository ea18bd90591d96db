//! Distributed traces, sent to an OpenTelemetry collector. Off unless a collector is named: then all of this costs one look at a flag.
//!
//! In: the [`Traceparent`] of a caller, of a record or of an order. Out: spans. A call gets a span if its caller asks for one, or by chance
//! ([`call`]). The order that the call places keeps the span's traceparent. Work on many records at a time is a child of no order, so its
//! span has links to the orders' traces ([`linked`]). The [`collector`] bounds what waits, and for how long; nobody else ever waits.

pub mod call;
pub mod collector;
pub mod traceparent;

use std::{collections::HashSet, sync::OnceLock, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
pub use opentelemetry::trace::{SpanBuilder, SpanKind};
use opentelemetry::{
    Array, Context, KeyValue, StringValue, Value,
    trace::{Link, Span as _, Status, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tracing::{info, warn};

pub use self::traceparent::Traceparent;

/// The most links that a span has, as OpenTelemetry has it.
const MOST_LINKS: usize = 128;
/// How long the end of the process waits for the last spans to be sent.
const FLUSH: Duration = Duration::from_secs(1);

/// Settings of traces.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// The OpenTelemetry collector that gets this process's traces, by OTLP over gRPC, such as http://127.0.0.1:4317 [default: none, and no
    /// traces].
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, value_name = "URL",
        value_parser = collector::parse_endpoint)]
    pub otlp_endpoint: Option<String>,
    /// How many of a hundred calls are traced that come without a traceparent, such as 0.5. One with a traceparent is traced if that is
    /// sampled.
    #[arg(long, env = "COMANDA_TRACE_PERCENT", value_name = "PERCENT", default_value = "0", value_parser = call::parse_percent)]
    pub trace_percent: f64,
    /// The name of this process in traces.
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME", default_value = "comanda")]
    pub trace_service_name: String,
}

impl Config {
    /// Begins to trace this process, which has these roles, if a collector is named. Needs the runtime. Fails on settings that cannot be
    /// used; a collector that is not there is none of them.
    pub fn start(&self, roles: &[&'static str]) -> Result<()> {
        let Some(endpoint) = &self.otlp_endpoint else { return Ok(()) };
        let processor = collector::processor(endpoint).context("traces cannot be sent as the settings say")?;
        let provider = SdkTracerProvider::builder()
            // Who gets a span is decided before one is made.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(self.resource(roles))
            .with_span_processor(processor)
            .build();
        let traces = Traces { tracer: provider.tracer("comanda"), provider, percent: self.trace_percent };
        if TRACES.set(traces).is_ok() {
            info!("traces go to {endpoint}");
        }
        Ok(())
    }

    fn resource(&self, roles: &[&'static str]) -> Resource {
        let roles = roles.iter().map(|role| StringValue::from(*role)).collect();
        Resource::builder()
            .with_service_name(self.trace_service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("comanda.roles", Value::Array(Array::String(roles))))
            .build()
    }
}

/// The traces of this process, like its log and its metrics.
static TRACES: OnceLock<Traces> = OnceLock::new();

struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    percent: f64,
}

/// Whether this process is traced.
pub fn are_on() -> bool {
    TRACES.get().is_some()
}

/// Sends what is left, within a second, and ends the traces of this process. Blocks the thread, which must be none of the runtime's.
pub fn stop() {
    let Some(traces) = TRACES.get() else { return };
    if let Err(error) = traces.provider.shutdown_with_timeout(FLUSH) {
        warn!("the last spans were not sent: {error}");
    }
}

/// Work under way. It ends when this is dropped.
#[derive(Debug)]
pub struct Span(opentelemetry_sdk::trace::Span);

impl Span {
    /// Notes that the work has failed.
    pub fn fail(&mut self, why: &'static str) {
        self.0.set_status(Status::error(why));
    }

    /// What refers to this span.
    pub fn traceparent(&self) -> Traceparent {
        Traceparent::of_span(self.0.span_context())
    }

    /// Notes an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.set_attribute(KeyValue::new(key, value));
    }
}

/// Begins the span that `describe` describes, with a link to each of these traces that is sampled, at most 128. Where there is none, or this
/// process is not traced, nothing is made.
pub fn linked<'a>(
    traceparents: impl IntoIterator<Item = &'a str>,
    describe: impl FnOnce() -> SpanBuilder,
) -> Option<Span> {
    let traces = TRACES.get()?;
    let links = links(traceparents);
    (!links.is_empty()).then(|| Span(traces.tracer.build_with_context(describe().with_links(links), &Context::new())))
}

/// Begins the span of work on records of a topic: what is done with them, and the traceparents of those that have one. See [`linked`].
pub fn records<'a>(
    kind: SpanKind,
    what: &'static str,
    topic: &str,
    traceparents: impl IntoIterator<Item = &'a str>,
) -> Option<Span> {
    linked(traceparents, || {
        let attributes =
            [KeyValue::new("messaging.system", "kafka"), KeyValue::new("messaging.destination.name", topic.to_owned())];
        SpanBuilder::from_name(format!("{what} {topic}")).with_kind(kind).with_attributes(attributes)
    })
}

/// Orders that were placed by one call have the same traceparent: it is linked once.
fn links<'a>(traceparents: impl IntoIterator<Item = &'a str>) -> Vec<Link> {
    let mut seen = HashSet::new();
    let sampled = traceparents.into_iter().filter_map(Traceparent::parse).filter(Traceparent::is_sampled);
    let new = sampled.filter(|traceparent| seen.insert(traceparent.clone()));
    new.take(MOST_LINKS).map(|traceparent| Link::with_context(traceparent.context())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traceparent(n: usize, flags: &str) -> String {
        format!("00-{:032x}-{:016x}-{flags}", n + 1, n + 1)
    }

    #[test]
    fn each_sampled_trace_is_linked_once_and_at_most_128_are() {
        let texts =
            [traceparent(1, "01"), traceparent(2, "00"), "nonsense".into(), traceparent(1, "01"), traceparent(3, "01")];
        let linked = links(texts.iter().map(String::as_str));
        let ids: Vec<_> =
            linked.iter().map(|link| u64::from_be_bytes(link.span_context.span_id().to_bytes())).collect();
        assert_eq!(ids, [2, 4]);
        let many: Vec<_> = (0..500).map(|n| traceparent(n, "01")).collect();
        assert_eq!(links(many.iter().map(String::as_str)).len(), MOST_LINKS);
    }

    #[test]
    fn a_process_that_is_not_traced_looks_at_nothing() {
        assert!(!are_on());
        let untouched = std::iter::from_fn(|| panic!("looked at for nothing"));
        assert!(records(SpanKind::Consumer, "process", "orders", untouched).is_none());
        stop();
    }
}
