//! Listening and accepting, with bounds: how many connections there are, and how long a new one may stay silent.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result};
use metrics::{counter, gauge};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tracing::{debug, warn};

use crate::{
    access::Address,
    tls::{Peer, Tls},
};

/// Connections that the kernel keeps until they are accepted. With the 128 of `TcpListener::bind`, clients that connected at the same
/// time after a restart waited for a second and more: the kernel drops what does not fit, and the client sends it again.
const BACKLOG: u32 = 4096;
/// How long a new connection may stay silent before its HTTP/2 preface is complete.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);
/// Length of the HTTP/2 connection preface (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// What listens for connections: an address, and TLS where it is wanted.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

/// Listens; fails with what to do about it.
pub fn bind(address: SocketAddr) -> Result<Listener> {
    let listening = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // As `TcpListener::bind` does: connections that a former process left half closed do not keep the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let tcp = listening().with_context(|| format!("cannot listen on {address}; choose another address"))?;
    Ok(Listener { tcp, tls: None })
}

impl Listener {
    /// Encrypts its connections, if there is something to do it with.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.tcp.local_addr()?)
    }

    /// Whether its connections are encrypted.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }
}

/// Accepts connections, a bounded number at a time.
pub struct Acceptor {
    listener: Listener,
    places: Arc<Semaphore>,
}

impl Acceptor {
    /// Of a listener.
    pub fn new(listener: Listener, most: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }

    /// The next connection. An accept that fails (too many open files) is tried again a little later.
    pub async fn accept(&self) -> Incoming {
        loop {
            let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
            match self.listener.tcp.accept().await {
                Ok((stream, address)) => {
                    return Incoming { stream, address: address.ip(), tls: self.listener.tls.clone(), place };
                }
                Err(error) => {
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// A connection that was accepted, and has said nothing yet.
pub struct Incoming {
    stream: TcpStream,
    address: IpAddr,
    tls: Option<Tls>,
    place: OwnedSemaphorePermit,
}

impl Incoming {
    /// Agrees on encryption where the listener wants it; `None` where that fails. Takes as long as the client lets it, within a bound: run it
    /// in the connection's own task.
    pub async fn open(self) -> Option<Socket> {
        // Without it small answers wait for the peer's delayed acks. Fails only on a socket that is gone.
        let _ = self.stream.set_nodelay(true);
        let Some(tls) = self.tls else {
            return Some(Socket::new(Box::new(self.stream), self.address, None, self.place));
        };
        match tls.handshake(self.stream).await {
            Ok(stream) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let peer = certificate.map(Peer::of);
                Some(Socket::new(Box::new(stream), self.address, peer, self.place))
            }
            Err(error) => {
                debug!("a connection could not be encrypted: {error}");
                None
            }
        }
    }
}

/// What carries bytes.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is closed unless its preface comes within `PREFACE_TIMEOUT`.
pub struct Socket {
    stream: Box<dyn Stream>,
    address: IpAddr,
    peer: Option<Peer>,
    silence: Option<(usize, Pin<Box<Sleep>>)>,
    _place: OwnedSemaphorePermit,
}

impl Socket {
    fn new(stream: Box<dyn Stream>, address: IpAddr, peer: Option<Peer>, place: OwnedSemaphorePermit) -> Self {
        gauge!("comanda_connections").increment(1.0);
        let silence = Some((0, Box::pin(tokio::time::sleep(PREFACE_TIMEOUT))));
        Self { stream, address, peer, silence, _place: place }
    }

    /// Of the other end.
    pub fn address(&self) -> Address {
        Address(self.address)
    }

    /// Who a client certificate says that the other end is.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        gauge!("comanda_connections").decrement(1.0);
    }
}

impl AsyncRead for Socket {
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

impl AsyncWrite for Socket {
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
