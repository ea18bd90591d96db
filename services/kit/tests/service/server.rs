//! The server as clients see it, with a service whose answers are slow or large on demand.

use std::{future::pending, net::SocketAddr, time::Duration};

use anyhow::Result;
use comanda_kit::{
    access::Access,
    errors::ApiError,
    server::{Endpoint, Limits, Listener, bind},
    shutdown::Tasks,
    testing::{Replica, eventually},
    tls::Peer,
};
use comanda_proto::v1::{
    ListMailsRequest, ListMailsResponse, ResendDeadMailsRequest, ResendDeadMailsResponse, ResendMailRequest,
    ResendMailResponse,
    mail_service_client::MailServiceClient,
    mail_service_server::{MailService, MailServiceServer},
};
use flate2::{Compression, write::GzEncoder};
use futures::future::join_all;
use prost::Message;
use tokio::sync::watch;
use tonic::{
    Code, Request, Response, Status,
    codec::CompressionEncoding,
    codegen::http::{Method, StatusCode},
    service::Routes,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::http2::{Http2, read};

pub const LIST: &str = "/comanda.v1.MailService/ListMails";
const WATCH_HEALTH: &str = "/grpc.health.v1.Health/Watch";
const MOST_BYTES: usize = 64 * 1024;
const WINDOW: u32 = 65_535;

/// Lists nothing, in a way that the page token says.
struct Mails;

#[tonic::async_trait]
impl MailService for Mails {
    async fn list_mails(&self, request: Request<ListMailsRequest>) -> Result<Response<ListMailsResponse>, Status> {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.names().join(" "));
        let next_page_token = match request.into_inner().page_token.as_str() {
            "peer" => peer.unwrap_or_else(|| "nobody".into()),
            "never" => pending().await,
            "refused" => return Err(ApiError::overloaded().into()),
            "large" => "x".repeat(1024 * 1024),
            _ => String::new(),
        };
        Ok(Response::new(ListMailsResponse { next_page_token, ..Default::default() }))
    }

    async fn resend_mail(&self, _: Request<ResendMailRequest>) -> Result<Response<ResendMailResponse>, Status> {
        unreachable!("no test calls it")
    }

    async fn resend_dead_mails(
        &self,
        _: Request<ResendDeadMailsRequest>,
    ) -> Result<Response<ResendDeadMailsResponse>, Status> {
        unreachable!("no test calls it")
    }
}

pub struct Server {
    pub replica: Replica,
    _ready: watch::Sender<bool>,
}

impl Server {
    async fn start(limits: Limits) -> Result<Self> {
        let server = Self::start_on(bind(SocketAddr::from(([127, 0, 0, 1], 0)))?, limits, Tasks::new())?;
        server.replica.serves("comanda.v1.MailService").await;
        Ok(server)
    }

    /// On a listener that may encrypt.
    pub fn start_on(listener: Listener, limits: Limits, tasks: Tasks) -> Result<Self> {
        let service = MailServiceServer::new(Mails)
            .max_decoding_message_size(MOST_BYTES)
            .accept_compressed(CompressionEncoding::Gzip);
        let (sender, ready) = watch::channel(true);
        let endpoint = Endpoint { routes: Routes::new(service), services: vec!["comanda.v1.MailService"], ready };
        let replica = Replica::serve_on(listener, Access::default(), &limits, vec![endpoint], tasks)?;
        Ok(Self { replica, _ready: sender })
    }

    async fn http2(&self) -> Result<Http2> {
        Http2::connect(self.replica.address, WINDOW).await
    }
}

pub fn list(page_token: &str) -> Vec<u8> {
    ListMailsRequest { page_token: page_token.into(), ..Default::default() }.encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes)?;
    Ok(encoder.finish()?)
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

#[tokio::test]
async fn an_error_is_one_frame_of_headers_that_ends_the_stream() -> Result<()> {
    let server = Server::start(Limits::default()).await?;
    let answer = server.http2().await?.grpc(LIST, &[], &list("refused"), false).await?;
    // "Trailers-Only" of the gRPC protocol. Clients in Go take a status in headers that do not end the stream for a broken answer.
    assert!(answer.headers().contains_key("grpc-status"));
    assert!(answer.body().is_end_stream(), "more frames follow");
    server.replica.stop().await
}

