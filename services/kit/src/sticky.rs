//! Connections for the few statements that run all the time. A pool asks each connection that comes back how it is, which is two more
//! round trips for a statement, and Postgres plans a statement anew for its values; here a connection stays with the work for as long as its
//! statements end well, and Postgres keeps their plans.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use sqlx::{
    PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::postgres::{ACQUIRE_TIMEOUT, Problem};

/// How many statements of one kind of work run at once: a writer, a timer, a consumer, a relay.
const CONNECTIONS: u32 = 4;

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
pub struct Sticky {
    pool: PgPool,
    idle: Arc<Mutex<Vec<PoolConnection<Postgres>>>>,
}

/// A connection for one statement. Dropped without [`Taken::end`], as where a future is dropped half way, it is closed.
#[derive(Debug)]
pub struct Taken {
    connection: Option<PoolConnection<Postgres>>,
    home: Sticky,
}

impl Sticky {
    /// Connects as `pool` does.
    pub fn new(pool: &PgPool, commit: Commit) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let options = options.options([("plan_cache_mode", "force_generic_plan")]);
        let options = match commit {
            Commit::Durable => options,
            Commit::Relaxed => options.options([("synchronous_commit", "off")]),
        };
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        Self { pool, idle: Arc::default() }
    }

    /// A connection that nobody uses now.
    pub async fn take(&self) -> Result<Taken, Problem> {
        let idle = self.idle.lock().expect("no holder panics").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        Ok(Taken { connection: Some(connection), home: self.clone() })
    }
}

impl Taken {
    /// Ends its use: it is kept for the next statement if this one ended well.
    pub fn end<T>(mut self, result: Result<T, Problem>) -> Result<T, Problem> {
        if result.is_ok() {
            self.home.idle.lock().expect("no holder panics").extend(self.connection.take());
        }
        result
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Not back to its pool: it may be in the middle of a statement.
        drop(self.connection.take().map(PoolConnection::detach));
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
