//! Calls of any rpc, by its descriptor: bytes go in and out, with our deadline, and with the caller's credentials.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::http::HeaderMap;
use bytes::Bytes;
use comanda_client::{Client, Error, Role};
use comanda_kit::{
    access::config::Mode,
    errors::ApiError,
    traces::{Traceparent, traceparent},
};
use comanda_proto::errors::reason;
use futures::Stream;
use prost_reflect::MethodDescriptor;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};
use tracing::debug;

use crate::{codec::Identity, schema};

/// Streams of one connection. A server lets a connection have 256 and makes further ones wait without a word.
const STREAMS_PER_CONNECTION: usize = 200;
/// How long a stream may take to begin.
const OPENING: Duration = Duration::from_secs(10);
/// Servers end an upload after about 30 minutes.
const LONGEST_UPLOAD: Duration = Duration::from_secs(3600);
/// Well above the largest page, which is about 1 MiB.
const MOST_RESPONSE_BYTES: usize = 16 * 1024 * 1024;

/// The servers behind the gateway.
#[derive(Clone, Debug)]
pub struct Servers {
    client: Client,
    access: Mode,
    lanes: Arc<Mutex<Vec<Lane>>>,
}

/// A connection for streams.
#[derive(Clone, Debug)]
struct Lane {
    role: Role,
    channel: Channel,
    places: Arc<Semaphore>,
}

/// A stream of responses. It keeps its place on its connection.
#[derive(Debug)]
pub struct Responses {
    stream: Streaming<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Responses {
    /// The next response; `None` after an end without an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        self.stream.message().await.map_err(explained)
    }
}

impl Servers {
    /// Those that the client knows, and whether they require credentials.
    pub fn new(client: Client, access: Mode) -> Self {
        Self { client, access, lanes: Arc::default() }
    }

    /// Refuses a request without credentials. A server that requires none would take it for its owner's: then one that was forgotten to be
    /// closed is not open to everyone whom the gateway serves, since servers that require no credentials refuse all they are shown.
    fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let shown = metadata.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_bearer = shown.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "));
        if self.access == Mode::Open || is_bearer {
            return Ok(());
        }
        let message = "this server needs credentials: send the header \"authorization: Bearer\" with a key or token";
        Err(ApiError::new(Code::Unauthenticated, reason::UNAUTHENTICATED, message).into())
    }

    /// One request, one response.
    pub async fn unary(
        &self,
        method: &MethodDescriptor,
        message: Bytes,
        metadata: MetadataMap,
        deadline: Duration,
    ) -> Result<Bytes, Status> {
        self.check(&metadata)?;
        let calling = async {
            let channel = self.client.channel(schema::role_of(method)).await.map_err(unreachable)?;
            let mut grpc = ready(channel).await?;
            let mut request = Request::from_parts(metadata, Default::default(), message);
            request.set_timeout(deadline);
            grpc.unary(request, path(method), Identity).await.map_err(explained)
        };
        let answer = timeout(deadline, calling).await.map_err(|_| ApiError::deadline_exceeded())?;
        Ok(answer?.into_inner())
    }

    /// One request, many responses. The stream has no deadline; opening it has.
    pub async fn stream(
        &self,
        method: &MethodDescriptor,
        message: Bytes,
        metadata: MetadataMap,
    ) -> Result<Responses, Status> {
        self.check(&metadata)?;
        let calling = async {
            let (channel, place) = self.place(schema::role_of(method)).await?;
            let mut grpc = ready(channel).await?;
            let request = Request::from_parts(metadata, Default::default(), message);
            let stream = grpc.server_streaming(request, path(method), Identity).await.map_err(explained)?.into_inner();
            Ok(Responses { stream, _place: place })
        };
        timeout(OPENING, calling).await.map_err(|_| ApiError::timed_out())?
    }

    /// Many requests, one response. The caller's deadline is the only one: an upload lasts as long as it likes, up to the server's own bound.
    pub async fn upload(
        &self,
        method: &MethodDescriptor,
        messages: impl Stream<Item = Bytes> + Send + 'static,
        metadata: MetadataMap,
        deadline: Option<Duration>,
    ) -> Result<Bytes, Status> {
        self.check(&metadata)?;
        let (channel, _place) =
            timeout(OPENING, self.place(schema::role_of(method))).await.map_err(|_| ApiError::timed_out())??;
        let mut grpc = ready(channel).await?;
        let mut request = Request::from_parts(metadata, Default::default(), messages);
        deadline.into_iter().for_each(|deadline| request.set_timeout(deadline));
        let uploading = grpc.client_streaming(request, path(method), Identity);
        let answer = timeout(deadline.unwrap_or(LONGEST_UPLOAD), uploading).await;
        Ok(answer.map_err(|_| ApiError::deadline_exceeded())?.map_err(explained)?.into_inner())
    }

    /// A place on a connection for streams; a further connection where all are full. How many there are is bounded by the streams that the
    /// gateway lets in.
    async fn place(&self, role: Role) -> Result<(Channel, OwnedSemaphorePermit), Status> {
        if let Some(found) = self.free_place(role) {
            return Ok(found);
        }
        let channel = self.client.connection_for_streams(role).await.map_err(unreachable)?;
        let places = Arc::new(Semaphore::new(STREAMS_PER_CONNECTION));
        let place = places.clone().try_acquire_owned().expect("it is new");
        let lane = Lane { role, channel: channel.clone(), places };
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).push(lane);
        Ok((channel, place))
    }

    fn free_place(&self, role: Role) -> Option<(Channel, OwnedSemaphorePermit)> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ours = lanes.iter().filter(|lane| lane.role == role);
        ours.find_map(|lane| Some((lane.channel.clone(), lane.places.clone().try_acquire_owned().ok()?)))
    }
}

