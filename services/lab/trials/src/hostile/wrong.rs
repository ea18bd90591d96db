//! What no client may send (RFC 9113), each on a connection of its own, and what no client would think of.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    stage::{Bounds, Seen, Stage},
    target::Target,
};
use crate::raw::{
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, LARGEST_WINDOW, PING, PREFACE,
        PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, block, call, frame, frame_of_length, header, hello, prefixed,
        whole_call, window_update,
    },
    wire::{Answers, Wire},
};

/// How long an answer is waited for.
const LASTS: Duration = Duration::from_millis(1000);
/// Random conversations.
const CONVERSATIONS: usize = 400;
/// Of which so many at the same time.
const AT_ONCE: usize = 50;

/// Makes them all.
pub async fn attack(stage: &mut Stage, target: &Target, seed: u64) -> Result<()> {
    stage.attack("what no client may send", Bounds::FLOOD, each(target)).await?;
    stage.attack("random frames", Bounds::FLOOD, random(target, seed)).await
}

/// The server may end the connection or the stream; it may also take no notice.
async fn each(target: &Target) -> Result<Seen> {
    let all = violations(target.path());
    let answers = try_join_all(all.iter().map(|(_, bytes)| say(target, bytes.clone()))).await?;
    let open: Vec<_> =
        all.iter().zip(&answers).filter(|(_, answers)| !answers.closed).map(|((name, _), _)| *name).collect();
    Ok(Seen::from(format!(
        "{} of {} connections closed; borne: {}",
        all.len() - open.len(),
        all.len(),
        open.join(", ")
    )))
}

async fn say(target: &Target, bytes: Vec<u8>) -> Result<Answers> {
    let mut wire = Wire::connect(target.address).await?;
    wire.send(&bytes, LASTS).await;
    Ok(wire.read(LASTS).await)
}

/// What is wrong, and the bytes.
fn violations(path: &str) -> Vec<(&'static str, Vec<u8>)> {
    let after_hello = |bytes: Vec<u8>| [hello(&[]), bytes].concat();
    let in_call = |bytes: Vec<u8>| [hello(&[]), call(1, path, 0), bytes].concat();
    vec![
        ("window overflow", after_hello([window_update(0, LARGEST_WINDOW), window_update(0, LARGEST_WINDOW)].concat())),
        (
            "stream window overflow",
            in_call([window_update(1, LARGEST_WINDOW), window_update(1, LARGEST_WINDOW)].concat()),
        ),
        ("window increment of 0", in_call([window_update(1, 0), window_update(0, 0)].concat())),
        ("initial window too large", hello(&[(INITIAL_WINDOW, u32::MAX)])),
        ("frame beyond the maximum", after_hello(frame_of_length(1 << 23, DATA, 0, 1, &[0; 65_536]))),
        ("DATA on stream 0", after_hello(frame(DATA, 0, 0, &[0; 10]))),
        ("DATA on an idle stream", after_hello(frame(DATA, 0, 99, &[0; 10]))),
        ("a stream of the server's", after_hello(call(2, path, END_STREAM))),
        ("a stream number gone back", after_hello([call(9, path, END_STREAM), call(3, path, END_STREAM)].concat())),
        ("HEADERS twice", in_call(frame(HEADERS, END_HEADERS, 1, &block(path)))),
        (
            "a frame within a header",
            after_hello([frame(HEADERS, 0, 1, &block(path)), frame(PING, 0, 0, &[0; 8])].concat()),
        ),
        ("CONTINUATION of nothing", after_hello(frame(CONTINUATION, END_HEADERS, 1, &block(path)))),
        ("headers of 100 KiB", after_hello(long_headers(path))),
        ("a header index of nothing", after_hello(frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0x7f]))),
        ("a header table of 4 GiB", after_hello(frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x0f]))),
        ("one header a thousand times", after_hello(header_bomb(path))),
        ("SETTINGS of 5 bytes", after_hello(frame(SETTINGS, 0, 0, &[0; 5]))),
        ("SETTINGS of a stream", after_hello(frame(SETTINGS, 0, 1, &[]))),
        ("PING of 7 bytes", after_hello(frame(PING, 0, 0, &[0; 7]))),
        ("RST_STREAM of an idle stream", after_hello(frame(RST_STREAM, 0, 77, &[0; 4]))),
        ("PUSH_PROMISE of a client", in_call(frame(PUSH_PROMISE, END_HEADERS, 1, &[0; 4]))),
        ("PRIORITY upon itself", in_call(frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 1]))),
        ("padding beyond the frame", in_call(frame(DATA, 8, 1, &[255, 0, 0]))),
        ("GOAWAY and on", after_hello([frame(GOAWAY, 0, 0, &[0; 8]), whole_call(1, path, &[])].concat())),
        ("no SETTINGS first", [PREFACE, &whole_call(1, path, &[])].concat()),
        ("compressed, but not told how", in_call(frame(DATA, END_STREAM, 1, &[1, 0, 0, 0, 3, 1, 2, 3]))),
        ("two messages in a call", in_call(frame(DATA, END_STREAM, 1, &[prefixed(&[]), prefixed(&[])].concat()))),
        ("a call without a message", after_hello(call(1, path, END_STREAM))),
        ("a deadline of no time", after_hello(call_with(path, &header("grpc-timeout", "0n")))),
        ("a deadline of ages", after_hello(call_with(path, &header("grpc-timeout", "99999999H")))),
        ("a deadline of nonsense", after_hello(call_with(path, &header("grpc-timeout", "-1?")))),
        ("a compression of nobody", after_hello(call_with(path, &header("grpc-encoding", "none such")))),
        ("a header with a line break", after_hello(call_with(path, &header("x", "a\r\nb")))),
        ("a second path", after_hello(call_with(path, &header(":path", "/")))),
        ("a path that is none", after_hello(whole_call(1, "comanda", &[]))),
        (
            "HTTP/1.1",
            b"POST /comanda.v1.OrderService/CreateOrder HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345".to_vec(),
        ),
        ("TLS", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 508]].concat()),
        ("noise", (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
    ]
}

