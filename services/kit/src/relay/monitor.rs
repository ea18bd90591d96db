//! Looks at outbox and log beside the relay's loop, so that looking never delays publishing: neither a slow count of a large backlog
//! nor a partition that does not answer.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use metrics::gauge;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    log::Log,
    lost_log::{self, Suspicion, fallen},
    operator::Operator,
};
use crate::{
    backoff::sleep,
    lease::{Elector, Lease},
    postgres::StoreError,
};

/// How often the outbox is measured.
const MEASURE: Duration = Duration::from_secs(5);
/// How often the broker's log is compared with what it acked; also at the beginning of each term.
const CHECK: Duration = Duration::from_secs(30);
/// After how long a check is repeated that failed, or that found a loss which another check must confirm.
const CHECK_AGAIN: Duration = Duration::from_secs(5);

/// Watches one outbox and one log.
#[derive(Clone)]
pub struct Monitor {
    pool: PgPool,
    log: Arc<Log>,
}

impl Monitor {
    /// A monitor for the schema that `pool` sees as its own.
    pub fn new(pool: PgPool, log: Arc<Log>) -> Self {
        Self { pool, log }
    }

    /// Looks for as long as this replica leads, until `stop`.
    pub async fn run(&self, elector: &Elector, stop: &CancellationToken) {
        tokio::join!(self.keep_measuring(elector, stop), self.keep_checking(elector, stop));
    }

    async fn keep_measuring(&self, elector: &Elector, stop: &CancellationToken) {
        while elector.held(stop).await.is_some() {
            if let Err(error) = self.measure().await {
                debug!(topic = self.log.topic(), "the outbox was not measured: {error}");
            }
            sleep(MEASURE, stop).await;
        }
    }

    async fn measure(&self) -> Result<(), StoreError> {
        let gauge = |name| gauge!(name, "topic" => self.log.topic().to_owned());
        let operator = Operator::new(self.pool.clone());
        gauge("comanda_outbox_oldest_seconds").set(operator.oldest_seconds().await?);
        gauge("comanda_outbox_depth").set(operator.count().await? as f64);
        Ok(())
    }

    async fn keep_checking(&self, elector: &Elector, stop: &CancellationToken) {
        let (mut epoch, mut next, mut suspicion) = (0, Instant::now(), Suspicion::default());
        while let Some(lease) = elector.held(stop).await {
            if lease.epoch != epoch {
                // What an earlier term suspected is too old to confirm anything.
                (epoch, next, suspicion) = (lease.epoch, Instant::now(), Suspicion::default());
            }
            if Instant::now() >= next {
                next = Instant::now() + self.check_or_warn(lease, &mut suspicion).await;
            }
            sleep(Duration::from_millis(500), stop).await;
        }
    }

    /// Checks, and says after how long to check again.
    async fn check_or_warn(&self, lease: Lease, suspicion: &mut Suspicion) -> Duration {
        match self.check(lease, suspicion).await {
            Ok(()) if suspicion.is_empty() => CHECK,
            Ok(()) => CHECK_AGAIN,
            Err(error) => {
                warn!(topic = self.log.topic(), "the log of the topic could not be checked: {error:#}");
                CHECK_AGAIN
            }
        }
    }

    async fn check(&self, lease: Lease, suspicion: &mut Suspicion) -> Result<()> {
        let (log, acked) = (self.log.clone(), lost_log::acked_offsets(&self.pool).await?);
        let ends = tokio::task::spawn_blocking(move || log.ends()).await??;
        let lost = suspicion.confirm(fallen(&acked, &ends));
        if !lost.is_empty() && lost_log::note(&self.pool, lease, &lost).await? {
            lost_log::report(self.log.topic());
        }
        Ok(())
    }
}
