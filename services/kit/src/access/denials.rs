//! Denials, counted, for the audit: a caller that is denied a thousand times in a minute gets one row.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use metrics::counter;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    refusal::Why,
    scope::Scope,
    store::{self, Entry},
};
use crate::backoff::sleep;

/// How many rows are written in a minute at most; the rest share one.
const MOST: usize = 100;
const INTERVAL: Duration = Duration::from_secs(60);

/// Who was denied what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Denied {
    tenant: String,
    subject: String,
    detail: String,
}

/// What was denied since the last minute began.
#[derive(Debug)]
pub struct Denials {
    pool: PgPool,
    counted: Mutex<HashMap<Denied, i64>>,
}

impl Denials {
    /// Writes through `pool`, whose connections see the schema `access`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, counted: Mutex::default() }
    }

    /// Notes a denial. `path` is one of the table.
    pub fn note(&self, path: &str, why: Why, who: Option<&Scope>) {
        let text = |of: fn(&Scope) -> &str| who.map(of).unwrap_or_default().to_owned();
        let detail = format!("{} at {path}", why.name());
        add(&mut self.counted(), Denied { tenant: text(Scope::tenant), subject: text(Scope::subject), detail });
    }

    /// Writes them every minute, and at the stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        self.run_every(INTERVAL, stop).await
    }

    async fn run_every(self: Arc<Self>, interval: Duration, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            sleep(interval, &stop).await;
            self.write().await;
        }
        Ok(())
    }

    /// Writes what was noted. What the database does not take is lost, and counted.
    pub async fn write(&self) {
        let counted = std::mem::take(&mut *self.counted());
        if counted.is_empty() {
            return;
        }
        let entries: Vec<_> = counted.into_iter().map(entry).collect();
        if let Err(error) = store::note(&self.pool, &entries).await {
            counter!("comanda_lost_audit_rows_total").increment(entries.len() as u64);
            warn!("{} rows of the audit could not be written: {error}", entries.len());
        }
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<Denied, i64>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(counted: &mut HashMap<Denied, i64>, denied: Denied) {
    let has_room = counted.len() < MOST || counted.contains_key(&denied);
    let of_all = || Denied { detail: "further denials".into(), ..Denied::default() };
    *counted.entry(if has_room { denied } else { of_all() }).or_default() += 1;
}

fn entry((denied, count): (Denied, i64)) -> Entry {
    let Denied { tenant, subject, detail } = denied;
    Entry { tenant, subject, action: "denied".into(), detail, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_of_a_caller_are_counted_and_very_many_share_a_row() {
        let mut counted = HashMap::new();
        let denied = |n: usize| Denied { tenant: "acme".into(), subject: n.to_string(), detail: "role".into() };
        for n in 0..MOST {
            add(&mut counted, denied(n));
        }
        for n in 0..MOST + 50 {
            add(&mut counted, denied(n));
        }
        assert_eq!(counted.len(), MOST + 1);
        assert_eq!(counted[&denied(3)], 2);
        assert_eq!(counted[&Denied { detail: "further denials".into(), ..Denied::default() }], 50);
    }
}
