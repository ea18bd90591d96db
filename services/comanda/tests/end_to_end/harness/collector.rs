//! An OpenTelemetry collector that keeps what it is sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use comanda_kit::testing::eventually;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span},
};
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A trace and a span in it, in hexadecimal digits.
pub type Place = (String, String);

/// A span as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub name: String,
    pub is_server: bool,
    pub place: Place,
    /// The span of the caller; empty where there is none.
    pub parent: String,
    pub links: Vec<Place>,
    pub attributes: BTreeMap<String, String>,
    /// Of the process.
    pub resource: BTreeMap<String, String>,
}

/// The collector. It ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    /// For `--otlp-endpoint`.
    pub url: String,
    kept: Kept,
    serving: AbortHandle,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Seen>>>,
    credentials: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let (kept, listener) = (Kept::default(), TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Server::builder().add_service(TraceServiceServer::new(kept.clone()));
        let serving = tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener))).abort_handle();
        Self { url, kept, serving }
    }

    /// Everything that came.
    pub fn spans(&self) -> Vec<Seen> {
        self.kept.spans.lock().expect("no holder of this lock panics").clone()
    }

    /// The headers `authorization` that came.
    pub fn credentials(&self) -> Vec<String> {
        self.kept.credentials.lock().expect("no holder of this lock panics").clone()
    }

    /// Waits until `at_least` spans with this name were received, and returns them.
    pub async fn named(&self, name: &str, at_least: usize) -> Vec<Seen> {
        eventually(&format!("{at_least} spans {name}"), async || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.name == name).collect();
            (spans.len() >= at_least).then_some(spans)
        })
        .await
    }

    /// Waits until a span of a name has come, of which there must be one alone.
    pub async fn only(&self, name: &str) -> Seen {
        let mut spans = self.named(name, 1).await;
        assert_eq!(spans.len(), 1, "{name}");
        spans.remove(0)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
        if std::thread::panicking() {
            self.spans().iter().for_each(|span| eprintln!("{span:?}"));
        }
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let shown = request.metadata().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.credentials.lock().expect("no holder of this lock panics").extend(shown);
        for of_process in request.into_inner().resource_spans {
            let resource = texts(of_process.resource.unwrap_or_default().attributes);
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let seen = spans.map(|span| seen(span, &resource));
            self.spans.lock().expect("no holder of this lock panics").extend(seen);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn seen(span: Span, resource: &BTreeMap<String, String>) -> Seen {
    Seen {
        name: span.name,
        is_server: span.kind == i32::from(span::SpanKind::Server),
        place: (hex(&span.trace_id), hex(&span.span_id)),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        attributes: texts(span.attributes),
        resource: resource.clone(),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|pair| (pair.key, text(pair.value.and_then(|value| value.value)))).collect()
}

fn text(value: Option<Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::ArrayValue(list)) => {
            list.values.into_iter().map(|value| text(value.value)).collect::<Vec<_>>().join(",")
        }
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
