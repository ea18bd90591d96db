//! What the tests start from.

use std::sync::Arc;

use anyhow::{Context, Result};
use comanda_kit::{
    access::{Access, Scope},
    lease::{Elector, Lease},
    postgres,
    relay::Relay,
    shutdown::Tasks,
    testing::{Environment, Published, Replica, eventually},
};
use comanda_ordering::{
    App,
    order::NewOrder,
    store::{SCHEMA, Store},
};
use comanda_proto::{
    Money,
    access::Role,
    events::OrderPlaced,
    topics,
    v1::{
        CreateOrderRequest, Customer, Item, Order, Phase, Workflow, WorkflowStatus,
        order_service_client::OrderServiceClient,
    },
};
use prost::Message;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Notify;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

pub type Client = OrderServiceClient<Channel>;

/// A database that knows the workflow "delivery", and perhaps topics.
pub struct Fixture {
    pub environment: Environment,
    /// The database, for tests to look at and to change.
    pub sql: PgPool,
}

impl Fixture {
    pub async fn new() -> Result<Self> {
        Self::with(Environment::new().await?).await
    }

    pub async fn without_topics() -> Result<Self> {
        Self::with(Environment::without_topics().await?).await
    }

    async fn with(environment: Environment) -> Result<Self> {
        let sql = environment.sql().await?;
        let received =
            WorkflowStatus { name: "received".into(), phase: Phase::Active.into(), ..WorkflowStatus::default() };
        let definition = Workflow { statuses: vec![received], ..Workflow::default() };
        sqlx::query("INSERT INTO state_machine.workflows (name, revision, definition) VALUES ('delivery', 7, $1)")
            .bind(definition.encode_to_vec())
            .execute(&sql)
            .await?;
        run(
            &sql,
            "INSERT INTO state_machine.current_workflows (name, revision, chosen_by) VALUES ('delivery', 7, 'test')",
        )
        .await?;
        Ok(Self { environment, sql })
    }

    /// Starts a replica of the whole service.
    pub async fn start(&self) -> Result<Replica> {
        self.start_for(Scope::built_in())
    }

    /// Starts a replica whose every caller has this scope.
    fn start_for(&self, scope: Scope) -> Result<Replica> {
        let tasks = Tasks::new();
        let app = App::build(&self.environment.postgres, &self.environment.kafka)?;
        Replica::serve_to(Access::everyone_is(scope), vec![app.start(&tasks)?], tasks)
    }

    /// Starts a replica and connects to it.
    pub async fn serve(&self) -> Result<(Replica, Client)> {
        self.serve_for(Scope::built_in()).await
    }

    /// Starts a replica whose every caller has this scope, and connects to it.
    pub async fn serve_for(&self, scope: Scope) -> Result<(Replica, Client)> {
        let replica = self.start_for(scope)?;
        let client = OrderServiceClient::new(replica.connect().await?);
        Ok((replica, client))
    }

    /// Stores the state that the state machine would give an order.
    pub async fn set_state(&self, order: &Order, version: i64, status: &str, phase: Phase) -> Result<()> {
        sqlx::query(
            "INSERT INTO state_machine.states
                 (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time)
             SELECT order_id, tenant, workflow, workflow_revision, $2, $3, $4, now()
             FROM ordering.orders
             WHERE order_id = $1",
        )
        .bind(id(order))
        .bind(version)
        .bind(status)
        .bind(phase as i16)
        .execute(&self.sql)
        .await?;
        Ok(())
    }

    /// Inserts small orders of a tenant behind the service's back. `content` and `create_time` are SQL expressions over the number n.
    pub async fn fill(&self, tenant: &str, count: i64, customer: &str, content: &str, create_time: &str) -> Result<()> {
        let statement = format!(
            "INSERT INTO ordering.orders
                 (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency, total_units, total_nanos,
                  item_count, workflow, workflow_revision, first_status, create_time)
             SELECT gen_random_uuid(), '{tenant}', n, {customer}, '', '', '', {content}, 'CLP', 0, 0, 0, 'delivery', 7, 'received',
                    {create_time}
             FROM generate_series(1, {count}) n"
        );
        run(&self.sql, &statement).await
    }

    /// A pool as the service has it.
    pub fn pool(&self) -> Result<PgPool> {
        postgres::pool(&self.environment.postgres, SCHEMA)
    }

    /// Stores orders as the service does, while no relay runs.
    pub async fn place(&self, count: usize) -> Result<Vec<Uuid>> {
        let orders: Vec<_> = (0..count).map(|_| new_order(request())).collect();
        let stored = Store::new(self.pool()?).insert(&orders).await?;
        assert_eq!(stored.len(), count);
        Ok(orders.into_iter().map(|order| order.order_id).collect())
    }

