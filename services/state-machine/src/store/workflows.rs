//! Workflows, in all their revisions, and which revision new orders get.

use comanda_kit::postgres::{StoreError, bounded};
use comanda_proto::{v1::Workflow, views::WorkflowRow};
use prost::Message;
use sqlx::FromRow;

use super::Store;

/// Who made a revision the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chooser {
    /// Comanda, with the workflows that are shipped: gives way to both others.
    Shipped,
    /// A starting state machine, with a workflow file.
    File,
    /// An operator, by command.
    Operator,
}

impl Chooser {
    fn as_str(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::File => "file",
            Self::Operator => "operator",
        }
    }
}

/// The revision of a definition, and the revision of its name that new orders get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
#[allow(missing_docs)]
pub struct Stored {
    pub revision: i32,
    pub current: i32,
    /// Whether the definition was not known before.
    pub is_new: bool,
}

/// A name's current revision, and how it became that.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Current {
    /// Name of the workflow.
    pub name: String,
    /// The revision that new orders get.
    pub revision: i32,
    /// The newest revision there is.
    pub newest: i32,
    /// `shipped`, `file` or `operator`.
    pub chosen_by: String,
    /// How often another revision was chosen.
    pub changes: i64,
}

impl Store {
    /// The current revision of each workflow, by name.
    pub async fn current_workflows(&self, after_name: &str, limit: i64) -> Result<Vec<WorkflowRow>, StoreError> {
        bounded(
            sqlx::query_as(
                "SELECT name, revision, definition, current
                 FROM workflow_definitions
                 WHERE current AND name > $1
                 ORDER BY name
                 LIMIT $2",
            )
            .bind(after_name)
            .bind(limit)
            .fetch_all(&self.pool),
        )
        .await
    }

    /// One revision of a workflow; without a revision the current one.
    pub async fn workflow(&self, name: &str, revision: Option<i32>) -> Result<Option<WorkflowRow>, StoreError> {
        bounded(
            sqlx::query_as(
                "SELECT name, revision, definition, current
                 FROM workflow_definitions
                 WHERE name = $1 AND CASE WHEN $2::integer IS NULL THEN current ELSE revision = $2 END",
            )
            .bind(name)
            .bind(revision)
            .fetch_optional(&self.pool),
        )
        .await
    }

    /// Stores a workflow. A definition that is new becomes the current revision, unless it is shipped and somebody else chose the current
    /// one. A known definition keeps its revision and changes nothing: a restart is no choice.
    pub async fn store_workflow(&self, workflow: &Workflow, chooser: Chooser) -> Result<Stored, StoreError> {
        let definition = Workflow { name: String::new(), revision: 0, ..workflow.clone() }.encode_to_vec();
        loop {
            if let Some(stored) = self.store_new(&workflow.name, &definition, chooser).await? {
                return Ok(stored);
            }
            if let Some(stored) = self.find_known(&workflow.name, &definition, chooser).await? {
                return Ok(stored);
            }
            // Another process has just taken the next revision's number for its own definition: take the one after it.
        }
    }

    /// One statement, so that a new definition cannot be stored without being offered as the current one.
    async fn store_new(&self, name: &str, definition: &[u8], chooser: Chooser) -> Result<Option<Stored>, StoreError> {
        let statement = sqlx::query_as(
            "WITH stored AS (
                 INSERT INTO workflows (name, revision, definition)
                 SELECT $1, coalesce(max(revision), 0) + 1, $2
                 FROM workflows
                 WHERE name = $1
                 HAVING NOT coalesce(bool_or(definition = $2), false)
                 ON CONFLICT DO NOTHING
                 RETURNING name, revision
             ), chosen AS (
                 INSERT INTO current_workflows AS c (name, revision, chosen_by)
                 SELECT name, revision, $3 FROM stored
                 ON CONFLICT (name) DO UPDATE
                 SET revision = excluded.revision, chosen_by = excluded.chosen_by, choose_time = now(), changes = c.changes + 1
                 WHERE c.chosen_by = 'shipped' OR $3 <> 'shipped'
                 RETURNING revision
             )
             SELECT s.revision, coalesce(n.revision, c.revision) AS current, true AS is_new
             FROM stored s
             LEFT JOIN chosen n ON true
             LEFT JOIN current_workflows c ON c.name = s.name",
        );
        bounded(statement.bind(name).bind(definition).bind(chooser.as_str()).fetch_optional(&self.pool)).await
    }

    /// A file that holds the current revision makes it the file's: from now on what is shipped does not replace it.
    async fn find_known(&self, name: &str, definition: &[u8], chooser: Chooser) -> Result<Option<Stored>, StoreError> {
        let statement = sqlx::query_as(
            "WITH known AS (
                 SELECT name, revision FROM workflows WHERE name = $1 AND definition = $2
             ), claimed AS (
                 UPDATE current_workflows c
                 SET chosen_by = $3
                 FROM known k
                 WHERE c.name = k.name AND c.revision = k.revision AND c.chosen_by = 'shipped' AND $3 = 'file'
             )
             SELECT k.revision, c.revision AS current, false AS is_new
             FROM known k
             JOIN current_workflows c ON c.name = k.name",
        );
        bounded(statement.bind(name).bind(definition).bind(chooser.as_str()).fetch_optional(&self.pool)).await
    }

    /// Makes a revision the one that new orders get, and says which one it was before; `None` where there is no such revision.
    pub async fn choose_workflow(&self, name: &str, revision: i32) -> Result<Option<i32>, StoreError> {
        let statement = sqlx::query_scalar(
            "WITH before AS MATERIALIZED (
                 SELECT c.name, c.revision
                 FROM current_workflows c
                 WHERE c.name = $1 AND EXISTS (SELECT FROM workflows w WHERE w.name = $1 AND w.revision = $2)
                 FOR UPDATE
             ), chosen AS (
                 UPDATE current_workflows c
                 SET revision = $2,
                     chosen_by = $3,
                     choose_time = now(),
                     changes = c.changes + CASE WHEN c.revision = $2 THEN 0 ELSE 1 END
                 FROM before b
                 WHERE c.name = b.name
             )
             SELECT revision FROM before",
        );
        let statement = statement.bind(name).bind(revision).bind(Chooser::Operator.as_str());
        bounded(statement.fetch_optional(&self.pool)).await
    }

    /// The current revision of each workflow, by name, and who chose it.
    pub async fn choices(&self) -> Result<Vec<Current>, StoreError> {
        bounded(
            sqlx::query_as(
                "SELECT c.name, c.revision, n.newest, c.chosen_by, c.changes
                 FROM current_workflows c
                 CROSS JOIN LATERAL (SELECT max(w.revision) AS newest FROM workflows w WHERE w.name = c.name) n
                 ORDER BY c.name",
            )
            .fetch_all(&self.pool),
        )
        .await
    }
}
