//! The databases of tests: each test has its own, and those of tests that have ended are dropped little by little.
//!
//! A test cannot drop its own: it may end by a panic, and its services hold connections until its process ends.

use std::{path::Path, process};

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// A database of a process, as its name tells.
pub(super) fn name() -> String {
    format!("test_{}_{}", process::id(), Uuid::new_v4().simple())
}

/// Makes a database.
pub(super) async fn create(server: &str, name: &str) -> Result<()> {
    let connection = PgConnection::connect(server).await;
    let mut connection = connection.context("no Postgres for tests: run `scripts/postgres start`")?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    Ok(())
}

/// Drops one database of a process that has ended, if there is one. So their number stays about that of the tests which run: one is dropped
/// for each that is made. Of two that choose the same one, the second drops nothing.
pub(super) async fn drop_an_ended_one(server: &str) -> Result<()> {
    let mut connection = PgConnection::connect(server).await?;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 'test\\_%' ORDER BY random()")
            .fetch_all(&mut connection)
            .await?;
    if let Some(name) = names.iter().find(|name| has_ended(name)) {
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
            .execute(&mut connection)
            .await?;
    }
    Ok(())
}

/// Whether the process in a database's name has ended. Where nothing tells which processes there are, none has.
fn has_ended(name: &str) -> bool {
    let process = name.split('_').nth(1).and_then(|process| process.parse::<u32>().ok());
    process.is_some_and(|process| Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{process}")).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_running_process_has_not_ended() {
        assert!(!has_ended(&name()));
        assert!(!has_ended("test_0123456789abcdef") && !has_ended("test_") && !has_ended("comanda"));
        #[cfg(target_os = "linux")]
        assert!(has_ended("test_4194305_0"), "no process has a number above 2^22");
    }
}
