//! The listening side.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Behaviour, conversation::Conversation};

/// Connections that are served at once; further ones wait to be accepted.
const CONNECTIONS: usize = 256;

/// A mail server on a free port of this machine. It ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Starts it.
    pub async fn start(behaviour: Arc<dyn Behaviour>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(stop.clone().run_until_cancelled_owned(serve(listener, behaviour)));
        Ok(Self { address, stop, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For `SMTP_URL`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Hangs up on every client and waits until nothing is under way.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Conversations end with it.
async fn serve(listener: TcpListener, behaviour: Arc<dyn Behaviour>) {
    let (mut conversations, places) = (JoinSet::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let place = places.clone().acquire_owned().await.expect("never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let behaviour = behaviour.clone();
                conversations.spawn(async move {
                    converse(stream, behaviour).await;
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("the mail server cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while conversations.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, behaviour: Arc<dyn Behaviour>) {
    // Without it a reply may wait 40 ms for an acknowledgement. An error is how a conversation ends.
    if stream.set_nodelay(true).is_ok() {
        let _ = Conversation::new(stream, behaviour).hold().await;
    }
}