#[tokio::test]
async fn a_deadline_that_passes_is_deadline_exceeded() -> Result<()> {
    let server = Server::start(Limits::default()).await?;
    let http2 = server.http2().await?;
    for (timeout, page, code, why) in [
        ("1n", "", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("0S", "", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("50m", "never", Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("5x", "", Code::InvalidArgument, "INVALID_FIELDS"),
        ("999999999S", "", Code::InvalidArgument, "INVALID_FIELDS"),
        ("5S", "", Code::Ok, ""),
    ] {
        let answer = http2.grpc(LIST, &[("grpc-timeout", timeout)], &list(page), false).await?;
        let (_, status) = read(answer).await?;
        assert_eq!((status.code(), &*reason(&status)), (code, why), "{timeout}: {status:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_ends_with_its_deadline() -> Result<()> {
    let server = Server::start(Limits::default()).await?;
    let answer = server.http2().await?.grpc(WATCH_HEALTH, &[("grpc-timeout", "300m")], b"", false).await?;
    let (bytes, status) = read(answer).await?;
    assert!(bytes > 0, "its first answer came");
    assert_eq!((status.code(), &*reason(&status)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    Ok(())
}

#[tokio::test]
async fn what_is_not_grpc_gets_an_http_status() -> Result<()> {
    let server = Server::start(Limits::default()).await?;
    let http2 = server.http2().await?;
    for (method, content_type, status) in [
        (Method::POST, "application/json", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::POST, "application/grpc-web+proto", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::GET, "text/html", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::GET, "application/grpc", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "application/grpc+proto", StatusCode::OK),
    ] {
        let answer = http2.call(method.clone(), LIST, &[("content-type", content_type)], vec![0; 5]).await?;
        assert_eq!(answer.status(), status, "{method} {content_type}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_request_is_read_to_its_end_before_it_is_answered() -> Result<()> {
    let server = Server::start(Limits::default()).await?;
    let http2 = server.http2().await?;
    let json = [("content-type", "application/json")];
    let (mut answer, mut stream) = http2.open(Method::POST, LIST, &json).await?;
    let message = list("");
    tokio::select! {
        biased;
        answer = &mut answer => panic!("answered before its end: {answer:?}"),
        other = http2.grpc(LIST, &[], &message, false) => assert_eq!(other?.status(), StatusCode::OK),
    }
    stream.send_data("{}".into(), true)?;
    assert_eq!(answer.await?.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    Ok(())
}

#[tokio::test]
async fn gzip_is_read_and_bounded_and_other_encodings_are_refused() -> Result<()> {
    let server = Server::start(Limits::default()).await?;
    let channel = server.replica.connect().await?;
    let mut client = MailServiceClient::new(channel).send_compressed(CompressionEncoding::Gzip);
    client.list_mails(ListMailsRequest { page_token: "x".repeat(1000), ..Default::default() }).await?;

    let http2 = server.http2().await?;
    let bomb = gzip(&list(&"x".repeat(20 * 1024 * 1024)))?;
    assert!(bomb.len() < MOST_BYTES, "small as it is sent: {}", bomb.len());
    let (_, status) = read(http2.grpc(LIST, &[("grpc-encoding", "gzip")], &bomb, true).await?).await?;
    assert_eq!((status.code(), &*reason(&status)), (Code::OutOfRange, "MESSAGE_TOO_LARGE"));
    let (_, status) = read(http2.grpc(LIST, &[("grpc-encoding", "gzip")], b"no gzip", true).await?).await?;
    assert_eq!((status.code(), &*reason(&status)), (Code::Internal, "MALFORMED_MESSAGE"));

    let refused = http2.grpc(LIST, &[("grpc-encoding", "snappy")], b"", true).await?;
    assert_eq!(refused.headers()["grpc-accept-encoding"], "gzip,identity");
    let (_, status) = read(refused).await?;
    assert_eq!((status.code(), &*reason(&status)), (Code::Unimplemented, "UNSUPPORTED_ENCODING"));
    Ok(())
}

#[tokio::test]
async fn health_answers_when_no_further_call_is_taken() -> Result<()> {
    let server = Server::start(Limits { max_calls: 1, ..Limits::default() }).await?;
    let (busy, other) = (server.http2().await?, server.http2().await?);
    let holding = tokio::spawn(async move { busy.grpc(LIST, &[], &list("never"), false).await });
    eventually("the server is full", async || {
        let (_, status) = read(other.grpc(LIST, &[], &list(""), false).await.ok()?).await.ok()?;
        (status.code() == Code::ResourceExhausted).then_some(())
    })
    .await;
    let mut health = HealthClient::new(server.replica.connect().await?);
    let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let (_, status) = read(other.grpc(LIST, &[], &list(""), false).await?).await?;
    assert_eq!((status.code(), &*reason(&status)), (Code::ResourceExhausted, "OVERLOADED"));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").map(|value| value.as_bytes()), Some(&b"500"[..]));
    holding.abort();
    Ok(())
}

#[tokio::test]
async fn an_old_connection_takes_no_new_calls_and_ends_its_streams_with_a_status() -> Result<()> {
    let limits = Limits { max_connection_age_ms: 300, max_connection_age_grace_ms: 500, ..Limits::default() };
    let server = Server::start(limits).await?;
    let http2 = server.http2().await?;
    let stream = http2.grpc(WATCH_HEALTH, &[], b"", false).await?;
    let (_, status) = tokio::time::timeout(Duration::from_secs(30), read(stream)).await??;
    assert_eq!((status.code(), &*reason(&status)), (Code::Unavailable, "STREAM_AGE"));
    assert!(http2.grpc(LIST, &[], &list(""), false).await.is_err(), "the connection is gone");

    // A gRPC client opens another connection by itself. tonic's does not repeat a call that met the closing connection and was never
    // sent, as others do: that one has no status of the server.
    let mut client = MailServiceClient::new(server.replica.connect().await?);
    let (began, mut answered) = (tokio::time::Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(2) {
        match client.list_mails(ListMailsRequest::default()).await {
            Ok(_) => answered += 1,
            Err(status) => assert!(status.metadata().is_empty() && status.details().is_empty(), "{status:?}"),
        }
    }
    client.list_mails(ListMailsRequest::default()).await?;
    assert!(answered > 10, "{answered}");
    Ok(())
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded() -> Result<()> {
    let server = Server::start(Limits::default()).await?;
    let http2 = server.http2().await?;
    let calls = (0..256).map(|_| {
        let http2 = http2.clone();
        async move { http2.grpc(LIST, &[], &list("large"), false).await }
    });
    let answers: Vec<_> = join_all(calls).await.into_iter().collect::<Result<_>>()?;
    // Every call is answered, but only some of the answers are held for their reader.
    let refused: Vec<_> = answers.iter().filter_map(|answer| Status::from_header_map(answer.headers())).collect();
    let held = answers.len() - refused.len();
    assert!((8..=17).contains(&held), "{held} MiB are held");
    for status in &refused {
        assert!(matches!(status.code(), Code::ResourceExhausted | Code::Unavailable), "{status:?}");
        assert_eq!(reason(status), "ANSWERS_UNREAD");
    }
    let whole = answers.into_iter().filter(|answer| Status::from_header_map(answer.headers()).is_none());
    // All at once: answers that are not read keep the window from those that are.
    for outcome in join_all(whole.map(read)).await {
        let (bytes, status) = outcome?;
        assert!(bytes > 1024 * 1024 && status.code() == Code::Ok, "{status:?}");
    }
    let (_, status) = read(http2.grpc(LIST, &[], &list("large"), false).await?).await?;
    assert_eq!(status.code(), Code::Ok, "the connection takes calls again");
    Ok(())
}
