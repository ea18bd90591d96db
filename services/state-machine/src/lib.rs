//! The state-machine service: the only writer of an order's state.
//!
//! An order comes in through [`adoption`] and moves by [`timers`], by [`commands`] of callers and by [`steps`] of dispatch, which all ask
//! [`machine`] what to do. Every transition goes out through the relay. [`store`] holds the SQL, [`api`] the gRPC service, [`operator`] what an operator may do.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use clap::Args;
use comanda_kit::{
    backoff::Backoff,
    consumer::Consumer,
    kafka,
    lease::Elector,
    postgres, readiness,
    relay::{Kept, Relay},
    server::Endpoint,
    shutdown::Tasks,
    workflows::Workflows,
};
use comanda_proto::{
    topics,
    v1::{Workflow, lifecycle_service_server::LifecycleServiceServer},
};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{info, warn};

use crate::{
    adoption::Adoption,
    api::Api,
    commands::Commands,
    steps::Steps,
    store::{Chooser, Store, Stored},
    timers::Timers,
};

pub mod adoption;
pub mod api;
pub mod commands;
pub mod edges;
pub mod machine;
mod measure;
pub mod operator;
pub mod steps;
pub mod store;
pub mod timers;
pub mod workflow;

const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Settings of the state machine.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Config {
    /// A workflow file (TOML) of your own. May be repeated. A definition that is new becomes the one that new orders of its name follow;
    /// orders under way keep theirs. One that was stored before changes nothing: see `comanda workflow use`.
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
    kept: Kept,
    kafka: kafka::Config,
    own_workflows: Vec<Workflow>,
}

impl App {
    /// Checks the settings and reads the user's workflows. What is down is waited for later, while the server answers NOT_SERVING.
    pub fn build(config: &Config, postgres: &postgres::Config, kafka: &kafka::Config) -> Result<Self> {
        let own_workflows = workflow::read_files(&config.workflow_files)?;
        let pool = postgres::pool(postgres, store::SCHEMA)?;
        let kept = Kept::of(kafka);
        let store = Store::new(pool.clone(), config.step_ms.map(Duration::from_millis));
        let store = store.with_kept(kept.clone(), kafka.outbox_cache_bytes());
        Ok(Self { pool, store, kept, kafka: kafka.clone(), own_workflows })
    }

    /// Starts consumers, timers and relay.
    pub fn start(self, tasks: &Tasks) -> Result<Endpoint> {
        let Self { pool, store, kept, kafka, own_workflows } = self;
        let (timers_nudge, relay_nudge) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let workflows = Workflows::new(pool.clone());
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

        let consumer = Consumer {
            group: "comanda-state-machine-steps",
            topic: kafka.topic(topics::ASSIGNMENTS),
            kafka: kafka.clone(),
            pool: pool.clone(),
            handler: Steps::new(store.clone(), workflows.clone(), [timers_nudge.clone(), relay_nudge.clone()]),
        };
        tasks.spawn("assignments consumer", consumer.run(stop.clone()));

        let elector = Elector::new(pool.clone());
        let timers = Timers::new(store.clone(), workflows.clone(), timers_nudge, relay_nudge.clone());
        let topic = kafka.topic(topics::ORDER_TRANSITIONS);
        let relay = Relay::new(pool.clone(), store.clone(), kafka, topic, relay_nudge.clone())?.with_kept(kept);
        let measured = store.clone();
        tasks.spawn("state-machine leader", async move {
            let measure = measure::run(measured, elector.clone(), stop.clone());
            let timers = timers.run(elector.clone(), stop.clone());
            let relay = relay.run(elector.clone(), stop);
            elector.while_working(async { _ = tokio::join!(timers, relay, measure) }).await;
            Ok(())
        });

        let prepare = store_workflows(store.clone(), own_workflows, tasks.stop_token());
        let commands = Commands::start(store.clone(), workflows, adoption, relay_nudge, tasks);
        let service = LifecycleServiceServer::new(Api::new(commands, store));
        Ok(Endpoint {
            routes: Routes::new(
                service
                    .max_decoding_message_size(MAX_REQUEST_BYTES)
                    .accept_compressed(tonic::codec::CompressionEncoding::Gzip),
            ),
            services: vec!["comanda.v1.LifecycleService"],
            ready: readiness::database(pool, tasks, prepare),
        })
    }
}

/// Stores the user's workflows; waits for a database that goes away meanwhile.
async fn store_workflows(store: Store, workflows: Vec<Workflow>, stop: CancellationToken) -> Result<()> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let mut rest = workflows.iter().peekable();
    while let Some(workflow) = rest.peek() {
        match store.store_workflow(workflow, Chooser::File).await {
            Ok(stored) => {
                report(&workflow.name, stored);
                rest.next();
            }
            Err(error) if error.is_transient() && !stop.is_cancelled() => backoff.wait(&stop).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn report(workflow: &str, stored: Stored) {
    let Stored { revision, current, .. } = stored;
    if revision == current {
        info!(workflow, revision, "new orders follow this workflow file");
    } else {
        warn!(
            workflow,
            revision,
            current,
            "new orders follow another revision than this workflow file's; `comanda workflow use` changes that"
        );
    }
}
