//! The workflows that orders pin, kept in memory: a revision never changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use comanda_kit::postgres::StoreError;
use comanda_proto::v1::Workflow;

use super::store::Store;

type Revisions = HashMap<(String, i32), Arc<Workflow>>;

/// Workflows by name and revision.
#[derive(Debug)]
pub struct Workflows {
    store: Store,
    kept: Mutex<Revisions>,
}

impl Workflows {
    /// Reads them when they are asked for.
    pub fn new(store: Store) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// One revision.
    pub async fn get(&self, name: &str, revision: i32) -> Result<Arc<Workflow>, StoreError> {
        let key = (name.to_owned(), revision);
        if let Some(kept) = self.kept().get(&key) {
            return Ok(kept.clone());
        }
        let found = self.store.workflow(name, revision).await?;
        let workflow = Arc::new(found.ok_or_else(|| unknown(name, revision))?);
        self.kept().insert(key, workflow.clone());
        Ok(workflow)
    }

    fn kept(&self) -> MutexGuard<'_, Revisions> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(name: &str, revision: i32) -> StoreError {
    StoreError::Unreadable(format!("there is no revision {revision} of workflow {name:?}"))
}
