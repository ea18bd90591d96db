//! The workflows in use: every revision that an order may be pinned to, loaded from the table when it is first met.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use comanda_kit::postgres::StoreError;
use comanda_proto::v1::Workflow;

use crate::store::Store;

type Revisions = HashMap<(String, i32), Arc<Workflow>>;

/// A cache; revisions never change.
#[derive(Clone, Debug)]
pub struct Workflows {
    store: Store,
    known: Arc<RwLock<Revisions>>,
}

impl Workflows {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        Self { store, known: Arc::default() }
    }

    /// One revision of a workflow. Fails if it does not exist: an order can not be pinned to such.
    pub async fn get(&self, name: &str, revision: i32) -> Result<Arc<Workflow>, StoreError> {
        let key = (name.to_owned(), revision);
        if let Some(workflow) = self.cached(&key) {
            return Ok(workflow);
        }
        let mut loaded = Revisions::new();
        for row in self.store.workflows().await? {
            let workflow = row.into_workflow()?;
            loaded.insert((workflow.name.clone(), workflow.revision), Arc::new(workflow));
        }
        *self.known.write().expect("no holder of this lock panics") = loaded;
        self.cached(&key)
            .ok_or_else(|| StoreError::Unreadable(format!("there is no workflow {name} revision {revision}")))
    }

    fn cached(&self, key: &(String, i32)) -> Option<Arc<Workflow>> {
        self.known.read().expect("no holder of this lock panics").get(key).cloned()
    }
}
