//! Connections for the few statements that run all the time.
//!
//! A pool checks each connection that is given back, which costs two more round trips, and Postgres makes a new plan for each statement.
//! Here a connection stays with the work for as long as its statements succeed, and Postgres keeps their plans.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
    time::Instant,
};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::postgres::{ACQUIRE_TIMEOUT, StoreError, TRIES, may_be_stale, within_deadline};

/// How many statements of one kind of work run at once: a writer, a timer, a consumer, a relay.
const CONNECTIONS: usize = 4;

/// When a commit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// When it is on the disk.
    Durable,
    /// At once. A crash of the database may undo it: only for work that is then simply done again.
    Relaxed,
}

/// A few connections for one kind of work.
#[derive(Clone, Debug)]
pub struct Dedicated {
    /// Whose options, such as the password, are those of its next connection.
    pool: PgPool,
    commit: Commit,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Kept>>>,
}

/// A connection and when it was opened.
#[derive(Debug)]
struct Kept {
    connection: PgConnection,
    opened: Instant,
}

/// A connection for one statement. Dropped without [`Taken::end`], as where a future is dropped half way, it is closed.
#[derive(Debug)]
pub struct Taken {
    kept: Option<Kept>,
    idle: Arc<Mutex<Vec<Kept>>>,
    /// Given back after the connection, so that the next in turn finds it.
    _turn: OwnedSemaphorePermit,
}

impl Dedicated {
    /// Connects as `pool` does, at the first use.
    pub fn new(pool: &PgPool, commit: Commit) -> Self {
        Self::of(pool, commit, CONNECTIONS)
    }

    /// For what callers ask of single rows: half as many connections as the pool's, at least one. Callers wait here and not in the pool,
    /// so that no number of them keeps the work that nobody asked for from a connection.
    pub fn for_calls(pool: &PgPool) -> Self {
        Self::of(pool, Commit::Durable, (pool.options().get_max_connections() as usize / 2).max(1))
    }

    fn of(pool: &PgPool, commit: Commit, connections: usize) -> Self {
        Self { pool: pool.clone(), commit, turns: Arc::new(Semaphore::new(connections)), idle: Arc::default() }
    }

    fn options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        let options = options.options([("plan_cache_mode", "force_generic_plan")]);
        match self.commit {
            Commit::Durable => options,
            Commit::Relaxed => options.options([("synchronous_commit", "off")]),
        }
    }

    /// A free connection. Waiting for a turn and opening a connection are bounded separately: if they shared one deadline, a caller that has
    /// waited long could not open a connection in the time that is left, and after an outage no caller could.
    pub async fn take(&self) -> Result<Taken, StoreError> {
        let turn = timeout(ACQUIRE_TIMEOUT, self.turns.clone().acquire_owned()).await.map_err(|_| StoreError::Busy)?;
        let kept = match self.next_idle() {
            Some(kept) => kept,
            // Without a connection nothing was done.
            None => timeout(ACQUIRE_TIMEOUT, self.open()).await.ok().and_then(Result::ok).ok_or(StoreError::Busy)?,
        };
        Ok(Taken { kept: Some(kept), idle: self.idle.clone(), _turn: turn.expect("never closed") })
    }

    /// Runs one statement, and tries it again where the database undid it, with the waiting all under one deadline. `statement` returns
    /// the connection that it is given beside its result.
    pub async fn repeated<T, F>(&self, mut statement: impl FnMut(Taken) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = (Result<T, sqlx::Error>, Taken)>,
    {
        within_deadline(async {
            let mut tries = 0;
            loop {
                let (result, connection) = statement(self.take().await?).await;
                let result = connection.end(result.map_err(StoreError::from));
                tries += 1;
                if tries == TRIES || !matches!(result, Err(StoreError::Undone(_))) {
                    return result;
                }
            }
        })
        .await
    }

    fn next_idle(&self) -> Option<Kept> {
        let mut idle = self.idle.lock().expect("no holder panics");
        idle.retain(|kept| !may_be_stale(Some(kept.opened)));
        idle.pop()
    }

    async fn open(&self) -> Result<Kept, sqlx::Error> {
        let opened = Instant::now();
        Ok(Kept { connection: PgConnection::connect_with(&self.options()).await?, opened })
    }
}

impl Taken {
    /// Ends its use: it is kept for the next statement if this one ended well.
    pub fn end<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_ok() {
            self.idle.lock().expect("no holder panics").extend(self.kept.take());
        }
        result
    }
}

impl Deref for Taken {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.kept.as_ref().expect("there until it ends").connection
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.kept.as_mut().expect("there until it ends").connection
    }
}
