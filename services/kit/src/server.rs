//! The gRPC server of a process: its roles on one port, health, reflection, and bounds on what clients can do to it.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use futures::{Stream, stream};
use metrics::{counter, gauge};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::Sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
    service::Routes,
    transport::{
        Server,
        server::{Connected, TcpConnectInfo},
    },
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::{Layer, Service};
use tracing::{info, warn};

use crate::{access::Access, errors::ApiError, shutdown::Tasks};

/// Connections that the kernel keeps until they are accepted. With the 128 of `TcpListener::bind` those who came back together after a
/// restart were let wait for a second and more: what does not fit is dropped, and sent again.
const BACKLOG: u32 = 4096;
/// How long a new connection may stay silent before its HTTP/2 preface is complete.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Length of the HTTP/2 connection preface (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 256;
/// Streams that one connection may break the protocol on, as long as it lasts; then it is closed (GOAWAY, ENHANCE_YOUR_CALM). Each
/// takes about a kilobyte until the client has read of its reset. A client that opens calls before it has heard how many it may have
/// breaks one with each of those beyond.
const BROKEN_STREAMS_PER_CONNECTION: usize = 4096;
/// How long a call may take until it is answered, or its stream is open. Nothing else bounds a call whose message never comes, and
/// such calls of a few connections would take all places.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Pings find peers that are gone: a dead connection is closed after the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What connections get to finish after the stop, before they are dropped. Less than the hard stop of the process.
const DRAIN: Duration = Duration::from_secs(8);
const HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Settings of the server.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Connections that may be open at once; further ones wait to be accepted.
    #[arg(long, env = "COMANDA_MAX_CONNECTIONS", default_value_t = 10_000)]
    pub max_connections: usize,
    /// Calls that may be in progress at once; further ones are answered RESOURCE_EXHAUSTED. Open streams do not count.
    #[arg(long, env = "COMANDA_MAX_CALLS", default_value_t = 2048)]
    pub max_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: 10_000, max_calls: 2048 }
    }
}

/// What a role offers to the server of its process.
pub struct Endpoint {
    /// Adds the role's services.
    pub routes: Routes,
    /// Full names of the gRPC services, for health.
    pub services: Vec<&'static str>,
    /// Whether the role can do its work.
    pub ready: watch::Receiver<bool>,
}

/// Listens; fails with what to do about it.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listening = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As `TcpListener::bind` does: what a former process left half closed is no obstacle.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().with_context(|| format!("cannot listen on {address}; choose another address"))
}

/// Serves endpoints on one port, to the callers that `access` admits, until the stop, then drains for a bounded time.
pub fn serve(
    listener: TcpListener,
    endpoints: Vec<Endpoint>,
    limits: &Limits,
    access: Access,
    tasks: &Tasks,
) -> Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health_service)
        .add_service(reflection(|b| b.build_v1())?)
        .add_service(reflection(|b| b.build_v1alpha())?);
    let mut ready = Vec::new();
    for endpoint in endpoints {
        routes = Routes::from(routes.into_axum_router().merge(endpoint.routes.into_axum_router().reset_fallback()));
        ready.push((endpoint.services, endpoint.ready));
    }
    let (stop, reported) = (tasks.stop_token(), Arc::new(Notify::new()));
    tasks.spawn("health", report_health(health, ready, reported.clone(), stop.clone()));
    let mut server = Server::builder()
        .layer(Admission::new(limits.max_calls))
        .layer(access)
        .timeout(CALL_TIMEOUT)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        // A caller may give up all its calls at once. From the 21st on, the default ends the connection for its other calls too.
        .http2_max_pending_accept_reset_streams(Some(STREAMS_PER_CONNECTION as usize))
        // Unset means without end in tonic, not hyper's default.
        .http2_max_local_error_reset_streams(Some(BROKEN_STREAMS_PER_CONNECTION))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_LIST_BYTES);
    let incoming = accept(listener, limits.max_connections);
    tasks.spawn("server", async move {
        // tonic-health says SERVING until it is told otherwise.
        reported.notified().await;
        let serving = server.add_routes(routes).serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
        tokio::select! {
            result = serving => Ok(result?),
            () = after(stop, DRAIN) => {
                warn!("connections were still open {DRAIN:?} after the stop: dropping them");
                Ok(())
            }
        }
    });
    Ok(())
}

