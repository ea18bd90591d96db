//! A way to a server that can be cut and opened again.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// Forwards connections until it is dropped, which cuts them all.
#[derive(Debug)]
pub struct Forwarder {
    forwarding: AbortHandle,
    accepted: Arc<AtomicUsize>,
}

impl Forwarder {
    /// From an address to a server.
    pub async fn start(from: SocketAddr, to: &str) -> Self {
        let listener = TcpListener::bind(from).await.expect("an address that is free");
        let (to, accepted) = (to.to_owned(), Arc::<AtomicUsize>::default());
        let count = accepted.clone();
        let forwarding = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let to = to.clone();
                count.fetch_add(1, Ordering::Relaxed);
                connections.spawn(async move {
                    let mut far = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Self { forwarding: forwarding.abort_handle(), accepted }
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.forwarding.abort();
    }
}
