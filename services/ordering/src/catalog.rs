//! The workflows that new orders may follow, as the state machine publishes them.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use comanda_kit::postgres::Problem;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use crate::store::Store;

/// After how long the catalog is looked at again.
const FRESH: Duration = Duration::from_secs(2);

/// The revision of a workflow that a new order is pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Pinned {
    pub workflow: String,
    pub revision: i32,
    pub first_status: String,
}

type Known = (Option<Instant>, HashMap<String, Pinned>);

/// A cache of the current revisions.
#[derive(Clone, Debug)]
pub struct Catalog {
    store: Store,
    known: Arc<RwLock<Known>>,
    loading: Arc<Mutex<()>>,
}

impl Catalog {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        Self { store, known: Arc::default(), loading: Arc::default() }
    }

    /// The current revision of a workflow; `None` if there is no such workflow. While the database is down, the last one known.
    pub async fn current(&self, workflow: &str) -> Result<Option<Pinned>, Problem> {
        if let Some(found) = self.fresh(workflow) {
            return Ok(found);
        }
        let _loading = self.loading.lock().await;
        if let Some(found) = self.fresh(workflow) {
            return Ok(found);
        }
        match self.load().await {
            Err(problem) if self.known().1.contains_key(workflow) => {
                warn!("using the workflows known before: {problem}")
            }
            result => result?,
        }
        Ok(self.known().1.get(workflow).cloned())
    }

    /// What a look-up that is recent enough found.
    fn fresh(&self, workflow: &str) -> Option<Option<Pinned>> {
        let known = self.known();
        let is_fresh = known.0.is_some_and(|loaded| loaded.elapsed() < FRESH);
        is_fresh.then(|| known.1.get(workflow).cloned())
    }

    async fn load(&self) -> Result<(), Problem> {
        let mut current = HashMap::new();
        for row in self.store.current_workflows().await? {
            let workflow = row.into_workflow()?;
            let first_status = workflow.statuses.first().map(|status| status.name.clone()).unwrap_or_default();
            let pinned = Pinned { workflow: workflow.name.clone(), revision: workflow.revision, first_status };
            current.insert(workflow.name, pinned);
        }
        *self.known.write().expect("no holder of this lock panics") = (Some(Instant::now()), current);
        Ok(())
    }

    fn known(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().expect("no holder of this lock panics")
    }
}