/// A whole call with one more header.
fn call_with(path: &str, header: &[u8]) -> Vec<u8> {
    let headers = [&block(path), header].concat();
    [frame(HEADERS, END_HEADERS, 1, &headers), frame(DATA, END_STREAM, 1, &prefixed(&[]))].concat()
}

fn long_headers(path: &str) -> Vec<u8> {
    let more = header("x", &"y".repeat(100)).repeat(150);
    let first = frame(HEADERS, 0, 1, &block(path));
    let next = frame(CONTINUATION, 0, 1, &more).repeat(6);
    [first, next, frame(CONTINUATION, END_HEADERS, 1, &[])].concat()
}

/// A header is put into the table once, and then named by its place there, one byte each.
fn header_bomb(path: &str) -> Vec<u8> {
    let value = "y".repeat(120);
    let indexed = [&[0x40, 1, b'x', 120][..], value.as_bytes()].concat();
    frame(HEADERS, END_HEADERS, 1, &[block(path), indexed, vec![0xbe; 10_000]].concat())
}

async fn random(target: &Target, seed: u64) -> Result<Seen> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut closed = 0;
    for _ in 0..CONVERSATIONS / AT_ONCE {
        let all: Vec<_> = (0..AT_ONCE).map(|_| conversation(target.path(), &mut rng)).collect();
        let answers = try_join_all(all.into_iter().map(|bytes| say(target, bytes))).await?;
        closed += answers.iter().filter(|answers| answers.closed).count();
    }
    Ok(Seen::from(format!("{closed} of {CONVERSATIONS} connections closed")))
}

/// Frames of any kind on a few streams, some of them right; or a right conversation with some bits turned.
fn conversation(path: &str, rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = [hello(&[]), whole_call(1, path, &[]), call(3, path, 0)].concat();
    if rng.random_bool(0.5) {
        for _ in 0..rng.random_range(1..4) {
            let place = rng.random_range(PREFACE.len()..bytes.len());
            bytes[place] ^= 1 << rng.random_range(0..8);
        }
        return bytes;
    }
    for _ in 0..rng.random_range(1..20) {
        let payload: Vec<u8> = (0..rng.random_range(0..40)).map(|_| rng.random()).collect();
        bytes.extend(frame(rng.random_range(0..12), rng.random(), rng.random_range(0..8), &payload));
    }
    bytes
}
