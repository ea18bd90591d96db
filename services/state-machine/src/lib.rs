//! The state-machine service: the only writer of an order's state.
//!
//! An order comes in through [`adoption`], moves by [`timers`] and [`commands`], each of which asks [`machine`] what to do, and every
//! transition goes out through the relay. [`store`] holds the SQL, [`api`] the gRPC service.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use comanda_kit::{
    backoff::Backoff, consumer::Consumer, kafka, lease::Elector, postgres, relay::Relay, server::Endpoint,
    shutdown::Tasks,
};
use comanda_proto::{
    topics,
    v1::{Workflow, lifecycle_service_server::LifecycleServiceServer},
};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::info;

use crate::{adoption::Adoption, api::Api, commands::Commands, store::Store, timers::Timers, workflows::Workflows};

pub mod adoption;
pub mod api;
pub mod commands;
pub mod machine;
pub mod store;
pub mod timers;
pub mod workflow;
pub mod workflows;

const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Settings of the state machine.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Config {
    /// A workflow file (TOML) of your own; new orders of its name follow it, orders in flight keep the revision they have. May be repeated.
    #[arg(long = "workflow-file", env = "COMANDA_WORKFLOW_FILES", value_delimiter = ',')]
    pub workflow_files: Vec<PathBuf>,
    /// Replaces the delay of every timer, in milliseconds: for demos and tests.
    #[arg(long, env = "COMANDA_STEP_MS")]
    pub step_ms: Option<u64>,
}

/// The service, not yet running.
pub struct App {
    pool: PgPool,
    store: Store,
    kafka: kafka::Config,
    own_workflows: Vec<Workflow>,
}

impl App {
    /// Checks the settings and reads the user's workflows. What is down is waited for later, while the server answers NOT_SERVING.
    pub fn build(config: &Config, postgres: &postgres::Config, kafka: &kafka::Config) -> Result<Self> {
        let own_workflows = config.workflow_files.iter().map(|path| read_workflow(path)).collect::<Result<_>>()?;
        let pool = postgres::pool(postgres, store::SCHEMA)?;
        let store = Store::new(pool.clone(), config.step_ms.map(Duration::from_millis));
        Ok(Self { pool, store, kafka: kafka.clone(), own_workflows })
    }

    /// Starts consumer, timers and relay.
    pub fn start(self, tasks: &Tasks) -> Result<Endpoint> {
        let Self { pool, store, kafka, own_workflows } = self;
        let (timers_nudge, relay_nudge) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let workflows = Workflows::new(store.clone());
        let adoption = Adoption::new(store.clone(), workflows.clone(), [timers_nudge.clone(), relay_nudge.clone()]);
        let stop = tasks.stop_token();

        let consumer = Consumer {
            group: "comanda-state-machine",
            topic: kafka.topic(topics::ORDERS),
            kafka: kafka.clone(),
            pool: pool.clone(),
            handler: adoption.clone(),
        };
        tasks.spawn("orders consumer", consumer.run(stop.clone()));

        let elector = Elector::new(pool.clone());
        let timers = Timers::new(store.clone(), workflows.clone(), timers_nudge, relay_nudge.clone());
        let topic = kafka.topic(topics::ORDER_TRANSITIONS);
        let relay = Relay::new(pool.clone(), store.clone(), kafka, topic, relay_nudge.clone())?;
        tasks.spawn("state-machine leader", async move {
            let timers = timers.run(elector.clone(), stop.clone());
            let relay = relay.run(elector.clone(), stop);
            elector.while_working(async { _ = tokio::join!(timers, relay) }).await;
            Ok(())
        });

        let prepare = store_workflows(store.clone(), own_workflows, tasks.stop_token());
        let commands = Commands::new(store.clone(), workflows, adoption, relay_nudge);
        let service = LifecycleServiceServer::new(Api::new(commands, store, tasks.clone()));
        Ok(Endpoint {
            routes: Routes::new(service.max_decoding_message_size(MAX_REQUEST_BYTES)),
            services: vec!["comanda.v1.LifecycleService"],
            ready: postgres::readiness(pool, tasks, prepare),
        })
    }
}

fn read_workflow(path: &Path) -> Result<Workflow> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    workflow::parse(&text).with_context(|| format!("in {}", path.display()))
}

/// Stores the user's workflows; waits for a database that goes away meanwhile.
async fn store_workflows(store: Store, workflows: Vec<Workflow>, stop: CancellationToken) -> Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut rest = workflows.iter().peekable();
    while let Some(workflow) = rest.peek() {
        match store.store_workflow(workflow).await {
            Ok(revision) => {
                info!(workflow = workflow.name, revision, "new orders follow this workflow");
                rest.next();
            }
            Err(error) if error.is_transient() && !stop.is_cancelled() => backoff.wait(&stop).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Stores the workflows that come with Comanda; an equal one keeps its revision.
pub async fn store_shipped_workflows(postgres: &postgres::Config) -> Result<()> {
    let pool = postgres::pool(postgres, store::SCHEMA)?;
    let store = Store::new(pool.clone(), None);
    for workflow in workflow::shipped()? {
        store.store_workflow(&workflow).await?;
    }
    pool.close().await;
    Ok(())
}
