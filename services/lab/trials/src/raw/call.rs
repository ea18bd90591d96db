//! Calls whose messages are bytes of the caller's choice.

use prost::bytes::{Buf, BufMut};
use tonic::{
    IntoRequest, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

/// Sends bytes to a method (`/comanda.v1.OrderService/GetOrder`) and waits for the first answer or the refusal; what follows is not
/// waited for, so that a stream is as good as a single answer.
pub async fn call(
    channel: Channel,
    path: &'static str,
    bytes: impl IntoRequest<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(format!("no connection: {error}")))?;
    let answer = client.server_streaming(bytes.into_request(), PathAndQuery::from_static(path), Bytes).await?;
    answer.into_inner().message().await
}

/// Passes bytes on as they are.
#[derive(Clone, Copy, Debug)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&bytes);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
