//! What the tests start from.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_kit::{
    access::{Access, Scope},
    consumer::Consumer,
    lease::{Elector, Lease},
    postgres,
    relay::Relay,
    shutdown::Tasks,
    testing::{Environment, Published, Replica, eventually},
    workflows::Workflows,
};
use comanda_proto::{
    events, topics,
    v1::{OrderTransition, Phase, Trigger, lifecycle_service_client::LifecycleServiceClient},
    views::{TransitionRow, timestamp},
};
use comanda_state_machine::{
    App, Config,
    adoption::Adoption,
    commands::Commands,
    operator::Operator,
    steps::Steps,
    store::{SCHEMA, Store},
    timers::Timers,
};
use prost::Message;
use sqlx::{AssertSqlSafe, PgPool};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

/// The tenant of the orders that [`Fixture::place`] makes, and of [`scope`].
pub const TENANT: &str = "default";

pub type Client = LifecycleServiceClient<Channel>;

/// A step of a history: version, what set it off, and the status that was entered.
pub type Told<'t> = (i64, Trigger, &'t str);

/// Topics, and a database that knows the shipped workflows.
pub struct Fixture {
    pub environment: Environment,
    /// The database as the tests look at it and meddle with it.
    pub sql: PgPool,
}

impl Fixture {
    pub async fn new() -> Result<Self> {
        let environment = Environment::new().await?;
        let fixture = Self { sql: environment.sql().await?, environment };
        let operator = fixture.operator()?;
        operator.store_shipped_workflows().await?;
        operator.close().await;
        Ok(fixture)
    }

    /// Starts a replica of the whole service. `step_ms` replaces the delays of 30 seconds.
    pub async fn start(&self, step_ms: Option<u64>) -> Result<Replica> {
        self.start_with(Config { step_ms, ..Config::default() }, Access::default())
    }

    /// Starts a replica with these settings for this caller.
    pub fn start_with(&self, config: Config, access: Access) -> Result<Replica> {
        let tasks = Tasks::new();
        let app = App::build(&config, &self.environment.postgres, &self.environment.kafka)?;
        Replica::serve_to(access, vec![app.start(&tasks)?], tasks)
    }

    /// Starts a replica whose timers take 30 seconds, and connects to it.
    pub async fn serve(&self) -> Result<(Replica, Client)> {
        let replica = self.start(None).await?;
        let client = LifecycleServiceClient::new(replica.connect().await?);
        Ok((replica, client))
    }

    /// Starts a replica that knows a workflow file, and waits until it serves.
    pub async fn start_with_file(&self, text: &str) -> Result<Replica> {
        let path = std::env::temp_dir().join(format!("workflow-{}.toml", Uuid::new_v4()));
        std::fs::write(&path, text)?;
        let config = Config { workflow_files: vec![path.clone()], ..Config::default() };
        let replica = self.start_with(config, Access::default())?;
        std::fs::remove_file(path)?;
        replica.serves("comanda.v1.LifecycleService").await;
        Ok(replica)
    }

    /// An operator at the same database.
    pub fn operator(&self) -> Result<Operator> {
        Operator::connect(&self.environment.postgres)
    }

    /// The service's own access to its schema.
    pub fn store(&self) -> Result<Store> {
        Ok(Store::new(postgres::pool(&self.environment.postgres, SCHEMA)?, None))
    }

    /// Orders as ordering stores them, following the current revision of "delivery".
    pub async fn place(&self, count: usize) -> Result<Vec<Uuid>> {
        self.place_of(TENANT, "delivery", count).await
    }

    /// Orders of a tenant that follow the current revision of a workflow whose first status is "received".
    pub async fn place_of(&self, tenant: &str, workflow: &str, count: usize) -> Result<Vec<Uuid>> {
        let ids: Vec<_> = (0..count).map(|_| Uuid::now_v7()).collect();
        sqlx::query(
            "INSERT INTO ordering.orders (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                                          total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
             SELECT id, $2, row_number() OVER (), 'c-1', '', '', '', '', 'EUR', 12, 500000000, 2, name, revision, 'received'
             FROM unnest($1::uuid[]) AS i (id), state_machine.current_workflows
             WHERE name = $3",
        )
        .bind(&ids)
        .bind(tenant)
        .bind(workflow)
        .execute(&self.sql)
        .await?;
        Ok(ids)
    }

    pub async fn place_one(&self) -> Result<Uuid> {
        Ok(self.place(1).await?[0])
    }

