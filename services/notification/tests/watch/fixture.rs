//! A world for one test: a database, a topic, replicas, and orders that move when the test says so.

use std::{future::Future, sync::Arc, time::Duration};

use clap::Parser;
use comanda_kit::{
    access::{Access, DEFAULT_TENANT, Scope},
    postgres,
    server::Endpoint,
    shutdown::Tasks,
    testing::{Environment, PATIENCE, Replica},
    tracking::{Keys, new_key},
};
use comanda_notification::watch::{self, Config};
use comanda_proto::{
    events::OrderTransition,
    topics,
    v1::{
        CourierUpdate, Now, Order, Phase, Snapshot, WatchFilter, WatchOrderRequest, WatchOrderResponse,
        WatchOrdersRequest, WatchOrdersResponse, watch_order_response, watch_orders_request::Start,
        watch_orders_response, watch_service_client::WatchServiceClient,
    },
    views::TransitionRow,
};
use prost::Message;
use sqlx::PgPool;
use tonic::{Code, Status, Streaming, service::Routes, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

pub type Client = WatchServiceClient<Channel>;
pub type OneOrder = Streaming<WatchOrderResponse>;
pub type ManyOrders = Streaming<WatchOrdersResponse>;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    watch: Config,
}

/// The settings of production, but for a quick look at the epoch.
pub fn config() -> Config {
    let mut config = Cli::try_parse_from(["test"]).expect("the defaults are valid").watch;
    config.watch_epoch_ms = 50;
    config
}

/// Fails a test that waits for something that does not happen.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for: {what}"))
}

/// New keys for tracking tokens.
pub fn tracking() -> Arc<Keys> {
    let pem = new_key().expect("a key");
    Arc::new(Keys::of_pem(pem.as_bytes(), Duration::from_secs(3600)).expect("valid"))
}

pub struct World {
    pub env: Environment,
    pub sql: PgPool,
    pub tracking: Arc<Keys>,
}

impl World {
    pub async fn new() -> Self {
        let env = Environment::new().await.expect("Postgres and Kafka run");
        let sql = env.sql().await.expect("the database answers");
        // No order follows a workflow that does not exist.
        sqlx::query("INSERT INTO state_machine.workflows (name, revision, definition) VALUES ('test', 1, '')")
            .execute(&sql)
            .await
            .expect("inserted");
        Self { env, sql, tracking: tracking() }
    }

    /// A replica that is not ready yet.
    pub async fn start(&self, config: Config) -> (Replica, tokio::sync::watch::Receiver<bool>) {
        self.start_for(Scope::built_in(), config).await
    }

    /// The same, serving this caller.
    async fn start_for(&self, caller: Scope, config: Config) -> (Replica, tokio::sync::watch::Receiver<bool>) {
        let tasks = Tasks::new();
        let pool = postgres::pool(&self.env.postgres, watch::store::SCHEMA).expect("a valid URL");
        let (service, ready) = watch::start(&config, &self.env.kafka, pool, &tasks);
        let endpoint = Endpoint { routes: Routes::new(service), services: vec![watch::SERVICE], ready: ready.clone() };
        let access = Access::everyone_is(caller).with_tracking(Some(self.tracking.clone()));
        (Replica::serve_to(access, vec![endpoint], tasks).expect("port 0 is free"), ready)
    }

    /// A replica that serves.
    pub async fn replica(&self, config: Config) -> Replica {
        self.replica_for(Scope::built_in(), config).await
    }

    /// The same, serving this caller.
    pub async fn replica_for(&self, caller: Scope, config: Config) -> Replica {
        let (replica, mut ready) = self.start_for(caller, config).await;
        soon("the replica is ready", ready.wait_for(|ready| *ready)).await.expect("it runs");
        replica
    }

    /// A new order of this customer, at version 1 in status "s1", published.
    pub async fn order(&self, customer_id: &str) -> Uuid {
        self.order_of(DEFAULT_TENANT, customer_id).await
    }

    /// The same, of a tenant.
    pub async fn order_of(&self, tenant: &str, customer_id: &str) -> Uuid {
        let order_id = self.silent_order_of(tenant, customer_id).await;
        self.publish(order_id, 1..=1).await;
        order_id
    }

    /// A new order that is not published.
    pub async fn silent_order(&self, customer_id: &str) -> Uuid {
        self.silent_order_of(DEFAULT_TENANT, customer_id).await
    }

