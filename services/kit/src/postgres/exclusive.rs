//! Commands of an operator that must not run at the same time.
//!
//! The command that runs holds an advisory lock of its session, and works on the connection that holds it: a lock that is lost takes
//! the connection, and so the command, with it.

use std::ops::{Deref, DerefMut};

use anyhow::{Context, Result, bail};
use sqlx::{Connection, PgConnection};

use super::{ACQUIRE_TIMEOUT, Config, StoreError, bounded, planned};

/// The advisory lock's key: "comanda!" in ASCII.
const LOCK: i64 = 0x636f_6d61_6e64_6121;

/// A connection that no other such command has. It sees no schema as its own: names need theirs. Its account must be one that may do what the services
/// may, such as that of `comanda migrate`.
#[derive(Debug)]
pub struct Exclusive {
    connection: PgConnection,
}

impl Exclusive {
    /// Takes the lock for `command`, as a user calls it (`comanda purge`). Fails at once where another command has it, naming that one.
    pub async fn begin(config: &Config, command: &str) -> Result<Self> {
        let options = planned(config, "public")?.application_name(command);
        let connecting = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(&options));
        let connection = connecting.await.map_err(|_| StoreError::Busy)?.map_err(StoreError::from);
        let mut exclusive = Self { connection: connection.context("the database does not answer")? };
        if exclusive.take_lock().await? {
            return Ok(exclusive);
        }
        match exclusive.holder().await? {
            Some(other) => bail!("`{other}` is running on this database: run `{command}` again when it has ended"),
            None => bail!("another command was running on this database until now: run `{command}` again"),
        }
    }

    async fn take_lock(&mut self) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
        bounded(statement.fetch_one(&mut self.connection)).await
    }

    async fn holder(&mut self) -> Result<Option<String>, StoreError> {
        let statement = sqlx::query_scalar(
            "SELECT a.application_name
             FROM pg_locks l
             JOIN pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (l.classid::bigint << 32) | l.objid::bigint = $1",
        );
        bounded(statement.bind(LOCK).fetch_optional(&mut self.connection)).await
    }
}

impl Deref for Exclusive {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Exclusive {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
