//! Connections for the few statements that run all the time. A pool asks each connection that comes back how it is, which is two more
//! round trips for a statement, and Postgres plans a statement anew for its values; here a connection stays with the work for as long as its
//! statements end well, and Postgres keeps their plans.

use std::{
    future::Future,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use sqlx::{Connection, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::postgres::{ACQUIRE_TIMEOUT, Deadlocks, StoreError, bounded};

/// How many statements of one kind of work run at once: a writer, a timer, a consumer, a relay.
const CONNECTIONS: usize = 4;

/// When a commit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// When it is on the disk.
    Durable,
    /// At once. A crash of the database may undo it, as if it had never been asked for: only for what is then simply done again.
    Relaxed,
}

/// A few connections of its own.
#[derive(Clone, Debug)]
pub struct Dedicated {
    options: Arc<PgConnectOptions>,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<PgConnection>>>,
}

/// A connection for one statement. Dropped without [`Taken::end`], as where a future is dropped half way, it is closed.
#[derive(Debug)]
pub struct Taken {
    connection: Option<PgConnection>,
    idle: Arc<Mutex<Vec<PgConnection>>>,
    /// Given back after the connection, so that whoever waits finds it.
    _turn: OwnedSemaphorePermit,
}

impl Dedicated {
    /// Connects as `pool` does, at the first use.
    pub fn new(pool: &PgPool, commit: Commit) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let options = options.options([("plan_cache_mode", "force_generic_plan")]);
        let options = match commit {
            Commit::Durable => options,
            Commit::Relaxed => options.options([("synchronous_commit", "off")]),
        };
        Self { options: Arc::new(options), turns: Arc::new(Semaphore::new(CONNECTIONS)), idle: Arc::default() }
    }

    /// A connection that nobody uses now; waits for one, like a pool, for a bounded time.
    pub async fn take(&self) -> Result<Taken, StoreError> {
        timeout(ACQUIRE_TIMEOUT, self.take_turn()).await.unwrap_or(Err(StoreError::Busy))
    }

    /// Runs one statement under the deadline, and repeats it where it lost a deadlock. `statement` returns the connection that it is
    /// given beside its result.
    pub async fn repeated<T, F>(&self, mut statement: impl FnMut(Taken) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = (Taken, Result<T, sqlx::Error>)>,
    {
        let mut deadlocks = Deadlocks::default();
        loop {
            let connection = self.take().await?;
            let (connection, result) = bounded(async { Ok(statement(connection).await) }).await?;
            let result = connection.end(result.map_err(StoreError::from));
            if !deadlocks.repeat(&result) {
                return result;
            }
        }
    }

    async fn take_turn(&self) -> Result<Taken, StoreError> {
        let turn = self.turns.clone().acquire_owned().await.expect("never closed");
        let idle = self.idle.lock().expect("no holder panics").pop();
        let connection = match idle {
            Some(connection) => connection,
            // Not connected is nothing done.
            None => PgConnection::connect_with(&self.options).await.map_err(|_| StoreError::Busy)?,
        };
        Ok(Taken { connection: Some(connection), idle: self.idle.clone(), _turn: turn })
    }
}

impl Taken {
    /// Ends its use: it is kept for the next statement if this one ended well.
    pub fn end<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_ok() {
            self.idle.lock().expect("no holder panics").extend(self.connection.take());
        }
        result
    }
}

impl Deref for Taken {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("there until it ends")
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("there until it ends")
    }
}
