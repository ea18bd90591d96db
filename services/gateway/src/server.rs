//! Connections of HTTP/1.1, with bounds. Each carries one request at a time, so that what they hold is bounded by how many there are.

use std::{pin::pin, time::Duration};

use axum::{Router, body::Body, http::Request};
use comanda_kit::{
    server::{Acceptor, Incoming as Connection, Listener},
    shutdown::Tasks,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::socket::Patient;

/// How long the head of a request may take, and a connection stay open between requests.
const HEAD: Duration = Duration::from_secs(30);
/// Head of a request: line and headers together. More is 431.
const HEAD_BYTES: usize = 32 * 1024;
/// What connections get to finish after the stop. Less than the hard stop of the process.
const DRAIN: Duration = Duration::from_secs(8);

/// Serves until the stop, then drains for a bounded time.
pub fn serve(listener: Listener, router: Router, max_connections: usize, tasks: &Tasks) {
    let stop = tasks.stop_token();
    let acceptor = Acceptor::new(listener, max_connections);
    tasks.spawn("gateway", async move {
        let (connections, drop_all) = (TaskTracker::new(), CancellationToken::new());
        while let Some(incoming) = stop.run_until_cancelled(acceptor.accept()).await {
            let serving = connection(incoming, router.clone(), stop.clone());
            connections.spawn(drop_all.clone().run_until_cancelled_owned(serving));
        }
        // From now on the kernel refuses new connections.
        drop(acceptor);
        connections.close();
        if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
            warn!("connections were still open {DRAIN:?} after the stop: dropping them");
        }
        drop_all.cancel();
        Ok(())
    });
}

async fn connection(incoming: Connection, router: Router, stop: CancellationToken) {
    let Some(socket) = incoming.open().await else { return };
    let address = socket.address();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(address);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(Patient::new(socket)), service));
    let result = tokio::select! {
        result = &mut serving => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        debug!("a connection ended: {error}");
    }
}
