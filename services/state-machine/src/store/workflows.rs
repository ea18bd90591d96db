//! Workflows, in all their revisions.

use comanda_kit::postgres::{StoreError, bounded};
use comanda_proto::{v1::Workflow, views::WorkflowRow};
use prost::Message;

use super::Store;

impl Store {
    /// Every workflow in every revision.
    pub async fn workflows(&self) -> Result<Vec<WorkflowRow>, StoreError> {
        bounded(
            sqlx::query_as(
                "SELECT name, revision, definition, current FROM workflow_definitions ORDER BY name, revision",
            )
            .fetch_all(&self.pool),
        )
        .await
    }

    /// Stores a workflow and makes it the one that new orders of its name get. An equal definition keeps its revision.
    pub async fn store_workflow(&self, workflow: &Workflow) -> Result<i32, StoreError> {
        let definition = Workflow { name: String::new(), revision: 0, ..workflow.clone() }.encode_to_vec();
        loop {
            let insert = sqlx::query(
                "INSERT INTO workflows (name, revision, definition)
                 SELECT $1, coalesce(max(revision), 0) + 1, $2
                 FROM workflows
                 WHERE name = $1
                 HAVING NOT coalesce(bool_or(definition = $2), false)
                 ON CONFLICT DO NOTHING",
            );
            bounded(insert.bind(&workflow.name).bind(&definition).execute(&self.pool)).await?;
            let choose = sqlx::query_scalar(
                "INSERT INTO current_workflows (name, revision)
                 SELECT name, revision FROM workflows WHERE name = $1 AND definition = $2
                 ON CONFLICT (name) DO UPDATE SET revision = excluded.revision
                 RETURNING revision",
            );
            let revision = bounded(choose.bind(&workflow.name).bind(&definition).fetch_optional(&self.pool)).await?;
            // Another process may have taken our revision's number with its own definition: take the next one.
            if let Some(revision) = revision {
                return Ok(revision);
            }
        }
    }
}
