//! Commands: callers move orders. Commands that arrive together are decided on one reading and written by one statement, each for itself.
//!
//! Each is applied at most once, by compare-and-set. One that loses a race is decided again in a later batch, and so is one that would move
//! an order which its batch moves already.

mod plan;
mod refusals;
mod writer;

use std::{sync::Arc, time::Duration};

use comanda_kit::{
    access::Scope,
    batch::{Batcher, Limits, NotWritten},
    errors::ApiError,
    postgres::StoreError,
    shutdown::Tasks,
    workflows::Workflows,
};
use comanda_proto::v1::OrderTransition;
use tokio::{sync::Notify, time::timeout};
use uuid::Uuid;

use self::writer::Writer;
use crate::{
    adoption::Adoption,
    machine::{Command, Step},
    store::{Asked, Key, Move, State, Store},
};

/// One writer: commands that arrive during a commit are written by the next one. A second writer would only halve the batches.
const LIMITS: Limits = Limits { queue: 2048, batch: 256, writers: 1 };
/// How often a command that lost a race decides again.
const TRIES: usize = 3;
/// How long a caller waits: as long as one statement may take. The queue before the writer has no other deadline.
const PATIENCE: Duration = Duration::from_millis(5500);

/// A command for one order.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Request {
    pub scope: Scope,
    pub order_id: Uuid,
    pub command: Command,
    pub request_id: Option<Uuid>,
    pub expected_version: Option<i64>,
    pub reason: String,
}

impl Request {
    /// What its request id is bound to.
    fn asked(&self) -> Option<Asked> {
        self.request_id.map(|request_id| {
            let status = self.command.named_status().to_owned();
            Asked { request_id, trigger: self.command.trigger(), status }
        })
    }

    fn key(&self) -> Key<'_> {
        Key { tenant: self.scope.tenant(), order_id: self.order_id, request_id: self.request_id }
    }

    /// The transition that a step makes.
    fn taking(&self, from: State, step: Step) -> Move {
        Move {
            from,
            step,
            trigger: self.command.trigger(),
            actor: self.scope.subject().into(),
            reason: self.reason.clone(),
            request: self.asked(),
        }
    }
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The transition, by this call or an earlier one.
    pub transition: OrderTransition,
    /// Whether it was there before this call.
    pub replayed: bool,
}

/// Why a batch did not carry out a command.
#[derive(Clone, Debug)]
enum NotDone {
    /// The order moved on, or the request id was bound, between the reading and the writing.
    Lost,
    /// The batch writes another command for the same order.
    HeldBack,
    /// It is over: the caller gets this answer.
    Refused(ApiError),
}

impl From<ApiError> for NotDone {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

/// Carries out commands. Clones share the queue.
#[derive(Clone, Debug)]
pub struct Commands {
    batcher: Batcher<Arc<Request>, Result<Outcome, NotDone>>,
}

impl Commands {
    /// Starts the writer. `relay` is notified of what was written.
    pub fn start(store: Store, workflows: Workflows, adoption: Adoption, relay: Arc<Notify>, tasks: &Tasks) -> Self {
        let writer = Arc::new(Writer { store, workflows, adoption, relay });
        let batcher = Batcher::start(tasks, "commands", LIMITS, move |requests| {
            let writer = writer.clone();
            async move { writer.carry_out(&requests).await }
        });
        Self { batcher }
    }

    /// Carries out a command. A full queue refuses it at once. One whose caller leaves before its batch begins does nothing; once a batch
    /// has begun, all of it is written. If no answer comes in time, the outcome is unknown.
    pub async fn carry_out(&self, request: Request) -> Result<Outcome, ApiError> {
        let done = timeout(PATIENCE, self.try_until_done(Arc::new(request)));
        done.await.unwrap_or_else(|_| Err(ApiError::unavailable()))
    }

    async fn try_until_done(&self, request: Arc<Request>) -> Result<Outcome, ApiError> {
        let mut lost = 0;
        while lost < TRIES {
            match self.next_batch(request.clone()).await {
                Ok(outcome) => return Ok(outcome),
                Err(NotDone::Refused(error)) => return Err(error),
                Err(NotDone::Lost) => lost += 1,
                Err(NotDone::HeldBack) => {}
            }
        }
        Err(refusals::contention(&request))
    }

    async fn next_batch(&self, request: Arc<Request>) -> Result<Outcome, NotDone> {
        let answer = self.batcher.enqueue(request).map_err(|not_written| match not_written {
            NotWritten::Full => ApiError::overloaded(),
            NotWritten::Stopped => ApiError::shutting_down(),
        })?;
        answer.await.unwrap_or_else(|_| Err(ApiError::unavailable().into()))
    }
}
