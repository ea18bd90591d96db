//! Everything around the mails: a database with orders, a topic, a mail server, and the service itself.

use std::{path::Path, str::FromStr, time::SystemTime};

use anyhow::Result;
use clap::Parser;
use comanda_kit::{
    access::{Access, Scope},
    postgres,
    server::Endpoint,
    shutdown::Tasks,
    testing::{Environment, Replica, eventually},
};
use comanda_lab_smtp::ScriptedServer;
use comanda_notification::mail::{self, App, Config};
use comanda_proto::{
    access::Role,
    events::OrderTransition,
    topics,
    v1::{
        Item, ListMailsRequest, Mail, MailState, Order, ResendDeadMailsRequest, ResendDeadMailsResponse,
        ResendMailRequest, ResendMailResponse, Workflow, WorkflowStatus, mail_service_client::MailServiceClient,
    },
};
use prost::Message;
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::watch;
use tonic::{Status, service::Routes, transport::Channel};
use uuid::Uuid;

/// The statuses of the workflow, in the order of the versions.
pub const STATUSES: [&str; 4] = ["received", "preparing", "dispatched", "delivered"];
/// A status without a mail.
pub const SILENT: &str = "archived";

/// Database, topic and mail server.
pub struct World {
    pub environment: Environment,
    pub pool: PgPool,
    pub smtp: ScriptedServer,
}

/// The service, running.
pub struct Service {
    replica: Replica,
    client: MailServiceClient<Channel>,
}

#[derive(Parser)]
#[command(args_override_self = true)]
struct Cli {
    #[command(flatten)]
    config: Config,
}

/// Settings with short times, and what a test adds to them.
pub fn config(arguments: &[&str]) -> Config {
    let short = ["--smtp-timeout-ms=400", "--smtp-data-timeout-ms=400", "--smtp-pause-ms=200"];
    let retries = ["--mail-retry-delays=100ms,100ms,100ms,100ms"];
    Cli::parse_from(["test"].into_iter().chain(short).chain(retries).chain(arguments.iter().copied())).config
}

impl World {
    /// With a topic.
    pub async fn new() -> Result<Self> {
        Self::around(Environment::new().await?).await
    }

    /// Without a topic, for tests that enter mails themselves.
    pub async fn without_topic() -> Result<Self> {
        Self::around(Environment::without_topics().await?).await
    }

    async fn around(environment: Environment) -> Result<Self> {
        // Not with the rights of the service: it enters orders and workflows too.
        let options = PgConnectOptions::from_str(&environment.postgres.database_url)?;
        let options = options.application_name("test").options([("search_path", "notification")]);
        let pool = PgPoolOptions::new().max_connections(5).connect_with(options).await?;
        let world = Self { environment, pool, smtp: ScriptedServer::start().await? };
        world.add_workflow().await?;
        Ok(world)
    }