    /// Publishes orders as ordering's relay does.
    pub async fn announce(&self, ids: &[Uuid]) -> Result<()> {
        let rows: Vec<(Uuid, String, i64, i32, OffsetDateTime)> = sqlx::query_as(
            "SELECT order_id, tenant, number, workflow_revision, create_time FROM ordering.orders WHERE order_id = ANY ($1)",
        )
        .bind(ids)
        .fetch_all(&self.sql)
        .await?;
        let records = rows.into_iter().map(|(id, tenant, number, workflow_revision, create_time)| {
            let event = events::OrderPlaced {
                order_id: id.to_string(),
                number,
                customer_id: "c-1".into(),
                workflow: "delivery".into(),
                workflow_revision,
                status: "received".into(),
                create_time: Some(timestamp(create_time)),
                tenant,
                ..events::OrderPlaced::default()
            };
            (id.to_string(), event.encode_to_vec())
        });
        self.environment.produce(topics::ORDERS, &records.collect::<Vec<_>>()).await
    }

    /// Waits until a replica has consumed every record of the topic so far: new orders behind them, in every partition, came through.
    pub async fn consumed(&self) -> Result<()> {
        let behind = self.place(40).await?;
        self.announce(&behind).await?;
        self.adopted(&behind).await;
        Ok(())
    }

    /// Waits until orders are adopted.
    pub async fn adopted(&self, ids: &[Uuid]) {
        eventually("the orders are adopted", || async {
            let query = "SELECT count(*) FROM state_machine.states WHERE order_id = ANY ($1)";
            let adopted: i64 = sqlx::query_scalar(query).bind(ids).fetch_one(&self.sql).await.ok()?;
            (adopted == ids.len() as i64).then_some(())
        })
        .await;
    }

    /// Waits until no order is active and everything is published.
    pub async fn all_ended(&self) {
        let query = "SELECT (SELECT count(*) FROM state_machine.states WHERE phase = 1)
                          + (SELECT count(*) FROM state_machine.outbox)";
        eventually("all orders have ended", || async { (self.number(query).await == 0).then_some(()) }).await;
    }

    /// Makes the timers of active orders run out so long ago.
    pub async fn make_due(&self, ago: Duration) -> Result<()> {
        let seconds = ago.as_secs_f64();
        run(
            &self.sql,
            &format!(
                "UPDATE state_machine.states SET due_at = now() - interval '1 second' * {seconds} WHERE phase = 1;
             UPDATE state_machine.transitions t SET due_at = s.due_at
             FROM state_machine.states s WHERE s.order_id = t.order_id AND s.version = t.version"
            ),
        )
        .await
    }

    /// The one number that a query gives.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.sql).await.expect("a query of one number")
    }

    /// Whether a stopped leader gave its lease up, or another has it already.
    pub async fn handed_over(&self) -> bool {
        self.number("SELECT count(*) FROM state_machine.lease WHERE expires_at <= now() OR epoch > 1").await == 1
    }

    /// Records that could not be applied.
    pub async fn dead_letters(&self) -> i64 {
        self.number("SELECT count(*) FROM state_machine.dead_letters").await
    }

    /// Pointers in the outbox.
    pub async fn unpublished(&self) -> i64 {
        self.number("SELECT coalesce(sum(cardinality(order_ids)), 0) FROM state_machine.outbox").await
    }

    /// Every transition in the table, by order, in the order of versions; checked for what holds of every history.
    pub async fn histories(&self) -> Result<BTreeMap<Uuid, Vec<OrderTransition>>> {
        let rows: Vec<TransitionRow> = sqlx::query_as(
            "SELECT h.* FROM state_machine.order_history h
             JOIN state_machine.transitions USING (order_id, version) ORDER BY order_id, version",
        )
        .fetch_all(&self.sql)
        .await?;
        let mut histories = BTreeMap::<_, Vec<OrderTransition>>::new();
        for row in rows {
            histories.entry(row.order_id).or_default().push(row.into());
        }
        histories.values().for_each(|history| check(history));
        Ok(histories)
    }

    /// The history of one order.
    pub async fn history(&self, id: Uuid) -> Result<Vec<OrderTransition>> {
        Ok(self.histories().await?.remove(&id).unwrap_or_default())
    }

    /// The transitions on the topic.
    pub async fn published(&self) -> Result<Vec<(Published, events::OrderTransition)>> {
        let records = self.environment.records(topics::ORDER_TRANSITIONS).await?;
        Ok(records.into_iter().map(|record| (record.clone(), record.event())).collect())
    }

    /// The transitions on the topic by order, in the order of the log; each order's lie in one partition.
    pub async fn published_histories(&self) -> Result<BTreeMap<Uuid, Vec<OrderTransition>>> {
        let (mut histories, mut partitions) = (BTreeMap::<Uuid, Vec<_>>::new(), BTreeMap::new());
        for (record, transition) in self.published().await? {
            let id: Uuid = transition.order_id.parse()?;
            assert_eq!(*partitions.entry(id).or_insert(record.partition), record.partition);
            assert_eq!(
                (record.key, &record.headers["ce_id"]),
                (id.to_string(), &format!("{id}/{}", transition.version))
            );
            assert_eq!(record.headers["ce_tenant"], transition.tenant);
            histories.entry(id).or_default().push(transition.into());
        }
        Ok(histories)
    }
}

