//! One way to one server: a port of its own, and manners that can be changed while connections are open.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{manners::Manners, relay::relay};

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A link. It forwards until it is dropped, which resets all its connections.
#[derive(Debug)]
pub struct Link {
    /// Such as `ordering-0->postgres`, as in the history.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// What a link and its connections share.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    manners: watch::Sender<Manners>,
    /// Cancelled to reset what is open; replaced at once.
    open: Mutex<CancellationToken>,
    seed: AtomicU64,
}

impl Link {
    /// Listens on a free port of this machine and forwards to `server`, which need not be there yet. What is random follows the seed.
    pub async fn start(name: &str, server: SocketAddr, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no free port for a link")?;
        let shared = Arc::new(Shared {
            server,
            manners: watch::Sender::default(),
            open: Mutex::default(),
            seed: AtomicU64::new(seed),
        });
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self { name: name.into(), address, shared, accepting })
    }

    /// Treats everything so from now on, also what passes through open connections.
    pub fn set(&self, manners: Manners) {
        self.shared.manners.send_replace(manners);
    }

    /// Passes everything on at once again.
    pub fn mend(&self) {
        self.set(Manners::default());
    }

    /// Resets all open connections, both ways.
    pub fn reset(&self) {
        self.shared.reset();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.reset();
    }
}

impl Shared {
    fn reset(&self) {
        std::mem::take(&mut *self.open.lock().expect("no holder panics")).cancel();
    }

    /// What ends a connection that opens now, and a seed for it.
    fn admit(&self) -> (CancellationToken, u64) {
        let open = self.open.lock().expect("no holder panics");
        (open.clone(), self.seed.fetch_add(1, Relaxed))
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((near, _)) => _ = connections.spawn(connect(near, shared.clone())),
            // Out of descriptors; it passes.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connect(near: TcpStream, shared: Arc<Shared>) {
    let (open, seed) = shared.admit();
    let far = async {
        let mut manners = shared.manners.subscribe();
        let first = manners.wait_for(|manners| manners.refuses || manners.holes.is_empty()).await.ok()?.clone();
        if first.refuses {
            return None;
        }
        timeout(CONNECT, TcpStream::connect(shared.server)).await.ok()?.ok()
    };
    let far = tokio::select! {
        () = open.cancelled() => None,
        far = far => far,
    };
    match far {
        Some(far) => relay(near, far, &shared.manners, &open, seed).await,
        // Fails only where the other side has gone already.
        None => _ = near.set_zero_linger(),
    }
}