    /// The one number that a query gives.
    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&self.sql).await.expect("a query of one number")
    }

    /// Makes every INSERT of orders take so long.
    pub async fn slow_down_inserts(&self, seconds: f64) -> Result<()> {
        let statement = format!(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$;
             CREATE TRIGGER slow BEFORE INSERT ON ordering.orders EXECUTE FUNCTION slow()"
        );
        run(&self.sql, &statement).await
    }

    /// Waits until slowed INSERTs run.
    pub async fn inserts_in_progress(&self) {
        let query = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event = 'PgSleep'";
        eventually("an INSERT runs", || async { (self.number(query).await > 0).then_some(()) }).await;
    }

    /// Pointers in the outbox.
    pub async fn unpublished(&self) -> i64 {
        self.number("SELECT coalesce(sum(cardinality(order_ids)), 0) FROM ordering.outbox").await
    }

    /// Waits until everything is published.
    pub async fn drained(&self) {
        eventually("the outbox is empty", || async { (self.unpublished().await == 0).then_some(()) }).await;
    }

    /// The orders on the topic, in the order of each partition.
    pub async fn published(&self) -> Result<Vec<(Published, OrderPlaced)>> {
        let records = self.environment.records(topics::ORDERS).await?;
        Ok(records.into_iter().map(|record| (record.clone(), record.event())).collect())
    }

    /// Which orders are on the topic, sorted; one that was published twice is there twice.
    pub async fn published_ids(&self) -> Result<Vec<Uuid>> {
        let published = self.published().await?;
        let mut ids = published.iter().map(|(_, order)| order.order_id.parse()).collect::<Result<Vec<Uuid>, _>>()?;
        ids.sort();
        Ok(ids)
    }
}

/// A replica's relay, to be stepped.
pub struct Stepper {
    pub elector: Elector,
    pub relay: Relay<Store>,
}

impl Stepper {
    pub fn new(fixture: &Fixture) -> Result<Self> {
        let (pool, kafka) = (fixture.pool()?, fixture.environment.kafka.clone());
        let topic = kafka.topic(topics::ORDERS);
        let relay = Relay::new(pool.clone(), Store::new(pool.clone()), kafka, topic, Arc::new(Notify::new()))?;
        Ok(Self { elector: Elector::new(pool), relay })
    }

    /// Takes or renews the lease, which must be free or its own.
    pub async fn lead(&self) -> Result<Lease> {
        self.elector.ask().await?.context("another replica leads")
    }

    /// Publishes until nothing is left.
    pub async fn publish_all(&mut self) -> Result<()> {
        while self.relay.publish_next(self.lead().await?).await? > 0 {}
        Ok(())
    }
}

pub async fn run(sql: &PgPool, statement: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(sql).await?;
    Ok(())
}

pub fn new_order(request: CreateOrderRequest) -> NewOrder {
    new_order_for(Scope::built_in(), request)
}

pub fn new_order_for(scope: Scope, request: CreateOrderRequest) -> NewOrder {
    let received = WorkflowStatus { name: "received".into(), ..WorkflowStatus::default() };
    let delivery = Workflow { name: "delivery".into(), revision: 7, statuses: vec![received], ..Workflow::default() };
    NewOrder::parse(scope, request, Some(Arc::new(delivery))).expect("a valid request")
}

/// The owner of another tenant.
pub fn acme() -> Scope {
    Scope::new("acme", "owner", Role::Owner)
}

/// A valid request without a request id.
pub fn request() -> CreateOrderRequest {
    let customer = Customer {
        customer_id: "c-1".into(),
        name: "Ana Rojas".into(),
        email: "ana@example.com".into(),
        locale: "es-CL".into(),
    };
    CreateOrderRequest {
        customer: Some(customer),
        items: vec![item("Empanada", 3, 2_500), item("Mote con huesillo", 1, 1_990)],
        labels: [("table".to_string(), "4".to_string())].into(),
        ..CreateOrderRequest::default()
    }
}

pub fn request_with_id() -> CreateOrderRequest {
    CreateOrderRequest { request_id: Uuid::new_v4().to_string(), ..request() }
}

pub fn request_of(customer_id: &str) -> CreateOrderRequest {
    let mut request = request();
    request.customer.as_mut().expect("has one").customer_id = customer_id.into();
    request
}

pub fn item(name: &str, quantity: i32, units: i64) -> Item {
    let unit_price = Some(Money { currency_code: "CLP".into(), units, nanos: 0 });
    Item { name: name.into(), quantity, unit_price, ..Item::default() }
}

/// Creates an order that must be accepted.
pub async fn create(client: &Client, request: CreateOrderRequest) -> Result<Order, Status> {
    let response = client.clone().create_order(request).await?.into_inner();
    Ok(response.order.expect("every answer has its order"))
}

/// The id of an order.
pub fn id(order: &Order) -> Uuid {
    order.order_id.parse().expect("an order id is a UUID")
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
