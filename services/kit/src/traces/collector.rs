//! The way of spans to the collector: a bounded queue, batches, and a deadline for each. What does not fit, or is not taken in time, is lost:
//! traces are a help, and nothing waits for them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use metrics::counter;
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter},
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};
use tracing::{info, warn};
use url::Url;

/// Spans that may wait; further ones are lost.
const QUEUE: usize = 2048;
/// Spans that are sent together.
const BATCH: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// What one batch may take, with its repetitions and the making of a connection.
const DEADLINE: Duration = Duration::from_secs(5);
/// The least time between two complaints about the collector.
const SILENCE: Duration = Duration::from_secs(60);

/// Sends spans to the collector at `endpoint`, with the headers of the variable OTEL_EXPORTER_OTLP_HEADERS. It connects when there is
/// something to send. Needs the runtime.
pub(super) fn processor(endpoint: &str) -> Result<BatchSpanProcessor> {
    let otlp = Otlp::builder().with_tonic().with_endpoint(endpoint).with_timeout(DEADLINE).build()?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(LINGER)
        .build();
    let collector = Collector { otlp: Arc::new(otlp), runtime: Handle::try_current()?, complaints: Mutex::default() };
    Ok(BatchSpanProcessor::builder(collector).with_batch_config(batches).build())
}

/// Reads the address of a collector. One with `https` is refused: the collector, or an agent of it, is expected nearby. So is one with
/// credentials, which would be logged.
pub(super) fn parse_endpoint(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host());
    let url =
        url.ok_or("must be http://HOST:PORT, such as http://127.0.0.1:4317; TLS is the part of a collector nearby")?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    is_bare
        .then(|| text.to_owned())
        .ok_or("must be http://HOST:PORT alone; give credentials by OTEL_EXPORTER_OTLP_HEADERS")
}

/// A collector that may be away.
#[derive(Debug)]
struct Collector {
    otlp: Arc<Otlp>,
    runtime: Handle,
    complaints: Mutex<Complaints>,
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (otlp, count) = (self.otlp.clone(), batch.len());
        // The caller is a thread of its own, without timers. A batch that is given up lasts no longer than its deadline either.
        let sending = self.runtime.spawn(async move { timeout(DEADLINE, otlp.export(batch)).await });
        let result = match sending.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(OTelSdkError::Timeout(DEADLINE)),
            Err(_) => Err(OTelSdkError::InternalFailure("the process ends".into())),
        };
        self.note(&result, count);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // The first thing that happens: nobody else has it yet.
        if let Some(otlp) = Arc::get_mut(&mut self.otlp) {
            otlp.set_resource(resource);
        }
    }
}

impl Collector {
    fn note(&self, result: &OTelSdkResult, count: usize) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) if complaints.end() => info!("the collector takes spans again"),
            Ok(()) => {}
            Err(error) => {
                counter!("comanda_lost_spans_total").increment(count as u64);
                if complaints.is_due(Instant::now()) {
                    warn!("the collector takes no spans, they are lost: {error}");
                }
            }
        }
    }
}

/// When it was last said that the collector takes nothing, since it last took something.
#[derive(Debug, Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    /// Whether it is to be said now.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|last| now - last >= SILENCE);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }

    /// The collector took something. True if it did not before.
    fn end(&mut self) -> bool {
        self.0.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_scheme_host_and_port() {
        for good in ["http://127.0.0.1:4317", "http://collector:4317", "http://[::1]:4317"] {
            assert_eq!(parse_endpoint(good).as_deref(), Ok(good));
        }
        for wrong in [
            "127.0.0.1:4317",
            "collector",
            "https://collector:4317",
            "http://ana:secret@collector:4317",
            "http://c?key=x",
        ] {
            assert!(parse_endpoint(wrong).is_err_and(|message| !message.contains("secret")), "{wrong}");
        }
    }

    #[test]
    fn a_collector_that_is_away_is_told_of_once_a_minute() {
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        assert!(!complaints.end(), "nothing was said");
        let due: Vec<_> = (0..130).filter(|second| complaints.is_due(now + Duration::from_secs(*second))).collect();
        assert_eq!(due, [0, 60, 120]);
        assert!(complaints.end() && !complaints.end());
        assert!(complaints.is_due(now + Duration::from_secs(131)), "it is away again");
    }
}