/// What holds of every history: dense versions, each step from where and when the last one led, times that never go back, no timer early.
fn check(history: &[OrderTransition]) {
    let nanos = |time: &Option<prost_types::Timestamp>| time.map(|time| (time.seconds, time.nanos));
    for (index, step) in history.iter().enumerate() {
        assert_eq!(step.version, index as i64 + 1, "versions are dense: {history:?}");
    }
    let first = &history[0];
    assert_eq!((first.trigger(), first.from_status.as_str(), first.from_time), (Trigger::Create, "", None));
    assert!(history.iter().all(|step| step.item_count == 2 && step.total.is_some()), "{history:?}");
    for pair in history.windows(2) {
        assert_eq!(pair[0].to_status, pair[1].from_status);
        assert_eq!(pair[0].phase(), Phase::Active, "nothing follows an end: {history:?}");
        assert_eq!(pair[1].from_time, pair[0].transition_time, "{history:?}");
        assert!(nanos(&pair[0].transition_time) <= nanos(&pair[1].transition_time), "time goes on: {history:?}");
        if pair[1].trigger() == Trigger::Timer {
            assert!(nanos(&pair[0].next_transition_time) <= nanos(&pair[1].transition_time), "early: {history:?}");
        }
    }
}

/// A replica's leader, to be stepped.
pub struct Stepper {
    pub elector: Elector,
    pub timers: Timers,
    pub relay: Relay<Store>,
    pub adoption: Adoption,
    pub steps: Steps,
    store: Store,
    workflows: Workflows,
}

impl Stepper {
    pub fn new(fixture: &Fixture) -> Result<Self> {
        Self::with(fixture, fixture.store()?)
    }

    pub fn with(fixture: &Fixture, store: Store) -> Result<Self> {
        let (pool, kafka) = (postgres::pool(&fixture.environment.postgres, SCHEMA)?, fixture.environment.kafka.clone());
        let topic = kafka.topic(topics::ORDER_TRANSITIONS);
        let (workflows, nudge) = (Workflows::new(pool.clone()), Arc::new(Notify::new()));
        Ok(Self {
            elector: Elector::new(pool.clone()),
            timers: Timers::new(store.clone(), workflows.clone(), nudge.clone(), nudge.clone()),
            relay: Relay::new(pool, store.clone(), kafka, topic, nudge.clone())?,
            adoption: Adoption::new(store.clone(), workflows.clone(), [nudge.clone(), nudge.clone()]),
            steps: Steps::new(store.clone(), workflows.clone(), [nudge.clone(), nudge]),
            store,
            workflows,
        })
    }

    /// The replica's commands, on the same connections as its other work.
    pub fn commands(&self) -> Commands {
        let (store, workflows, adoption) = (self.store.clone(), self.workflows.clone(), self.adoption.clone());
        Commands::start(store, workflows, adoption, Default::default(), &Tasks::new())
    }

    /// Adopts orders as if their records had come.
    pub async fn adopt(&self, ids: &[Uuid]) -> Result<()> {
        Ok(self.adoption.adopt(self.store.placed(ids).await?).await?)
    }

    /// Takes or renews the lease, which must be free or its own.
    pub async fn lead(&self) -> Result<Lease> {
        self.elector.ask().await?.context("another replica leads")
    }

    /// Fires what is due, once.
    pub async fn fire(&mut self) -> Result<u64> {
        let lease = self.lead().await?;
        Ok(self.timers.fire_next(lease).await?)
    }

    /// Publishes until nothing is left.
    pub async fn publish_all(&mut self) -> Result<()> {
        while self.relay.publish_next(self.lead().await?).await? > 0 {}
        Ok(())
    }
}

/// Starts a member of another group, which reads the topic from its beginning: what came before comes again.
pub fn consume_again(fixture: &Fixture, group: &'static str) -> Result<Tasks> {
    let (tasks, pool) = (Tasks::new(), postgres::pool(&fixture.environment.postgres, SCHEMA)?);
    let consumer = Consumer {
        group,
        topic: fixture.environment.kafka.topic(topics::ORDERS),
        kafka: fixture.environment.kafka.clone(),
        pool,
        handler: Stepper::new(fixture)?.adoption,
    };
    tasks.spawn("consumer", consumer.run(tasks.stop_token()));
    Ok(tasks)
}

pub async fn stop(tasks: Tasks) -> Result<()> {
    tasks.stop_token().cancel();
    tasks.run().await
}

pub async fn run(sql: &PgPool, statement: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(sql).await?;
    Ok(())
}

/// The caller of a replica that [`Fixture::start`] starts.
pub fn scope() -> Scope {
    Scope::built_in()
}

/// A history in short.
pub fn told(history: &[OrderTransition]) -> Vec<Told<'_>> {
    history.iter().map(|step| (step.version, step.trigger(), step.to_status.as_str())).collect()
}

/// The reason that an error carries.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The fields that an error names.
pub fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    violations.unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}
