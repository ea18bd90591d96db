use std::time::{Duration, Instant};

use anyhow::Result;
use comanda_proto::v1::{BatchCreateOrdersRequest, batch_create_orders_response::result::Outcome};
use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::fixture::{Fixture, create, reason, request};

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_what_it_accepted_is_written() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    // A full queue is written before its callers give up (5.5 s).
    fixture.slow_down_inserts(0.5).await?;
    let batches = join_all((0..28).map(|_| {
        let (mut client, requests) = (client.clone(), vec![request(); 100]);
        async move { client.batch_create_orders(BatchCreateOrdersRequest { requests }).await }
    }));
    let singles = join_all((0..200).map(|_| create(&client, request())));
    let (batches, singles) = tokio::join!(batches, singles);

    let (batches, refused_batches) = split(batches);
    let (singles, refused_singles) = split(singles);
    let rows = batches.into_iter().flat_map(|batch| batch.into_inner().results).filter_map(|row| row.outcome);
    let accepted = singles.len() + rows.filter(|row| matches!(row, Outcome::Created(_))).count();
    assert!((1024..3000).contains(&accepted), "{accepted} of 3000 orders were accepted");
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, accepted as i64);
    for status in refused_batches.into_iter().chain(refused_singles) {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
        let retry = status.get_details_retry_info().expect("says when to come back");
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(500)));
    }
    replica.stop().await
}

fn split<T>(answers: Vec<Result<T, Status>>) -> (Vec<T>, Vec<Status>) {
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    (good.into_iter().flatten().collect(), bad.into_iter().filter_map(Result::err).collect())
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_ten_seconds() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let (started, mut silent) = (Instant::now(), TcpStream::connect(replica.address).await?);
    let mut slow = TcpStream::connect(replica.address).await?;
    slow.write_all(b"PRI * HTT").await?;
    for socket in [&mut silent, &mut slow] {
        let mut bytes = Vec::new();
        // Either end is one: a FIN or a reset. The server may say its settings before.
        let _ = socket.read_to_end(&mut bytes).await;
        let elapsed = started.elapsed();
        assert!((9..13).contains(&elapsed.as_secs()), "closed after {elapsed:?}");
    }
    create(&client, request()).await?;
    replica.stop().await
}

#[tokio::test]
async fn sockets_that_say_nothing_or_never_read_do_not_hold_up_the_stop() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    create(&client, request()).await?;
    let _silent = TcpStream::connect(replica.address).await?;
    let mut deaf = TcpStream::connect(replica.address).await?;
    // The preface and empty settings, then many pings whose answers are never read.
    deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let ping = b"\0\0\x08\x06\0\0\0\0\0pingping";
    let flood = ping.repeat(100_000);
    let _ = tokio::time::timeout(Duration::from_secs(1), deaf.write_all(&flood)).await;

    let started = Instant::now();
    replica.stop().await?;
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_connection_that_breaks_the_protocol_on_thousands_of_streams_is_closed() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let (mut reader, mut writer) = TcpStream::connect(replica.address).await?.into_split();
    writer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    // HEADERS that are whole and end their stream, with one header and without a method.
    let broken = |stream: u32| [&b"\0\0\x05\x01\x05"[..], &stream.to_be_bytes(), b"\0\x01a\x01b"].concat();
    let flood: Vec<u8> = (0..5000).flat_map(|n| broken(2 * n + 1)).collect();
    let mut answers = Vec::new();
    let both = async { tokio::join!(writer.write_all(&flood), reader.read_to_end(&mut answers)) };
    tokio::time::timeout(Duration::from_secs(5), both).await.expect("the connection is closed").1.ok();
    create(&client, request()).await?;
    replica.stop().await
}
