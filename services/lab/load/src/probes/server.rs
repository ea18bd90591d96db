//! A gRPC server inside this process: its processor time is the generator's, so its rates are below what two processes reach.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

/// Serves until it is dropped.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) async fn start(routes: Routes) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // The server's own setting does not reach a listener that it is given.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = Server::builder().add_routes(routes);
        let task = tokio::spawn(async move {
            // Its callers notice if it fails.
            server.serve_with_incoming(incoming).await.ok();
        });
        Ok(Self { address, task })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