    async fn silent_order_of(&self, tenant: &str, customer_id: &str) -> Uuid {
        let order_id = Uuid::now_v7();
        sqlx::query(
            "WITH o AS (
                 INSERT INTO ordering.orders
                     (order_id, tenant, number, customer_id, customer_name, email, locale, content, currency,
                      total_units, total_nanos, item_count, workflow, workflow_revision, first_status)
                 VALUES ($1, $2, 1, $3, 'Ana', 'ana@example.com', '', '', 'CLP', 0, 0, 1, 'test', 1, 's1')
             ), s AS (
                 INSERT INTO state_machine.states
                     (order_id, tenant, workflow, workflow_revision, version, status, phase, status_time, due_at)
                 VALUES ($1, $2, 'test', 1, 1, 's1', 1, now(), 'infinity')
             )
             INSERT INTO state_machine.transitions
                 (order_id, version, tenant, from_status, to_status, phase, transition_time, trigger, actor, reason)
             VALUES ($1, 1, $2, '', 's1', 1, now(), 1, 'system:ordering', '')",
        )
        .bind(order_id)
        .bind(tenant)
        .bind(customer_id)
        .execute(&self.sql)
        .await
        .expect("inserted");
        order_id
    }

    /// Moves an order by `steps` versions, to status "s<version>", in the store only.
    pub async fn commit(&self, order_id: Uuid, steps: i64, last: Phase) -> i64 {
        sqlx::query_scalar(
            "WITH old AS (
                 SELECT version, tenant FROM state_machine.states WHERE order_id = $1
             ), new AS (
                 SELECT v, tenant, CASE WHEN v = old.version + $2 THEN $3 ELSE 1::smallint END AS phase
                 FROM old, generate_series(old.version + 1, old.version + $2) AS v
             ), t AS (
                 INSERT INTO state_machine.transitions
                     (order_id, version, tenant, from_status, to_status, phase, transition_time, trigger, actor, reason)
                 SELECT $1, v, tenant, 's' || v - 1, 's' || v, phase, now(), 3, 'test', repeat('x', 200) FROM new
             )
             UPDATE state_machine.states
             SET version = version + $2, status = 's' || version + $2, phase = $3, status_time = now(),
                 due_at = CASE WHEN $3 = 1 THEN 'infinity'::timestamptz END
             WHERE order_id = $1
             RETURNING version",
        )
        .bind(order_id)
        .bind(steps)
        .bind(i16::try_from(i32::from(last)).expect("a phase"))
        .fetch_one(&self.sql)
        .await
        .expect("moved")
    }

    /// Moves an order by one version.
    pub async fn step(&self, order_id: Uuid) -> i64 {
        self.step_to(order_id, Phase::Active).await
    }

    pub async fn step_to(&self, order_id: Uuid, phase: Phase) -> i64 {
        let version = self.commit(order_id, 1, phase).await;
        self.publish(order_id, version..=version).await;
        version
    }

    /// Publishes versions of an order as the store has them.
    pub async fn publish(&self, order_id: Uuid, versions: std::ops::RangeInclusive<i64>) {
        let history = self.history(order_id).await;
        let wanted = history.iter().filter(|transition| versions.contains(&transition.version));
        let records: Vec<_> = wanted.map(|t| (order_id.to_string(), t.encode_to_vec())).collect();
        assert!(!records.is_empty(), "the store has these versions");
        self.produce(&records).await;
    }

    pub async fn history(&self, order_id: Uuid) -> Vec<OrderTransition> {
        let rows: Vec<TransitionRow> =
            sqlx::query_as("SELECT * FROM state_machine.order_history WHERE order_id = $1 ORDER BY version")
                .bind(order_id)
                .fetch_all(&self.sql)
                .await
                .expect("read");
        rows.into_iter().map(Into::into).collect()
    }

    pub async fn produce(&self, records: &[(String, Vec<u8>)]) {
        self.env.produce(topics::ORDER_TRANSITIONS, records).await.expect("published");
    }

    /// Gives the topic a new epoch, as a relay does that has noticed the loss of the log.
    pub async fn new_epoch(&self) {
        sqlx::query("UPDATE state_machine.topic_log SET topic_epoch = topic_epoch + 1")
            .execute(&self.sql)
            .await
            .expect("updated");
    }

    pub async fn execute(&self, statement: &'static str) {
        sqlx::query(statement).execute(&self.sql).await.expect("executed");
    }
}

pub async fn client(replica: &Replica) -> Client {
    Client::new(replica.connect().await.expect("it listens"))
}

/// A client that takes hardly anything before it is asked for.
pub async fn narrow_client(replica: &Replica) -> Client {
    let endpoint = Channel::from_shared(format!("http://{}", replica.address)).expect("a valid URL");
    Client::new(endpoint.initial_stream_window_size(1024).connect().await.expect("it listens"))
}

pub async fn watch(client: &mut Client, order_id: Uuid, after_version: i64) -> Result<OneOrder, Status> {
    let request = WatchOrderRequest { order_id: order_id.to_string(), after_version, ..Default::default() };
    Ok(soon("the watch opens", client.watch_order(request)).await?.into_inner())
}

