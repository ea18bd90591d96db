//! A way to a server that can be cut and mended.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// Forwards connections until it is dropped, which cuts them all.
#[derive(Debug)]
pub struct Forwarder(AbortHandle);

impl Forwarder {
    /// From an address to a server.
    pub async fn start(from: SocketAddr, to: &str) -> Self {
        let listener = TcpListener::bind(from).await.expect("an address that is free");
        let to = to.to_owned();
        let forwarding = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let to = to.clone();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(to).await?;
                    copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Self(forwarding.abort_handle())
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.0.abort();
    }
}
