//! One connection: its HTTP/2 settings, its age, and its end.

use std::{pin::pin, time::Duration};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use metrics::counter;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    body::Body,
    codegen::http::{Request, Response},
};
use tower::Service;
use tracing::debug;

use super::{gate::Connection, listener::Incoming};

/// Streams that one connection may have open.
const STREAMS_PER_CONNECTION: u32 = 256;
/// Streams on which a connection may break the protocol during its life; then it is closed (GOAWAY, ENHANCE_YOUR_CALM). Each takes about
/// a kilobyte until the client has read its reset. A client that opens calls before it has heard how many it may have breaks one with
/// each call beyond.
const BROKEN_STREAMS_PER_CONNECTION: usize = 4096;
/// Pings find peers that are gone: a dead connection is closed after the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_LIST_BYTES: u32 = 16 * 1024;
/// How much the age of connections differs, either way, so that those which began together do not end together.
const AGE_JITTER: f64 = 0.1;
/// What streams get to end when the grace is over, before the connection is closed.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a connection lives.
#[derive(Clone, Copy, Debug)]
pub struct Age {
    /// Until its client is told to open another one (GOAWAY).
    pub most: Duration,
    /// What calls and streams get, from then on, to end by themselves.
    pub grace: Duration,
}

/// Serves a connection until it ends: by a handshake that fails, by its peer, by its age, by a client that reads nothing, or after `stop`, when its calls have
/// ended.
pub async fn serve<S>(incoming: Incoming, service: S, connection: Connection, age: Age, stop: CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    let Some(socket) = incoming.open().await else { return };
    let (answers, ends, peer) = (connection.answers.clone(), connection.ends.clone(), socket.peer().cloned());
    // What comes from this machine is a gateway's or a proxy's, which tells its callers apart itself.
    let address = Some(socket.address()).filter(|address| !address.0.to_canonical().is_loopback());
    let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
        address.into_iter().for_each(|address| _ = request.extensions_mut().insert(address));
        peer.iter().for_each(|peer| _ = request.extensions_mut().insert(peer.clone()));
        let answer = connection.clone().answer(service.clone(), request.map(Body::new));
        async { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let mut serving = pin!(builder().serve_connection(TokioIo::new(socket), service));
    let life = async {
        tokio::select! {
            result = &mut serving => return result,
            () = sleep(jittered(age.most)) => counter!("comanda_aged_connections_total").increment(1),
            () = stop.cancelled() => {}
        }
        serving.as_mut().graceful_shutdown();
        if let Ok(result) = timeout(jittered(age.grace), &mut serving).await {
            return result;
        }
        ends.cancel();
        timeout(LAST_WORDS, &mut serving).await.unwrap_or(Ok(()))
    };
    tokio::select! {
        result = life => {
            if let Err(error) = result {
                debug!("a connection ended: {error}");
            }
        }
        () = answers.stalled() => debug!("a connection reads none of its answers: closing it"),
    }
}

fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        // A caller may give up all its calls at once. From the 21st on, the default ends the connection for its other calls too.
        .max_pending_accept_reset_streams(STREAMS_PER_CONNECTION as usize)
        .max_local_error_reset_streams(BROKEN_STREAMS_PER_CONNECTION)
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_header_list_size(HEADER_LIST_BYTES);
    builder
}

fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(1.0 - AGE_JITTER..=1.0 + AGE_JITTER))
}
