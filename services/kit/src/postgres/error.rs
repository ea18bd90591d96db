//! How a database call can fail, and what a caller may do about it.

use std::{
    sync::{LazyLock, Mutex, PoisonError},
    time::Instant,
};

use metrics::counter;
use tracing::warn;

use crate::errors::ApiError;

/// How a database call can fail.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer within the deadline, or the connection broke: whether a write was applied is unknown.
    #[error("the database does not answer: {0}")]
    Unreachable(String),
    /// No connection in time, because the database is down or all connections are in use: nothing was done.
    #[error("no connection to the database in time")]
    Busy,
    /// The database cancelled the statement because it took too long: nothing was done.
    #[error("the statement took too long: {0}")]
    TooSlow(String),
    /// The database undid the statement, and the same statement may succeed at once: it lost a deadlock or a race, or its connection
    /// holds a plan from before a change of the schema. Nothing was done.
    #[error("the database undid the statement: {0}")]
    Undone(String),
    /// The database refused the statement: nothing was done.
    #[error("the database refused: {0}")]
    Refused(#[source] sqlx::Error),
    /// A row that no version of Comanda wrote.
    #[error("unreadable row: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// Whether the same call may succeed later without any change to the call or the data.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Unreadable(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Database(database) => {
                match kind_of(&database.code().unwrap_or_default(), database.message()) {
                    Kind::Outage => Self::Unreachable(error.to_string()),
                    Kind::Cancelled => Self::TooSlow(error.to_string()),
                    Kind::Undone => Self::Undone(error.to_string()),
                    Kind::StalePlan => {
                        note_stale_plans();
                        Self::Undone(error.to_string())
                    }
                    Kind::Fault => Self::Refused(error),
                }
            }
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Self::Unreachable(error.to_string()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unreachable(error.to_string()),
            _ => Self::Refused(error),
        }
    }
}

impl From<prost::DecodeError> for StoreError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        warn!("call failed: {error}");
        match error {
            // sqlx does not say whether the database refused the connection or the pool had none left.
            StoreError::Busy | StoreError::Unreachable(_) | StoreError::Undone(_) => Self::unavailable(),
            StoreError::TooSlow(_) => Self::overloaded(),
            StoreError::Refused(_) | StoreError::Unreadable(_) => Self::internal(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// The server is stopping, starting or full, or broke off the connection.
    Outage,
    Cancelled,
    Undone,
    StalePlan,
    /// The statement is wrong.
    Fault,
}

/// By SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn kind_of(code: &str, message: &str) -> Kind {
    match code {
        // query_canceled: by statement_timeout, or by an operator.
        "57014" => Kind::Cancelled,
        // serialization_failure, deadlock_detected.
        "40001" | "40P01" => Kind::Undone,
        // feature_not_supported, which Postgres also says of a kept statement whose result has other columns now.
        "0A000" if message.contains("cached plan") => Kind::StalePlan,
        // lock_not_available.
        "55P03" => Kind::Outage,
        _ if ["08", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Kind::Outage,
        _ => Kind::Fault,
    }
}

/// When a statement last met a changed schema. Connections that are older keep statements that may fail again.
static STALE_BEFORE: LazyLock<Mutex<Option<Instant>>> = LazyLock::new(Mutex::default);

fn note_stale_plans() {
    counter!("comanda_stale_plans_total").increment(1);
    *STALE_BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Whether a connection that was opened then may keep statements from before a change of the schema.
pub(crate) fn may_be_stale(opened: Option<Instant>) -> bool {
    let stale_before = *STALE_BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
    stale_before.is_some_and(|moment| opened.is_none_or(|opened| opened <= moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_tells_what_a_caller_may_do() {
        let kinds = [
            ("57014", Kind::Cancelled),
            ("57P01", Kind::Outage),
            ("53300", Kind::Outage),
            ("40P01", Kind::Undone),
            ("40001", Kind::Undone),
            ("23505", Kind::Fault),
            ("0A000", Kind::Fault),
        ];
        for (code, kind) in kinds {
            assert_eq!(kind_of(code, "text"), kind, "{code}");
        }
        assert_eq!(kind_of("0A000", "cached plan must not change result type"), Kind::StalePlan);
    }

    #[test]
    fn only_faults_of_ours_last() {
        assert!(StoreError::Undone(String::new()).is_transient());
        assert!(!StoreError::Unreadable(String::new()).is_transient());
    }
}