async fn after(stop: CancellationToken, delay: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(delay).await;
}

fn reflection<S>(
    build: impl FnOnce(tonic_reflection::server::Builder<'static>) -> Result<S, tonic_reflection::server::Error>,
) -> Result<S> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(comanda_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    build(builder).context("the descriptors are unusable")
}

/// Keeps health true: each service serves when its role is ready, the process ("") when all are; nothing serves after the stop.
async fn report_health(
    health: HealthReporter,
    mut roles: Vec<(Vec<&'static str>, watch::Receiver<bool>)>,
    reported: Arc<Notify>,
    stop: CancellationToken,
) -> Result<()> {
    loop {
        let mut all = !stop.is_cancelled();
        for (services, ready) in &mut roles {
            let serves = *ready.borrow_and_update() && !stop.is_cancelled();
            all &= serves;
            for service in services.iter() {
                health.set_service_status(*service, status(serves)).await;
            }
        }
        health.set_service_status("", status(all)).await;
        reported.notify_one();
        info!(serving = all, "health");
        if stop.is_cancelled() {
            return Ok(());
        }
        let changes = roles.iter_mut().map(|(_, ready)| {
            Box::pin(async {
                while ready.changed().await.is_err() {
                    std::future::pending::<()>().await
                }
            })
        });
        tokio::select! {
            _ = futures::future::select_all(changes) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn status(serves: bool) -> ServingStatus {
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// Accepts connections, at most `most` at a time. An accept that fails (too many open files) is tried again a little later.
fn accept(listener: TcpListener, most: usize) -> impl Stream<Item = Result<Connection, Infallible>> {
    let places = Arc::new(Semaphore::new(most));
    stream::unfold((listener, places), |(listener, places)| async {
        loop {
            let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, _)) => return Some((Ok(Connection::new(stream, place)), (listener, places))),
                Err(error) => {
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

/// A connection that must speak: until its preface has come it lives [`PREFACE_TIMEOUT`].
struct Connection {
    stream: TcpStream,
    silence: Option<(usize, Pin<Box<Sleep>>)>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
        // Without it small answers wait for the peer's delayed acks. Fails only on a socket that is gone.
        let _ = stream.set_nodelay(true);
        gauge!("comanda_connections").increment(1.0);
        Self { stream, silence: Some((0, Box::pin(tokio::time::sleep(PREFACE_TIMEOUT)))), _place: place }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        gauge!("comanda_connections").decrement(1.0);
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some((count, limit)) = &mut self.silence {
            *count += buf.filled().len() - before;
            if *count >= PREFACE_BYTES {
                self.silence = None;
            } else if poll.is_pending() && limit.as_mut().poll(cx).is_ready() {
                counter!("comanda_silent_connections_total").increment(1);
                return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
            }
        }
        poll
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Lets so many calls in at a time, over all connections, and refuses further ones at once. A stream counts until it is open.
#[derive(Clone)]
struct Admission {
    places: Arc<Semaphore>,
}

impl Admission {
    fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)) }
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, inner: S) -> Admitted<S> {
        Admitted { inner, places: self.places.clone() }
    }
}

#[derive(Clone)]
struct Admitted<S> {
    inner: S,
    places: Arc<Semaphore>,
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            counter!("comanda_refused_calls_total").increment(1);
            return Box::pin(async { Ok(Status::from(ApiError::overloaded()).into_http()) });
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let _place = place;
            answer.await
        })
    }
}
