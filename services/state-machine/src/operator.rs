//! What an operator may ask of the state machine, beside the running roles.

use anyhow::Result;
use comanda_kit::postgres::{self, StoreError};
use comanda_proto::v1::Workflow;
use sqlx::PgPool;
use tracing::{info, warn};

use crate::{
    store::{Chooser, Current, SCHEMA, Store},
    workflow,
};

/// Access for one command.
#[derive(Clone, Debug)]
pub struct Operator {
    pool: PgPool,
    store: Store,
}

impl Operator {
    /// Connects at the first use.
    pub fn connect(postgres: &postgres::Config) -> Result<Self> {
        let pool = postgres::pool(postgres, SCHEMA)?;
        Ok(Self { store: Store::new(pool.clone(), None), pool })
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

    /// Closes its connections.
    pub async fn close(self) {
        self.pool.close().await;
    }
}