/// Starts with a snapshot.
pub fn snapshot() -> Start {
    Start::Snapshot(Snapshot {})
}

/// Starts with what happens from now on.
pub fn now() -> Start {
    Start::Now(Now {})
}

pub async fn follow(client: &mut Client, filter: Option<WatchFilter>, start: Start) -> Result<ManyOrders, Status> {
    let request = WatchOrdersRequest { filter, start: Some(start), ..Default::default() };
    Ok(soon("the watch opens", client.watch_orders(request)).await?.into_inner())
}

/// What a watch of one order says, in short.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Moved(i64),
    Current(i64),
    Heartbeat(i64),
    Courier(Box<CourierUpdate>),
    Ended,
    Refused(Code, String, Option<String>),
}

pub fn refused(code: Code, reason: &str, version: Option<i64>) -> Said {
    Said::Refused(code, reason.into(), version.map(|version| version.to_string()))
}

/// The error of a call: code, reason, and the version or the token that it carries.
pub fn error(status: &Status) -> Said {
    let info = status.get_error_details().error_info().cloned().unwrap_or_else(|| panic!("no details: {status:?}"));
    let place = info.metadata.get("version").or(info.metadata.get("resume_token")).cloned();
    Said::Refused(status.code(), info.reason, place)
}

pub async fn said(stream: &mut OneOrder) -> Said {
    use watch_order_response::Event;
    let response = soon("a response", stream.message()).await;
    match response {
        Ok(None) => Said::Ended,
        Ok(Some(response)) => match response.event.expect("an event") {
            Event::Transition(transition) => Said::Moved(transition.version),
            Event::Current(order) => Said::Current(order.version),
            Event::Heartbeat(heartbeat) => Said::Heartbeat(heartbeat.version),
            Event::Courier(update) => Said::Courier(update.into()),
        },
        Err(status) => error(&status),
    }
}

/// What comes next but for heartbeats.
pub async fn said_but_heartbeats(stream: &mut OneOrder) -> Said {
    let read = async {
        loop {
            match said(stream).await {
                Said::Heartbeat(_) => {}
                said => return said,
            }
        }
    };
    soon("something but a heartbeat", read).await
}

/// Reads up to and with a version; returns everything but heartbeats.
pub async fn up_to(stream: &mut OneOrder, version: i64) -> Vec<Said> {
    let mut all = Vec::new();
    while all.last() != Some(&Said::Moved(version)) {
        match said_but_heartbeats(stream).await {
            said @ (Said::Moved(_) | Said::Current(_)) => all.push(said),
            other => panic!("{other:?} after {all:?}"),
        }
    }
    all
}

/// The versions of the transitions among what was said.
pub fn versions(said: &[Said]) -> Vec<i64> {
    said.iter().filter_map(|said| if let Said::Moved(version) = said { Some(*version) } else { None }).collect()
}

/// What a watch of many orders says, in short, and the token with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Moved(Uuid, i64),
    Current(Uuid, i64),
    Heartbeat,
    Complete,
    Refused(Said),
}

pub async fn told(stream: &mut ManyOrders) -> (Told, Vec<u8>) {
    use watch_orders_response::Event;
    let id = |text: &str| Uuid::try_parse(text).expect("an order id");
    let response = match soon("a response", stream.message()).await {
        Ok(response) => response.expect("no good end"),
        Err(status) => return (Told::Refused(error(&status)), Vec::new()),
    };
    let told = match response.event.expect("an event") {
        Event::Transition(transition) => Told::Moved(id(&transition.order_id), transition.version),
        Event::Current(Order { order_id, version, .. }) => Told::Current(id(&order_id), version),
        Event::Heartbeat(_) => Told::Heartbeat,
        Event::SnapshotComplete(_) => Told::Complete,
    };
    assert_eq!(response.resume_token.is_empty(), matches!(told, Told::Current(..)), "{told:?}");
    (told, response.resume_token.to_vec())
}

/// What comes next but for heartbeats.
pub async fn event(stream: &mut ManyOrders) -> (Told, Vec<u8>) {
    let read = async {
        loop {
            let (told, token) = told(stream).await;
            if told != Told::Heartbeat {
                return (told, token);
            }
        }
    };
    soon("something but a heartbeat", read).await
}

/// The next transitions, as many as that, and the last token.
pub async fn moves(stream: &mut ManyOrders, count: usize) -> (Vec<(Uuid, i64)>, Vec<u8>) {
    let (mut all, mut last) = (Vec::new(), Vec::new());
    while all.len() < count {
        let (told, token) = event(stream).await;
        let Told::Moved(order_id, version) = told else { panic!("{told:?} after {all:?}") };
        all.push((order_id, version));
        last = token;
    }
    (all, last)
}
