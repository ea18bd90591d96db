//! The workflows that the state machine publishes, kept in memory: by revision, which never changes, and the current revision of each
//! name, which is asked for again every two seconds. While the database is silent the last known revision stays current.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use comanda_proto::{v1::Workflow, views::WorkflowRow};
use sqlx::PgPool;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use crate::postgres::{StoreError, bounded};

/// After how long the current revisions are asked for again.
const FRESH: Duration = Duration::from_secs(2);

/// A cache of workflows. Clones share it.
#[derive(Clone, Debug)]
pub struct Workflows {
    pool: PgPool,
    known: Arc<RwLock<Known>>,
    /// Held by the one caller who asks the database for the current revisions.
    asking: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct Known {
    revisions: HashMap<(String, i32), Arc<Workflow>>,
    current: HashMap<String, i32>,
    /// When the current revisions were asked for, whether the database answered or not.
    asked: Option<Instant>,
    /// Whether it did not answer then.
    is_silent: bool,
}

impl Workflows {
    /// An empty cache.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, known: Arc::default(), asking: Arc::default() }
    }

    /// One revision of a workflow. One that does not exist is [`StoreError::Unreadable`]: no order can be pinned to it.
    pub async fn get(&self, name: &str, revision: i32) -> Result<Arc<Workflow>, StoreError> {
        let key = (name.to_owned(), revision);
        if let Some(workflow) = self.read(|known| known.revisions.get(&key).cloned()) {
            return Ok(workflow);
        }
        let row = bounded(
            sqlx::query_as::<_, WorkflowRow>(
                "SELECT name, revision, definition, current
                 FROM state_machine.workflow_definitions
                 WHERE name = $1 AND revision = $2",
            )
            .bind(name)
            .bind(revision)
            .fetch_optional(&self.pool),
        )
        .await?;
        let missing = || StoreError::Unreadable(format!("there is no workflow {name} revision {revision}"));
        let workflow = Arc::new(row.ok_or_else(missing)?.into_workflow()?);
        self.write(|known| known.revisions.insert(key, workflow.clone()));
        Ok(workflow)
    }

    /// The revision of a workflow that new orders get; `None` where there is no workflow of this name.
    pub async fn current(&self, name: &str) -> Result<Option<Arc<Workflow>>, StoreError> {
        match self.current_revision(name).await? {
            Some(revision) => self.get(name, revision).await.map(Some),
            None => Ok(None),
        }
    }

    async fn current_revision(&self, name: &str) -> Result<Option<i32>, StoreError> {
        if let Some(answer) = self.read(|known| known.fresh(name)) {
            return answer;
        }
        let _asking = self.asking.lock().await;
        // A failure counts too: callers who each asked a silent database would wait for it one after the other.
        if let Some(answer) = self.read(|known| known.fresh(name)) {
            return answer;
        }
        let answer = self.load_current().await;
        self.write(|known| known.note(name, answer))
    }

    async fn load_current(&self) -> Result<HashMap<String, i32>, StoreError> {
        let statement = "SELECT name, revision FROM state_machine.workflow_definitions WHERE current";
        let rows: Vec<(String, i32)> = bounded(sqlx::query_as(statement).fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().collect())
    }

    fn read<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().expect("no holder of this lock panics"))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.known.write().expect("no holder of this lock panics"))
    }
}

impl Known {
    /// The answer to a question that was asked recently enough.
    fn fresh(&self, name: &str) -> Option<Result<Option<i32>, StoreError>> {
        self.asked.is_some_and(|asked| asked.elapsed() < FRESH).then(|| self.answer(name))
    }

    fn answer(&self, name: &str) -> Result<Option<i32>, StoreError> {
        match self.current.get(name) {
            None if self.is_silent => Err(StoreError::Busy),
            found => Ok(found.copied()),
        }
    }

    fn note(
        &mut self,
        name: &str,
        answer: Result<HashMap<String, i32>, StoreError>,
    ) -> Result<Option<i32>, StoreError> {
        (self.asked, self.is_silent) = (Some(Instant::now()), answer.is_err());
        match answer {
            Ok(current) => self.current = current,
            Err(error) if self.current.contains_key(name) => warn!("using the workflows known before: {error}"),
            Err(error) => return Err(error),
        }
        self.answer(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(revision: i32) -> HashMap<String, i32> {
        HashMap::from([("delivery".to_owned(), revision)])
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_known_revision_stays_current_while_the_database_is_silent() {
        let mut known = Known::default();
        assert!(known.fresh("delivery").is_none(), "nothing was asked yet");
        assert_eq!(known.note("delivery", Ok(delivery(1))).expect("known"), Some(1));
        assert_eq!(known.fresh("ride").expect("fresh").expect("answered"), None);
        tokio::time::advance(FRESH).await;
        assert!(known.fresh("delivery").is_none(), "to be asked for again");
        assert_eq!(known.note("delivery", Err(StoreError::Busy)).expect("known before"), Some(1));
        assert_eq!(known.fresh("delivery").expect("fresh").expect("known before"), Some(1));
        assert!(known.fresh("ride").expect("fresh").is_err(), "unknown while the database is silent");
        assert_eq!(known.note("delivery", Ok(delivery(2))).expect("known"), Some(2));
    }
}