    async fn add_workflow(&self) -> Result<()> {
        let status = |name: &str| WorkflowStatus {
            name: name.into(),
            labels: [("es".to_owned(), format!("{name}-es"))].into(),
            mail_template: if name == SILENT { "" } else { "status" }.into(),
            ..Default::default()
        };
        let statuses = STATUSES.iter().chain(&[SILENT]).map(|name| status(name)).collect();
        let definition = Workflow { statuses, ..Default::default() }.encode_to_vec();
        sqlx::query("INSERT INTO state_machine.workflows (name, revision, definition) VALUES ('delivery', 1, $1)")
            .bind(definition)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// An order whose history is complete: one version for each status.
    pub async fn order(&self, email: &str, statuses: &[&str]) -> Result<Uuid> {
        self.order_of("default", email, statuses).await
    }

    /// The same, of a tenant.
    pub async fn order_of(&self, tenant: &str, email: &str, statuses: &[&str]) -> Result<Uuid> {
        let order = Uuid::now_v7();
        let item = Item { name: "Mole".into(), quantity: 1, ..Default::default() };
        sqlx::query(
            "INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                          total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
             SELECT $1, $5, count(*) + 1, 'c', 'Ana', $2, 'es', $3, 'MXN', 0, 0, 1, 'delivery', 1, $4
             FROM ordering.orders",
        )
        .bind(order)
        .bind(email)
        .bind(Order { items: vec![item], ..Default::default() }.encode_to_vec())
        .bind(statuses[0])
        .bind(tenant)
        .execute(&self.pool)
        .await?;
        for (version, status) in (1i64..).zip(statuses) {
            self.transition(order, version, status).await?;
        }
        Ok(order)
    }

    async fn transition(&self, order: Uuid, version: i64, status: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO state_machine.transitions (order_id, version, tenant, from_status, to_status, phase, transition_time,
                                                    trigger, actor, reason)
             SELECT $1, $2, tenant, '', $3, 1, now(), 1, '', '' FROM ordering.orders WHERE order_id = $1",
        )
        .bind(order)
        .bind(version)
        .bind(status)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// An order whose mails stand in the ledger already, due.
    pub async fn order_with_mails(&self, email: &str, count: usize) -> Result<Uuid> {
        self.order_of_with_mails("default", email, count).await
    }

    /// The same, of a tenant.
    pub async fn order_of_with_mails(&self, tenant: &str, email: &str, count: usize) -> Result<Uuid> {
        let order = self.order_of(tenant, email, &STATUSES[..count]).await?;
        sqlx::query(
            "INSERT INTO mails (order_id, version, tenant, status, transition_time, state)
             SELECT order_id, version, tenant, to_status, transition_time, 1
             FROM state_machine.transitions
             WHERE order_id = $1",
        )
        .bind(order)
        .execute(&self.pool)
        .await?;
        Ok(order)
    }

    /// Publishes transitions of an order, as the state machine would.
    pub async fn publish(&self, order: Uuid, transitions: &[(i64, &str)]) -> Result<()> {
        let record = |(version, status): &(i64, &str)| Self::record(order, *version, status);
        self.produce(&transitions.iter().map(record).collect::<Vec<_>>()).await
    }

    /// Key and payload of a transition's record.
    pub fn record(order: Uuid, version: i64, status: &str) -> (String, Vec<u8>) {
        let transition = OrderTransition {
            order_id: order.to_string(),
            version,
            workflow: "delivery".into(),
            workflow_revision: 1,
            to_status: status.into(),
            transition_time: Some(SystemTime::now().into()),
            ..Default::default()
        };
        (order.to_string(), transition.encode_to_vec())
    }

    /// Publishes any records.
    pub async fn produce(&self, records: &[(String, Vec<u8>)]) -> Result<()> {
        self.environment.produce(topics::ORDER_TRANSITIONS, records).await
    }

    /// Starts the service with this world's mail server.
    pub async fn start(&self, arguments: &[&str]) -> Result<Service> {
        let url = format!("--smtp-url={}", self.smtp.url());
        self.start_with(config(&[&[&*url], arguments].concat())).await
    }

    /// Starts the service writing files.
    pub async fn start_with_directory(&self, path: &Path) -> Result<Service> {
        self.start_with(config(&[&format!("--mail-dir={}", path.display())])).await
    }

    /// Starts the service.
    pub async fn start_with(&self, config: Config) -> Result<Service> {
        self.start_for("default", config).await
    }

    /// Starts the service for callers of a tenant.
    pub async fn start_for(&self, tenant: &str, config: Config) -> Result<Service> {
        let (tasks, pool) = (Tasks::new(), postgres::pool(&self.environment.postgres, "notification")?);
        let app = App::build(&config, &self.environment.kafka, pool, None)?;
        let (ready, routes) = (watch::Sender::new(true).subscribe(), Routes::new(app.service(&tasks)));
        app.start(&tasks);
        let replica = {
            let access = Access::everyone_is(Scope::new(tenant, "owner", Role::Owner));
            Replica::serve_to(access, vec![Endpoint { routes, services: vec![mail::SERVICE], ready }], tasks)?
        };
        let client = MailServiceClient::new(replica.connect().await?);
        Ok(Service { replica, client })
    }

    /// Waits until the mails of an order stand in these states, by version and copy.
    pub async fn states(&self, order: Uuid, expected: &[MailState]) -> Vec<Row> {
        let expected: Vec<_> = expected.iter().map(|state| *state as i16).collect();
        eventually(&format!("states {expected:?}"), || async {
            let rows = self.rows(order).await;
            (rows.iter().map(|row| row.state).collect::<Vec<_>>() == expected).then_some(rows)
        })
        .await
    }

    /// The mails of an order as they are.
    pub async fn rows(&self, order: Uuid) -> Vec<Row> {
        sqlx::query_as("SELECT state, attempts, last_reply FROM mails WHERE order_id = $1 ORDER BY version, copy")
            .bind(order)
            .fetch_all(&self.pool)
            .await
            .expect("the database answers")
    }

    /// Delays the first commit after such an event by 8 s, until its client has given up waiting: no timeout of Postgres counts during a
    /// commit.
    pub async fn commit_late(&self, event: &'static str, condition: &'static str) -> Result<()> {
        let late = format!(
            "CREATE TABLE nap ();
            CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF EXISTS (SELECT FROM pg_catalog.pg_tables WHERE tablename = 'nap') THEN
                    DROP TABLE notification.nap;
                    PERFORM pg_sleep(8);
                END IF;
                RETURN NULL;
            END $$;
            CREATE CONSTRAINT TRIGGER late {event} DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW {condition} EXECUTE FUNCTION late()"
        );
        sqlx::raw_sql(AssertSqlSafe(late)).execute(&self.pool).await?;
        Ok(())
    }

    /// Runs a statement that takes no values.
    pub async fn sql(&self, statement: &'static str) -> Result<()> {
        sqlx::query(statement).execute(&self.pool).await?;
        Ok(())
    }
}

/// A row of the ledger.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    pub state: i16,
    pub attempts: i32,
    pub last_reply: String,
}

