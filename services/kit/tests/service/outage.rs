//! After an outage, connections are opened again however many callers wait.

use std::{
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use comanda_kit::{
    dedicated::Dedicated,
    postgres::{self, StoreError},
    testing::{Environment, eventually},
};
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::{interval, sleep},
};

/// Calls a second: far more than can wait for a connection at a time.
const CALLS: Duration = Duration::from_millis(4);

/// How long it takes to open a connection: a few round trips and a process of Postgres.
const OPENING: Duration = Duration::from_millis(200);

/// A way to a database that swallows whatever is sent on connections that were made during an outage.
async fn way_to(database: SocketAddr, outage: Arc<AtomicBool>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let mut swallowed = Vec::new();
        while let Ok((mut near, _)) = listener.accept().await {
            if outage.load(Relaxed) {
                swallowed.push(near);
                continue;
            }
            tokio::spawn(async move {
                sleep(OPENING).await;
                let mut far = TcpStream::connect(database).await?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    Ok(address)
}

/// A pool whose database falls silent for as long as the flag is set.
async fn silent_pool(environment: &Environment) -> Result<(PgPool, Arc<AtomicBool>)> {
    let url = &environment.postgres.database_url;
    let options = PgConnectOptions::from_str(url)?;
    let database = format!("{}:{}", options.get_host(), options.get_port());
    let outage = Arc::new(AtomicBool::new(true));
    let way = way_to(tokio::net::lookup_host(&database).await?.next().context("an address")?, outage.clone()).await?;
    let config = postgres::Config {
        database_connections: 4,
        ..postgres::Config::at(url.replacen(&database, &way.to_string(), 1))
    };
    Ok((postgres::pool(&config, "ordering")?, outage))
}

/// Calls at a steady rate, through an outage and after it; waits until one succeeds.
async fn recovers<F>(outage: &AtomicBool, call: impl Fn() -> F)
where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    let (failed, succeeded) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let calls = async {
        let mut ticks = interval(CALLS);
        loop {
            ticks.tick().await;
            let (call, failed, succeeded) = (call(), failed.clone(), succeeded.clone());
            tokio::spawn(async move {
                let count = if call.await.is_ok() { succeeded } else { failed };
                count.fetch_add(1, Relaxed);
            });
        }
    };
    let watch = async {
        eventually("the queue is full of callers who give up", || async { (failed.load(Relaxed) > 500).then_some(()) })
            .await;
        outage.store(false, Relaxed);
        eventually("a call succeeds", || async { (succeeded.load(Relaxed) > 0).then_some(()) }).await;
    };
    tokio::select! {
        () = calls => {}
        () = watch => {}
    }
}

#[tokio::test]
async fn calls_recover_with_a_long_queue() -> Result<()> {
    let environment = Environment::without_topics().await?;
    let (pool, outage) = silent_pool(&environment).await?;
    let calls = Dedicated::for_calls(&pool);
    recovers(&outage, || {
        let calls = calls.clone();
        async move { calls.repeated(|mut c| async { (sqlx::query("SELECT 1").execute(&mut *c).await, c) }).await.map(drop) }
    })
    .await;
    Ok(())
}
