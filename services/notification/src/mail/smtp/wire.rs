//! Commands out, replies in, each exchange under a deadline.

use std::{io, time::Duration};

use futures::FutureExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::timeout,
};

use super::super::{
    failure::{Failure, Phase},
    reply::Reply,
};

/// A socket, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// One conversation.
pub struct Wire {
    stream: BufReader<Box<dyn Stream>>,
}

impl Wire {
    /// Around an open socket.
    pub fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes (none for the greeting) and reads the reply to them.
    pub async fn ask(&mut self, phase: Phase, bytes: &[u8], limit: Duration) -> Result<Reply, Failure> {
        match timeout(limit, self.exchange(bytes)).await {
            Ok(reply) => reply.map_err(|error| Failure::network(phase, format!("{error} (phase {phase:?})"))),
            Err(_) => Err(Failure::network(phase, format!("no answer within {limit:?} in phase {phase:?}"))),
        }
    }

    async fn exchange(&mut self, bytes: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Reply::read(&mut self.stream).await
    }

    /// Whether the server has said nothing more than it was asked for, and has not hung up.
    pub fn is_quiet(&mut self) -> bool {
        self.stream.fill_buf().now_or_never().is_none()
    }

    /// The socket; `None` where the server has sent more than it was asked for, which must not pass for the other side of encryption.
    pub fn into_stream(self) -> Option<Box<dyn Stream>> {
        self.stream.buffer().is_empty().then(|| self.stream.into_inner())
    }
}
