//! One mail for each transition, sent from a ledger: never lost, in order, and with the same Message-ID if ever repeated.
//!
//! In: the topic `order-transitions`. Out: messages to a mail server or files, and [`MailService`](comanda_proto::v1).
//! `ledger` enters each mail, and by `handover` gives it to an `owner` of this process where that has room; else the owner claims it when it is
//! due. The owner's `sender`s hand mails to a `transport`; `verdict` decides what a failure means, with the help of `blame` and `history`.
//! SQL is in `store` alone.
//!
//! The states: `due` -> `sending` (taken by an owner, committed before it is sent, a few together) -> `sent` or `dead`, or back to `due`.
//! A mail that finds its owner free begins as `sending`. One that is left in `sending` may or may not have been accepted (RFC 1047): it is
//! counted and sent again.

mod api;
mod arrival;
mod blame;
mod claim;
mod claims;
mod compose;
mod config;
mod context;
mod due;
mod failure;
mod handover;
mod headers;
mod hello;
mod history;
mod lease;
mod ledger;
mod locale;
mod lookup;
mod mask;
mod names;
mod notes;
mod outcome;
mod owner;
mod pages;
mod pause;
mod places;
mod plan;
mod reply;
mod request;
mod row;
mod schedule;
mod sender;
mod server;
mod smtp;
mod store;
mod templates;
mod transport;
mod verdict;

use std::sync::Arc;

use anyhow::Result;
use comanda_kit::{consumer::Consumer, kafka, shutdown::Tasks, tracking::Keys, workflows::Workflows};
use comanda_proto::{topics, v1::mail_service_server::MailServiceServer};
use sqlx::PgPool;
use tracing::{info, warn};

pub(crate) use self::store::operator;
pub use self::{
    api::Api,
    config::Config,
    locale::Locale,
    schedule::Schedule,
    server::{Security, Server},
};
use self::{
    compose::Composer, context::SenderContext, due::Due, handover::Handover, ledger::Ledger, store::Store,
    transport::Route,
};

/// Full name of the gRPC service, for health.
pub const SERVICE: &str = "comanda.v1.MailService";
/// The consumer group, to which topic and epoch are added.
const GROUP: &str = "comanda-notification-mail";
/// Requests hold a few short fields.
const REQUEST_BYTES: usize = 64 * 1024;

/// The mail half of the notification service.
pub struct App {
    config: Config,
    kafka: kafka::Config,
    store: Store,
    workflows: Workflows,
    composer: Composer,
    route: Option<Route>,
    due: Arc<Due>,
}

impl App {
    /// Checks the settings. Mails link to their orders by tokens of `tracking`. `pool` must see schema `notification` as its own; it may be down.
    pub fn build(config: &Config, kafka: &kafka::Config, pool: PgPool, tracking: Option<Arc<Keys>>) -> Result<Self> {
        let store = Store::new(pool.clone());
        Ok(Self {
            config: config.clone(),
            kafka: kafka.clone(),
            workflows: Workflows::new(pool),
            store,
            composer: Composer::new(config, tracking)?,
            route: Route::new(config)?,
            due: Arc::default(),
        })
    }

    /// The gRPC service.
    pub fn service(&self, tasks: &Tasks) -> MailServiceServer<Api> {
        let (store, workflows, due) = (self.store.clone(), self.workflows.clone(), self.due.clone());
        let domain = self.config.mail_domain.clone();
        MailServiceServer::new(Api { store, workflows, domain, due, tasks: tasks.clone() })
            .max_decoding_message_size(REQUEST_BYTES)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
    }

    /// Starts the ledger and, where there is a transport, the senders. Both wait for what is down.
    pub fn start(self, tasks: &Tasks) {
        let Self { config, kafka, store, workflows, composer, route, due } = self;
        if config.no_mails {
            return info!("no mails are sent, and none entered as due");
        }
        let stop = tasks.stop_token();
        let handover = Arc::<Handover>::default();
        let ledger = {
            let (store, workflows, handover, due) = (store.clone(), workflows.clone(), handover.clone(), due.clone());
            Ledger { store, workflows, handover, due }
        };
        let topic = kafka.topic(topics::ORDER_TRANSITIONS);
        let consumer = Consumer { group: GROUP, topic, kafka, pool: store.pool.clone(), handler: ledger };
        tasks.spawn("mail-ledger", consumer.run(stop.clone()));
        match route {
            Some(route) => {
                info!("mails go {}", route.describe());
                let context = SenderContext::new(&config, store, workflows, composer, route, due, tasks);
                tasks.spawn("mail-senders", owner::run(Arc::new(context), handover, stop));
            }
            None => warn!("neither SMTP_URL nor COMANDA_MAIL_DIR is set: mails are entered as due and wait"),
        }
    }
}
