//! The workflows that new orders may follow, as the state machine publishes them.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use comanda_kit::postgres::StoreError;
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

/// What the database said.
#[derive(Debug, Default)]
struct Known {
    /// When it was last asked, whether it answered or not.
    asked: Option<Instant>,
    /// Whether it did not answer then.
    is_silent: bool,
    current: HashMap<String, Pinned>,
}

/// A cache of the current revisions.
#[derive(Clone, Debug)]
pub struct Catalog {
    store: Store,
    known: Arc<RwLock<Known>>,
    asking: Arc<Mutex<()>>,
}

impl Catalog {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        Self { store, known: Arc::default(), asking: Arc::default() }
    }

    /// The current revision of a workflow; `None` if there is no such workflow. While the database is down, the last one known.
    pub async fn current(&self, workflow: &str) -> Result<Option<Pinned>, StoreError> {
        if let Some(found) = self.fresh(workflow) {
            return found;
        }
        let _asking = self.asking.lock().await;
        // Also a failure counts: callers who each asked a silent database anew would wait for it one after the other.
        if let Some(found) = self.fresh(workflow) {
            return found;
        }
        let answer = self.load().await;
        let mut known = self.known.write().expect("no holder of this lock panics");
        (known.asked, known.is_silent) = (Some(Instant::now()), answer.is_err());
        match answer {
            Ok(current) => known.current = current,
            Err(error) if known.current.contains_key(workflow) => {
                warn!("using the workflows known before: {error}");
            }
            Err(error) => return Err(error),
        }
        known.get(workflow)
    }

    /// What an asking that is recent enough came to.
    fn fresh(&self, workflow: &str) -> Option<Result<Option<Pinned>, StoreError>> {
        let known = self.known.read().expect("no holder of this lock panics");
        let is_fresh = known.asked.is_some_and(|asked| asked.elapsed() < FRESH);
        is_fresh.then(|| known.get(workflow))
    }

    async fn load(&self) -> Result<HashMap<String, Pinned>, StoreError> {
        let mut current = HashMap::new();
        for row in self.store.current_workflows().await? {
            let workflow = row.into_workflow()?;
            let first_status = workflow.statuses.first().map(|status| status.name.clone()).unwrap_or_default();
            let pinned = Pinned { workflow: workflow.name.clone(), revision: workflow.revision, first_status };
            current.insert(workflow.name, pinned);
        }
        Ok(current)
    }
}

impl Known {
    fn get(&self, workflow: &str) -> Result<Option<Pinned>, StoreError> {
        match self.current.get(workflow) {
            None if self.is_silent => Err(StoreError::Busy),
            found => Ok(found.cloned()),
        }
    }
}
