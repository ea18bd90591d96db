//! Against a server that says back what it hears.

use std::{
    io::ErrorKind::{ConnectionReset, UnexpectedEof},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use super::*;

/// Long enough for anything that comes at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough to see that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                copy(&mut reads, &mut writes).await
            });
        }
    });
    address
}

async fn link() -> (Link, TcpStream) {
    let link = Link::start("test", echo().await, 7).await.expect("a free port");
    let stream = TcpStream::connect(link.address).await.expect("it listens");
    (link, stream)
}

async fn says(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("open");
}

async fn hears(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("an answer").expect("open");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

async fn is_reset(stream: &mut TcpStream) {
    let read = timeout(PATIENCE, stream.read_u8()).await.expect("an end");
    let kind = read.expect_err("no byte").kind();
    assert!(kind == ConnectionReset, "{kind}");
}

async fn hears_nothing(stream: &mut TcpStream) {
    let read = timeout(SILENCE, stream.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test]
async fn a_link_passes_everything_on_and_closes_when_both_sides_have() {
    let (_link, mut stream) = link().await;
    says(&mut stream, "one").await;
    hears(&mut stream, "one").await;
    stream.shutdown().await.expect("open");
    let end = timeout(PATIENCE, stream.read_u8()).await.expect("an end").expect_err("no byte");
    assert_eq!(end.kind(), UnexpectedEof);
}

#[tokio::test]
async fn latency_counts_each_way() {
    let (link, mut stream) = link().await;
    link.set(Manners { latency: Duration::from_millis(50), jitter: Duration::from_millis(10), ..Manners::default() });
    let asked = Instant::now();
    says(&mut stream, "one").await;
    hears(&mut stream, "one").await;
    assert!(asked.elapsed() >= Duration::from_millis(100), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_throttled_link_takes_the_time_that_its_bytes_need() {
    let (link, mut stream) = link().await;
    link.set(Manners { bytes_per_second: Some(10_000), ..Manners::default() });
    let (asked, text) = (Instant::now(), "x".repeat(3_000));
    says(&mut stream, &text).await;
    hears(&mut stream, &text).await;
    assert!(asked.elapsed() >= Duration::from_millis(250), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_hole_swallows_one_way_and_what_it_swallowed_comes_late() {
    for way in WAYS {
        let (link, mut stream) = link().await;
        says(&mut stream, "one").await;
        hears(&mut stream, "one").await;
        link.set(Manners { holes: vec![way], ..Manners::default() });
        says(&mut stream, "two").await;
        hears_nothing(&mut stream).await;
        link.mend();
        hears(&mut stream, "two").await;
    }
}

#[tokio::test]
async fn a_connection_made_into_a_hole_is_accepted_and_silent() {
    let (link, _) = link().await;
    link.set(Manners { holes: WAYS.into(), ..Manners::default() });
    let mut stream = TcpStream::connect(link.address).await.expect("accepted");
    says(&mut stream, "one").await;
    hears_nothing(&mut stream).await;
    link.mend();
    hears(&mut stream, "one").await;
}

#[tokio::test]
async fn a_reset_ends_what_is_open_and_nothing_else() {
    let (link, mut stream) = link().await;
    says(&mut stream, "one").await;
    hears(&mut stream, "one").await;
    link.reset();
    is_reset(&mut stream).await;
    let mut next = TcpStream::connect(link.address).await.expect("it listens");
    says(&mut next, "two").await;
    hears(&mut next, "two").await;
}

#[tokio::test]
async fn a_refusing_link_resets_new_connections_and_keeps_old_ones() {
    let (link, mut old) = link().await;
    says(&mut old, "one").await;
    hears(&mut old, "one").await;
    link.set(Manners { refuses: true, ..Manners::default() });
    let mut new = TcpStream::connect(link.address).await.expect("it listens");
    is_reset(&mut new).await;
    says(&mut old, "two").await;
    hears(&mut old, "two").await;
}

fn cut(way: Way, at: Place, delivered: bool) -> Manners {
    Manners { cut: Some(Cut { way, at, delivered, percent: 100 }), ..Manners::default() }
}

#[tokio::test]
async fn a_cut_before_a_pattern_withholds_it() {
    let (link, mut stream) = link().await;
    link.set(cut(Way::ToClient, Place::Pattern(b"COMMIT".into()), false));
    says(&mut stream, "one COMMIT two").await;
    let mut heard = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("an end").expect_err("a reset");
    assert_eq!(end.kind(), ConnectionReset);
    // A reset may overtake what was written before it.
    assert!("one ".as_bytes().starts_with(&heard), "{:?}", String::from_utf8_lossy(&heard));
}

#[tokio::test]
async fn a_cut_after_a_pattern_delivers_it_and_swallows_the_answer() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let link = Link::start("test", server.local_addr().expect("bound"), 7).await.expect("a free port");
    link.set(cut(Way::ToServer, Place::Pattern(b"\r\n.\r\n".into()), true));
    let mut client = TcpStream::connect(link.address).await.expect("it listens");
    let (mut served, _) = server.accept().await.expect("connected");
    says(&mut client, "text\r\n.\r").await;
    hears(&mut served, "text\r\n.\r").await;
    says(&mut client, "\nnext").await;
    is_reset(&mut client).await;
    let mut rest = Vec::new();
    let end = timeout(PATIENCE, served.read_to_end(&mut rest)).await.expect("an end").expect_err("a reset");
    assert_eq!(end.kind(), ConnectionReset);
    assert!(b"\n".starts_with(&rest), "{rest:?}");
}

#[tokio::test]
async fn a_cut_after_some_bytes_lets_no_more_through() {
    let (link, mut stream) = link().await;
    link.set(cut(Way::ToClient, Place::Bytes(4), true));
    says(&mut stream, "123456").await;
    let mut heard = Vec::new();
    _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("an end").expect_err("a reset");
    assert!(b"1234".starts_with(&heard), "{heard:?}");
}
