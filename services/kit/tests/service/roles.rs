//! What each service may do in the database, and how it logs in.

use std::fs;

use anyhow::{Context, Result};
use comanda_kit::{
    dedicated::{Commit, Dedicated},
    postgres,
    testing::{Environment, certificates::Folder, eventually},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use uuid::Uuid;

const SERVICES: [&str; 5] = ["ordering", "state_machine", "notification", "dispatch", "analytics"];

/// All that a service may read of others. A view that is added needs a line here, and a reason.
const READ: [(&str, &[&str]); 5] = [
    ("ordering", &["state_machine.order_states", "state_machine.workflow_definitions"]),
    // Of dispatch.order_couriers it reads three columns, which is no right on the whole view.
    ("state_machine", &["dispatch.log_epoch", "ordering.log_epoch", "ordering.order_facts"]),
    (
        "notification",
        &[
            "dispatch.order_couriers",
            "ordering.order_contacts",
            "ordering.order_details",
            "ordering.order_facts",
            "state_machine.log_epoch",
            "state_machine.order_history",
            "state_machine.order_states",
            "state_machine.workflow_definitions",
        ],
    ),
    (
        "dispatch",
        &[
            "ordering.order_contents",
            "ordering.order_facts",
            "ordering.order_trips",
            "state_machine.log_epoch",
            "state_machine.order_states",
            "state_machine.workflow_definitions",
        ],
    ),
    (
        "analytics",
        &[
            "dispatch.assignment_history",
            "dispatch.log_epoch",
            "ordering.order_facts",
            "state_machine.log_epoch",
            "state_machine.order_history",
            "state_machine.workflow_definitions",
        ],
    ),
];

/// The tables and views of other services on which the service of a pool has one of these rights.
async fn foreign(pool: &PgPool, schema: &str, rights: &str) -> Result<Vec<String>> {
    let statement = "SELECT n.nspname || '.' || c.relname
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = ANY ($1) AND n.nspname <> $2 AND c.relkind IN ('r', 'v') AND has_table_privilege(c.oid, $3)
                     ORDER BY 1";
    let names = sqlx::query_scalar(statement).bind(SERVICES.as_slice()).bind(schema).bind(rights);
    Ok(names.fetch_all(pool).await?)
}

#[tokio::test]
async fn the_state_machine_sees_whose_an_order_is_and_no_more_of_its_courier() -> Result<()> {
    let environment = Environment::without_topics().await?;
    let pool = postgres::pool(&environment.postgres, "state_machine")?;
    let statement = "SELECT attname::text FROM pg_attribute
                     WHERE attrelid = 'dispatch.order_couriers'::regclass AND attnum > 0
                       AND has_column_privilege(attrelid, attnum, 'SELECT')
                     ORDER BY 1";
    let columns: Vec<String> = sqlx::query_scalar(statement).fetch_all(&pool).await?;
    assert_eq!(columns, ["courier_id", "order_id", "tenant"]);
    Ok(())
}

#[tokio::test]
async fn a_service_reads_keys_and_adds_to_the_audit_and_changes_neither() -> Result<()> {
    let environment = Environment::without_topics().await?;
    let pool = postgres::pool(&environment.postgres, "access")?;
    let statement = "SELECT r.name, t.name FROM unnest(ARRAY['keys', 'audit']) AS t (name),
                     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS r (name)
                     WHERE has_table_privilege('access.' || t.name, r.name) ORDER BY 1, 2";
    let rights: Vec<(String, String)> = sqlx::query_as(statement).fetch_all(&pool).await?;
    let expected = [("INSERT", "audit"), ("SELECT", "keys")];
    assert_eq!(rights, expected.map(|(right, table)| (right.to_owned(), table.to_owned())));
    Ok(())
}

#[tokio::test]
async fn a_service_writes_its_own_schema_and_reads_only_the_views_that_are_named() -> Result<()> {
    let environment = Environment::without_topics().await?;
    for (schema, expected) in READ {
        let pool = postgres::pool(&environment.postgres, schema)?;
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(foreign(&pool, schema, "SELECT").await?, expected, "{schema} reads");
        let writes = foreign(&pool, schema, "INSERT, UPDATE, DELETE, TRUNCATE").await?;
        assert_eq!(writes, [""; 0], "{schema} writes what is another's");
        let superuser: String = sqlx::query_scalar("SELECT current_setting('is_superuser')").fetch_one(&pool).await?;
        assert_eq!(superuser, "off");
    }
    Ok(())
}

#[tokio::test]
async fn the_state_machine_sees_no_addresses_and_makes_no_tables() -> Result<()> {
    let environment = Environment::without_topics().await?;
    let pool = postgres::pool(&environment.postgres, "state_machine")?;
    for statement in [
        "SELECT email FROM ordering.orders",
        "SELECT email FROM ordering.order_contacts",
        "SELECT pickup_latitude FROM ordering.order_trips",
        "CREATE TABLE state_machine.mine ()",
    ] {
        let error = sqlx::raw_sql(statement).execute(&pool).await.err().context(statement)?;
        assert!(error.to_string().contains("permission denied"), "{statement}: {error}");
    }
    sqlx::query("UPDATE states SET version = version").execute(&pool).await?;
    Ok(())
}

#[tokio::test]
async fn a_relay_may_vacuum_its_outbox() -> Result<()> {
    let environment = Environment::without_topics().await?;
    let sql = environment.sql().await?;
    for schema in ["ordering", "state_machine", "dispatch"] {
        let pool = postgres::pool(&environment.postgres, schema)?;
        sqlx::query("VACUUM outbox").execute(&pool).await?;
        eventually("the outbox is vacuumed", async || {
            let statement =
                "SELECT last_vacuum IS NOT NULL FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'outbox'";
            let done: bool = sqlx::query_scalar(statement).bind(schema).fetch_one(&sql).await.ok()?;
            done.then_some(())
        })
        .await;
    }
    Ok(())
}

/// An account of one service, removed at the end.
struct Account {
    name: String,
    sql: PgPool,
}

impl Account {
    async fn new(environment: &Environment, role: &str) -> Result<Self> {
        let (name, sql) = (format!("test_{}", Uuid::new_v4().simple()), environment.sql().await?);
        let account = Self { name, sql };
        account.run(&format!("CREATE ROLE {} LOGIN PASSWORD 'first' IN ROLE {role}", account.name)).await?;
        Ok(account)
    }

    async fn run(&self, statement: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.sql).await?;
        Ok(())
    }

    fn url(&self, environment: &Environment) -> Result<String> {
        let (_, place) = environment.postgres.database_url.split_once('@').context("a URL with a user")?;
        Ok(format!("postgres://{}@{place}", self.name))
    }

    async fn remove(self) -> Result<()> {
        self.run(&format!("DROP ROLE {}", self.name)).await
    }
}

