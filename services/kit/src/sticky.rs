//! Connections for statements that run all the time. A pool asks a connection that comes back how it is, which is one more round trip
//! for each statement; here it stays with the work, for as long as its statements end well.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};

use crate::postgres::Problem;

/// Connections that were taken from a pool and are used again and again. At most three tenths of the pool's connections stay; what
/// is more goes back after each statement, so that the pool never runs dry.
#[derive(Clone, Debug)]
pub struct Sticky {
    pool: PgPool,
    idle: Arc<Mutex<Vec<PoolConnection<Postgres>>>>,
}

/// A connection for one statement. Dropped without [`Taken::end`], as where a future is dropped half way, it goes back to the pool,
/// which looks after it.
#[derive(Debug)]
pub struct Taken {
    connection: PoolConnection<Postgres>,
    home: Sticky,
}

impl Sticky {
    /// Takes its connections from `pool`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, idle: Arc::default() }
    }

    /// A connection that nobody uses now, or one more of the pool.
    pub async fn take(&self) -> Result<Taken, Problem> {
        let idle = self.idle.lock().expect("no holder panics").pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.pool.acquire().await?,
        };
        Ok(Taken { connection, home: self.clone() })
    }
}

impl Taken {
    /// Ends its use: what ended well is kept for the next statement, anything else goes to the pool to be looked after.
    pub fn end<T>(self, result: Result<T, Problem>) -> Result<T, Problem> {
        let most = self.home.pool.options().get_max_connections() as usize * 3 / 10;
        let mut idle = self.home.idle.lock().expect("no holder panics");
        if result.is_ok() && idle.len() < most.max(1) {
            idle.push(self.connection);
        }
        result
    }
}

impl Deref for Taken {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
