//! What an operator may ask of the state machine, beside the running roles.

use anyhow::Result;
use comanda_kit::{
    dead_letters::{self, DeadLetter},
    postgres::{self, StoreError},
    relay,
};
use comanda_proto::v1::Workflow;
use sqlx::PgPool;
use tracing::{info, warn};

pub use crate::store::operator::{Counts, Ended, ended, erase_reasons, put_back, remove, transitions, unfinished};
use crate::{
    store::{self, Chooser, Current, SCHEMA, Store},
    workflow,
};

/// Access for one command.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Its outbox and its topic.
    pub relay: relay::Operator,
    pool: PgPool,
    store: Store,
}

impl Operator {
    /// Connects at the first use.
    pub fn connect(postgres: &postgres::Config) -> Result<Self> {
        let pool = postgres::pool(postgres, SCHEMA)?;
        Ok(Self { relay: relay::Operator::new(pool.clone()), store: Store::new(pool.clone(), None), pool })
    }

    /// Stores the workflows that are shipped with Comanda. One that is new becomes the current revision of its name, unless a file or an
    /// operator chose that.
    pub async fn store_shipped_workflows(&self) -> Result<()> {
        for workflow in workflow::shipped()? {
            self.store_shipped(&workflow).await?;
        }
        Ok(())
    }

    async fn store_shipped(&self, workflow: &Workflow) -> Result<(), StoreError> {
        let stored = self.store.store_workflow(workflow, Chooser::Shipped).await?;
        if stored.is_new && stored.revision != stored.current {
            info!(
                workflow = workflow.name,
                shipped = stored.revision,
                current = stored.current,
                "a new shipped workflow is stored; the current one was chosen here and stays"
            );
        }
        Ok(())
    }

    /// The current revision of each workflow, by name, and who chose it.
    pub async fn workflows(&self) -> Result<Vec<Current>, StoreError> {
        self.store.choices().await
    }

    /// Makes a revision the one that new orders get; orders under way keep theirs. Returns the revision before; `None` where there is no
    /// such workflow or revision.
    pub async fn use_workflow(&self, name: &str, revision: i32) -> Result<Option<i32>, StoreError> {
        let before = self.store.choose_workflow(name, revision).await?;
        if let Some(before) = before {
            warn!(workflow = name, revision, before, "an operator chose the revision that new orders follow");
        }
        Ok(before)
    }

    /// Counts what has not ended, of one tenant or of all, up to `limit`.
    pub async fn counts(&self, tenant: Option<&str>, limit: i64) -> Result<Counts, StoreError> {
        store::operator::counts(&self.pool, tenant, limit).await
    }

    /// The oldest dead letters, at most `limit`.
    pub async fn dead_letters(&self, limit: i64) -> Result<Vec<DeadLetter>, StoreError> {
        dead_letters::list(&self.pool, limit).await
    }

    /// How many dead letters there are, counted up to `limit`.
    pub async fn count_dead_letters(&self, limit: i64) -> Result<i64, StoreError> {
        dead_letters::count(&self.pool, limit).await
    }

    /// Forgets a dead letter.
    pub async fn forget_dead_letter(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        dead_letters::forget(&self.pool, letter).await
    }

    /// Closes its connections.
    pub async fn close(self) {
        self.pool.close().await;
    }
}
