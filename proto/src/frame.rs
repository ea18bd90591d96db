//! Responses of a watch as bytes that are already encoded.
//!
//! A transition travels from Kafka to its watchers without being decoded into a message and encoded again for each: the
//! record's payload is wrapped once into the bytes of a response and shared. Fields that this build does not know
//! therefore reach watchers untouched (prost would drop them).

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, encode_key, encode_varint, skip_field},
};
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

pub use crate::generated::frames::watch_service_server;

/// Field `transition` has this number in both watch responses.
const TRANSITION_FIELD: u32 = 1;
/// Field `resume_token` of `WatchOrdersResponse`.
const RESUME_TOKEN_FIELD: u32 = 4;

/// What the buffer of a stream holds at first; it grows as needed.
const IDLE_BYTES: usize = 512;
/// How much is gathered, when there is much to send, before it is handed to the connection. tonic's own value.
const YIELD_BYTES: usize = 32 * 1024;

/// One encoded response: the concatenation of two parts, as protobuf allows for the fields of one message.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    shared: Bytes,
    own: Bytes,
}

impl Frame {
    /// Wraps the payload of a transition's record, to be shared by every watcher.
    pub fn transition(payload: &[u8]) -> Self {
        Self { shared: length_delimited(TRANSITION_FIELD, payload), own: Bytes::new() }
    }

    /// Encodes a whole response.
    pub fn message(response: &impl Message) -> Self {
        Self { shared: response.encode_to_vec().into(), own: Bytes::new() }
    }

    /// The same response carrying a `resume_token` of one watcher.
    #[must_use]
    pub fn with_resume_token(&self, token: &[u8]) -> Self {
        Self { shared: self.shared.clone(), own: length_delimited(RESUME_TOKEN_FIELD, token) }
    }
}

fn length_delimited(field: u32, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 10);
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(payload.len() as u64, &mut bytes);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// tonic's codec, but with a buffer of the size of a transition: its own takes 8 KiB for as long as a stream is open, and
/// most streams are idle most of the time.
#[derive(Debug)]
pub struct FrameCodec<Request>(PhantomData<Request>);

impl<Request> Default for FrameCodec<Request> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Request: Message + Default + 'static> Codec for FrameCodec<Request> {
    type Encode = Frame;
    type Decode = Request;
    type Encoder = ProstEncoder<Frame>;
    type Decoder = ProstDecoder<Request>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(IDLE_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::default()
    }
}

/// Only encoding is of use; a decoded `Frame` is empty.
impl Message for Frame {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.shared);
        buf.put_slice(&self.own);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use crate::v1::{OrderTransition, WatchOrdersResponse, watch_orders_response::Event};

    use super::*;

    #[test]
    fn a_frame_is_the_response_it_stands_for() {
        let transition = OrderTransition { order_id: "o".into(), version: 3, ..Default::default() };
        let frame = Frame::transition(&transition.encode_to_vec()).with_resume_token(b"token");
        let response = WatchOrdersResponse::decode(&*frame.encode_to_vec()).expect("valid protobuf");
        assert_eq!(response.event, Some(Event::Transition(transition)));
        assert_eq!(&*response.resume_token, b"token");
    }

    #[test]
    fn fields_of_the_future_pass_through() {
        let mut payload = OrderTransition { version: 1, ..Default::default() }.encode_to_vec();
        encode_key(99, WireType::Varint, &mut payload);
        encode_varint(7, &mut payload);
        let bytes = Frame::transition(&payload).encode_to_vec();
        assert!(bytes.windows(payload.len()).any(|window| window == payload));
    }
}