#[tokio::test]
async fn an_account_of_one_service_cannot_become_another() -> Result<()> {
    let environment = Environment::without_topics().await?;
    let account = Account::new(&environment, "comanda_state_machine").await?;
    let config = postgres::Config::at(account.url(&environment)?);
    let own = postgres::pool(&config, "state_machine")?;
    sqlx::query("SELECT FROM states").fetch_all(&own).await?;
    sqlx::raw_sql("SET ROLE comanda_ordering").execute(&own).await.expect_err("another role");
    own.close().await;
    let mut connection = PgConnection::connect(&config.database_url).await?;
    sqlx::query("SELECT FROM ordering.orders").fetch_all(&mut connection).await.expect_err("another's table");
    connection.close().await?;
    account.remove().await
}

#[tokio::test]
async fn a_new_password_in_the_file_is_used_for_new_connections() -> Result<()> {
    let (environment, folder) = (Environment::without_topics().await?, Folder::new()?);
    let file = folder.file("password");
    fs::write(&file, "first\n")?;
    let config = postgres::Config { database_password_file: Some(file.clone()), ..environment.postgres.clone() };
    let pool = postgres::pool(&config, "ordering")?;
    let password = || format!("{:?}", pool.connect_options());
    let dedicated = Dedicated::new(&pool, Commit::Durable);
    let mut taken = dedicated.take().await?;
    sqlx::query("SELECT").execute(&mut *taken).await?;
    assert!(password().contains("first"), "sqlx shows it");
    fs::remove_file(&file)?;
    fs::write(&file, "second\n")?;
    eventually("the new password is taken", async || password().contains("second").then_some(())).await;
    let other = dedicated.take().await?;
    drop((taken, other));
    Ok(())
}
