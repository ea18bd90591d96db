//! Calls as bytes, for what a gRPC client would not send.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::{RecvStream, SendStream, client};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tonic::{
    Status,
    codegen::http::{HeaderMap, Method, Request, Response},
};

/// A connection whose client decides what it reads.
#[derive(Clone)]
pub struct Http2 {
    send: client::SendRequest<Bytes>,
}

impl Http2 {
    /// Connects. `window` is how many bytes the server may send, over all calls, before any is read.
    pub async fn connect(address: SocketAddr, window: u32) -> Result<Self> {
        Self::over(TcpStream::connect(address).await?, window).await
    }

    /// The same over a connection that is there.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, window: u32) -> Result<Self> {
        let mut builder = client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(window);
        let (send, connection) = builder.handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self { send: send.ready().await? })
    }

    /// Sends a request and waits for the headers of its answer.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Response<RecvStream>> {
        let (answer, mut stream) = self.open(method, path, headers).await?;
        stream.send_data(body.into(), true)?;
        Ok(answer.await?)
    }

    /// Sends the headers of a request; its body is up to the caller.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(client::ResponseFuture, SendStream<Bytes>)> {
        let request = Request::builder().method(method).uri(format!("http://comanda{path}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut send = self.send.clone().ready().await?;
        Ok(send.send_request(request.body(())?, false)?)
    }

    /// The same for a gRPC call, with a message as it is, or marked as compressed.
    pub async fn grpc(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        message: &[u8],
        compressed: bool,
    ) -> Result<Response<RecvStream>> {
        let length = u32::try_from(message.len())?.to_be_bytes();
        let body = [&[u8::from(compressed)][..], &length, message].concat();
        let headers = [&[("content-type", "application/grpc"), ("te", "trailers")], headers].concat();
        self.call(Method::POST, path, &headers, body).await
    }
}

/// The messages of an answer, as bytes.
pub async fn messages(answer: Response<RecvStream>) -> Result<Vec<u8>> {
    let (mut stream, mut all) = (answer.into_body(), Vec::new());
    while let Some(data) = stream.data().await {
        all.extend_from_slice(&data?);
    }
    Ok(all)
}

/// Reads an answer to its end: its messages' bytes and its status.
pub async fn read(answer: Response<RecvStream>) -> Result<(usize, Status)> {
    let (parts, mut stream) = answer.into_parts();
    let mut bytes = 0;
    while let Some(data) = stream.data().await {
        let data = data?;
        bytes += data.len();
        stream.flow_control().release_capacity(data.len())?;
    }
    let trailers: Option<HeaderMap> = stream.trailers().await?;
    let status = Status::from_header_map(trailers.as_ref().unwrap_or(&parts.headers));
    Ok((bytes, status.context("an answer without a status")?))
}