impl Service {
    /// Stops as the process would.
    pub async fn stop(self) -> Result<()> {
        drop(self.client);
        self.replica.stop().await
    }

    /// A client of the API.
    pub fn client(&self) -> MailServiceClient<Channel> {
        self.client.clone()
    }

    /// A page of mails and the token of the next one.
    pub async fn list(&self, order: Uuid, page_size: i32, page_token: &str) -> Result<(Vec<Mail>, String), Status> {
        let (order_id, page_token) = (order.to_string(), page_token.into());
        let request = ListMailsRequest { order_id, page_size, page_token, filter: None };
        let page = self.client().list_mails(request).await?.into_inner();
        Ok((page.mails, page.next_page_token))
    }

    /// Every undelivered mail of the tenant.
    pub async fn undelivered(&self) -> Result<Vec<Mail>, Status> {
        Ok(self.client().list_mails(ListMailsRequest::default()).await?.into_inner().mails)
    }

    /// Asks for a further copy.
    pub async fn resend(&self, order: Uuid, version: i64) -> Result<Mail, Status> {
        Ok(self.resend_once(order, version, "").await?.mail.unwrap_or_default())
    }

    /// Asks for a further copy, under a request id.
    pub async fn resend_once(&self, order: Uuid, version: i64, request_id: &str) -> Result<ResendMailResponse, Status> {
        let request = ResendMailRequest { order_id: order.to_string(), version, request_id: request_id.into() };
        Ok(self.client().resend_mail(request).await?.into_inner())
    }

    /// Asks for copies of dead mails.
    pub async fn resend_dead(&self, request: ResendDeadMailsRequest) -> Result<ResendDeadMailsResponse, Status> {
        Ok(self.client().resend_dead_mails(request).await?.into_inner())
    }
}