/// What a request of HTTP hands on: who calls, for whom, and in which trace.
pub fn metadata_of(headers: &HeaderMap) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for name in ["authorization", "comanda-actor"] {
        for value in headers.get_all(name) {
            MetadataValue::try_from(value.as_bytes()).into_iter().for_each(|value| _ = metadata.append(name, value));
        }
    }
    let value = Traceparent::of(headers).and_then(|traceparent| traceparent.to_string().parse().ok());
    value.into_iter().for_each(|value| _ = metadata.insert(traceparent::HEADER, value));
    metadata
}

fn path(method: &MethodDescriptor) -> PathAndQuery {
    schema::path_of(method).parse().expect("names of the protos make a path")
}

async fn ready(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MOST_RESPONSE_BYTES);
    grpc.ready().await.map_err(|error| explained(Status::from_error(error.into())))?;
    Ok(grpc)
}

fn unreachable(error: Error) -> Status {
    debug!("no connection: {error}");
    let message = "a service that this call needs cannot be reached";
    ApiError::new(Code::Unavailable, reason::DEPENDENCY_UNAVAILABLE, message).retry_after(Duration::from_secs(1)).into()
}

/// Errors of our servers have details. Others come from the connection: what they say is for the log.
fn explained(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    debug!("a call failed without details: {status}");
    match status.code() {
        Code::Unimplemented => {
            let message = "this installation does not serve this call: the role that does may not run";
            ApiError::new(Code::Unimplemented, reason::UNKNOWN_RPC, message).into()
        }
        // tonic's word for a deadline that has passed here.
        Code::Cancelled | Code::DeadlineExceeded => ApiError::deadline_exceeded().into(),
        _ => ApiError::unavailable().into(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn what_the_connection_says_stays_here() {
        let hidden = explained(Status::unknown("transport error: 10.0.0.7 refused"));
        assert_eq!(hidden.code(), Code::Unavailable);
        assert!(!hidden.message().contains("10.0.0.7"));
        let ours = explained(ApiError::order_not_found("x").into());
        assert_eq!(ours.code(), Code::NotFound);
        assert_eq!(explained(Status::unimplemented("")).code(), Code::Unimplemented);
    }

    #[test]
    fn a_traceparent_is_handed_on_if_it_is_one() {
        let handed_on = |value: &str| {
            let headers = HeaderMap::from_iter([(
                header::HeaderName::from_static("traceparent"),
                value.parse().expect("a value"),
            )]);
            metadata_of(&headers).get("traceparent").map(|value| value.to_str().expect("ASCII").to_owned())
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(handed_on(good).as_deref(), Some(good));
        assert_eq!((handed_on("nonsense"), handed_on(&good.to_uppercase())), (None, None));
    }

    #[test]
    fn only_credentials_are_handed_on() {
        let headers = HeaderMap::from_iter([
            (header::AUTHORIZATION, "Bearer x".parse().expect("a value")),
            (header::COOKIE, "a=b".parse().expect("a value")),
        ]);
        let metadata = metadata_of(&headers);
        assert_eq!(metadata.len(), 1);
        assert_eq!(metadata.get("authorization").map(|value| value.as_bytes()), Some(&b"Bearer x"[..]));
    }

    #[test]
    fn before_servers_that_require_credentials_a_request_must_show_some() {
        let servers = |access| {
            let address = "http://127.0.0.1:1".parse().expect("an address");
            Servers::new(Client::new(comanda_client::Config::at(address)), access)
        };
        let with = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("a value"))]);
            servers(Mode::Required).check(&metadata_of(&headers)).is_ok()
        };
        assert!(servers(Mode::Open).check(&MetadataMap::new()).is_ok());
        assert!(servers(Mode::Required).check(&MetadataMap::new()).is_err());
        assert!(with("Bearer x") && with("bearer x"));
        assert!(!with("Basic YTpi") && !with("Bearer") && !with(""));
    }
}
