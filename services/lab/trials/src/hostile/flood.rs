//! Very many small things on one connection, right or nearly so.

use std::time::Duration;

use anyhow::Result;

use super::{
    stage::{Bounds, Seen, Stage},
    target::Target,
};
use crate::raw::{
    frames::{
        ACK, CONTINUATION, DATA, HEADERS, INITIAL_WINDOW, LARGEST_WINDOW, PING, PRIORITY, SETTINGS, block, call,
        claimed, frame, header, hello, reset, whole_call, window_update,
    },
    wire::Wire,
};

/// How long each lasts, unless the server ends it.
const LASTS: Duration = Duration::from_millis(1500);
/// Connections that do the same at the same time.
const CONNECTIONS: usize = 4;
/// Frames that are sent in one piece.
const PIECE: u32 = 64;

/// The bytes of each round.
type Rounds = fn(&str, u32) -> Vec<u8>;

/// Those whose answers are read.
const FLOODS: [(&str, Rounds); 14] = [
    ("rapid reset", |path, round| each(round, |n| [call(odd(n), path, 0), reset(odd(n))].concat())),
    ("rapid reset of whole calls", |path, round| {
        each(round, |n| [whole_call(odd(n), path, &[]), reset(odd(n))].concat())
    }),
    ("CONTINUATION", |path, round| match round {
        0 => frame(HEADERS, 0, 1, &block(path)),
        _ => frame(CONTINUATION, 0, 1, &header("x", &"y".repeat(100)).repeat(150)),
    }),
    ("empty CONTINUATION", |path, round| match round {
        0 => frame(HEADERS, 0, 1, &block(path)),
        _ => each(round, |_| frame(CONTINUATION, 0, 1, &[])),
    }),
    ("tiny DATA", |path, round| match round {
        0 => [call(1, path, 0), frame(DATA, 0, 1, &claimed(60_000))].concat(),
        _ => each(round, |_| frame(DATA, 0, 1, &[0])),
    }),
    ("empty DATA", |path, round| match round {
        0 => call(1, path, 0),
        _ => each(round, |_| frame(DATA, 0, 1, &[])),
    }),
    ("SETTINGS", |_, round| each(round, |n| frame(SETTINGS, 0, 0, &window_setting(n)))),
    ("SETTINGS acks", |_, round| each(round, |_| frame(SETTINGS, ACK, 0, &[]))),
    ("PING", |_, round| each(round, |_| frame(PING, 0, 0, b"12345678"))),
    ("PRIORITY", |_, round| each(round, |n| frame(PRIORITY, 0, odd(n), &[0, 0, 0, 0, 16]))),
    ("WINDOW_UPDATE", |_, round| each(round, |_| window_update(0, 1))),
    ("frames of no known kind", |_, round| each(round, |_| frame(0xfa, 0xff, 0, &[0; 100]))),
    ("whole calls", |path, round| each(round, |n| whole_call(odd(n), path, &[]))),
    ("calls of no method", |_, round| each(round, |n| whole_call(odd(n), "/comanda.v1.OrderService/None", &[]))),
];

/// Those whose answers nobody reads.
const UNREAD: [(&str, Rounds); 3] = [
    ("PING, unread", |_, round| each(round, |_| frame(PING, 0, 0, b"12345678"))),
    ("SETTINGS, unread", |_, round| each(round, |n| frame(SETTINGS, 0, 0, &window_setting(n)))),
    ("whole calls, unread", |path, round| each(round, |n| whole_call(odd(n), path, &[]))),
];

/// Makes them all.
pub async fn attack(stage: &mut Stage, target: &Target) -> Result<()> {
    for (name, rounds) in FLOODS {
        stage.attack(name, Bounds::FLOOD, read(target, rounds)).await?;
    }
    for (name, rounds) in UNREAD {
        stage.attack(name, Bounds::FLOOD, unread(target, rounds)).await?;
    }
    Ok(())
}

async fn read(target: &Target, rounds: Rounds) -> Result<Seen> {
    let connections = (0..CONNECTIONS).map(|_| async {
        let mut wire = Wire::connect(target.address).await?;
        wire.send(&hello(&[]), LASTS).await;
        let (path, mut sent) = (target.path(), 0_u64);
        let next = |round| {
            sent = round;
            u32::try_from(round).ok().map(|round| rounds(path, round))
        };
        let answers = wire.send_and_read(next, LASTS).await;
        anyhow::Ok(format!("{sent} rounds, {answers}"))
    });
    let seen = futures::future::try_join_all(connections).await?;
    Ok(Seen::from(seen.into_iter().next().unwrap_or_default()))
}

async fn unread(target: &Target, rounds: Rounds) -> Result<Seen> {
    let connections = (0..CONNECTIONS).map(|_| async {
        let mut wire = Wire::connect_narrow(target.address).await?;
        wire.send(&hello(&[(INITIAL_WINDOW, LARGEST_WINDOW)]), LASTS).await;
        let began = tokio::time::Instant::now();
        let mut sent = 0;
        while sent < u32::MAX && wire.send(&rounds(target.path(), sent), LASTS.saturating_sub(began.elapsed())).await {
            sent += 1;
        }
        // What the server has taken in by now, it holds.
        tokio::time::sleep(LASTS.saturating_sub(began.elapsed())).await;
        anyhow::Ok(format!("{sent} rounds taken"))
    });
    let seen = futures::future::try_join_all(connections).await?;
    Ok(Seen::from(seen.into_iter().next().unwrap_or_default()))
}

/// The number of a stream that a client opens.
fn odd(number: u32) -> u32 {
    (2 * number + 1) & LARGEST_WINDOW
}

fn each(round: u32, one: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..PIECE).flat_map(|n| one(round.wrapping_mul(PIECE).wrapping_add(n))).collect()
}

fn window_setting(number: u32) -> Vec<u8> {
    [&INITIAL_WINDOW.to_be_bytes()[..], &(number % 100_000).to_be_bytes()].concat()
}
