//! A migration under load, and then one replica after the other is replaced by a newer program.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_checker::history::What;
use futures::{FutureExt, future::LocalBoxFuture};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{sleep, timeout};

use super::{
    facts::{Call, Facts},
    goal::Goal,
    trial::{Plan, Terms, Trial},
};
use crate::{
    cluster::{Process, Signal},
    nemesis::Field,
    workload,
};

/// Old replicas on the old schema, on the new one, and beside each new replica.
const BEFORE: Duration = Duration::from_secs(10);
const AFTER_MIGRATION: Duration = Duration::from_secs(15);
const SIDE_BY_SIDE: Duration = Duration::from_secs(3);
const STATEMENT: Duration = Duration::from_secs(20);
/// An operator's migration must not queue all others behind it: it gives up its place after this, and comes again.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '500ms'";
const TRIES: usize = 20;
const CHANGED: &str = "tables and views that got a column under load";
const REPLACED: &str = "replicas that were replaced";
const TABLES: &str = "
    SELECT format('ALTER TABLE %I.%I ADD COLUMN added_by_trial text', schemaname, tablename)
    FROM pg_tables WHERE schemaname IN ('ordering', 'state_machine', 'notification') ORDER BY 1";
/// Each view shows one column more, at its end.
const VIEWS: &str = "
    SELECT format('CREATE OR REPLACE VIEW %I.%I AS SELECT v.*, NULL::text AS added_by_trial FROM (%s) v',
                  schemaname, viewname, rtrim(definition, '; '))
    FROM pg_views WHERE schemaname IN ('ordering', 'state_machine', 'notification') ORDER BY 1";

/// Old and new, side by side.
pub const UPGRADE: Trial = Trial {
    name: "upgrade",
    about: "Under load every table and view gets a column, then replica after replica runs the new program: no call is refused",
    plan: |terms| Plan {
        program: Some(terms.old_program.clone()),
        workload: workload::Settings { orders_per_second: 60.0, ..Plan::default().workload },
        ..Plan::default()
    },
    act: Some(upgrade),
    goals: |facts| {
        vec![
            Goal::least(CHANGED, facts.most_measured(CHANGED), 10.0),
            Goal::least(REPLACED, facts.most_measured(REPLACED), 6.0),
            Goal::none("calls that were refused for good and should not have been", refused(facts)),
        ]
    },
};

/// Calls that ended with a code after which no client asks again, though nothing was wrong with them. Of commands, which may come too late
/// or not be allowed, the checker judges.
fn refused(facts: &Facts<'_>) -> usize {
    use comanda_checker::history::Op;
    let may_be_asked_again =
        |call: &Call<'_>| matches!(call.code, "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "RESOURCE_EXHAUSTED");
    let calls = facts.calls();
    let failed = calls.iter().filter(|call| !matches!(call.op, Op::Move { .. } | Op::Bad { .. }) && call.failed());
    failed.filter(|call| !may_be_asked_again(call) && !is_batch_of_retries(call)).count()
}

/// A batch is answered row by row; a row may be asked for again, as a call may.
fn is_batch_of_retries(call: &Call<'_>) -> bool {
    use comanda_checker::history::Answer;
    let again = ["OK", "INVALID_ARGUMENT", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"];
    matches!(call.answer, Some(Answer::Batch { results }) if results.iter().all(|row| again.contains(&&*row.code)))
}

fn upgrade(field: Arc<Field>, terms: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        sleep(BEFORE).await;
        fault(&field, "migration under load", "postgres", migrate(&field, &terms)).await?;
        sleep(AFTER_MIGRATION).await;
        for (n, role) in field.cluster.roles.iter().enumerate() {
            fault(&field, "replaced by the new program", role.name(), replace(&field, role, &terms.program)).await?;
            field.recorder.record(What::Measured { name: REPLACED.into(), value: n as f64 + 1.0 });
            sleep(SIDE_BY_SIDE).await;
        }
        Ok(())
    }
    .boxed_local()
}

async fn fault(field: &Field, name: &str, target: &str, act: impl Future<Output = Result<()>>) -> Result<()> {
    let fault = field.recorder.number();
    field.recorder.record(What::Fault { fault, name: name.into(), target: target.into() });
    act.await?;
    field.recorder.record(What::Heal { fault, failed: None });
    Ok(())
}

/// What the new program brings with it, and then a column more for each table and view.
async fn migrate(field: &Field, terms: &Terms) -> Result<()> {
    field.cluster.migrate_with(&terms.program, &["--only", "database"]).await?;
    let mut connection = timeout(STATEMENT, PgConnection::connect(&field.cluster.endpoints.database_url)).await??;
    sqlx::query(LOCK_TIMEOUT).execute(&mut connection).await?;
    let mut changed = 0;
    for statements in [TABLES, VIEWS] {
        let statements: Vec<String> = sqlx::query_scalar(statements).fetch_all(&mut connection).await?;
        for statement in statements {
            change(&mut connection, &statement).await?;
            changed += 1;
        }
    }
    field.recorder.record(What::Measured { name: CHANGED.into(), value: f64::from(changed) });
    Ok(connection.close().await?)
}

/// Makes a change, again where it does not get its lock.
async fn change(connection: &mut PgConnection, statement: &str) -> Result<()> {
    let mut outcome = Ok(());
    for _ in 0..TRIES {
        let made = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut *connection);
        outcome = timeout(STATEMENT, made).await.context("Postgres is silent")?.map(|_| ());
        if outcome.is_ok() {
            break;
        }
    }
    outcome.with_context(|| statement.to_owned())
}

async fn replace(field: &Field, role: &Process, program: &Path) -> Result<()> {
    role.end(Signal::Term).await?;
    role.replace_program(program.to_path_buf());
    role.start().await?;
    field.cluster.serves().await
}
