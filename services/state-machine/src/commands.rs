//! Commands: a caller moves an order. Each is applied at most once, by compare-and-set; who loses a race decides again.

use std::sync::Arc;

use comanda_kit::{errors::ApiError, postgres::StoreError};
use comanda_proto::{errors::reason, v1::OrderTransition};
use tokio::sync::Notify;
use tonic::Code;
use uuid::Uuid;

use crate::{
    adoption::Adoption,
    machine::{self, Command, Decision, Step},
    store::{Move, State, Store},
    workflows::Workflows,
};

/// How often a command that lost a race decides again.
const TRIES: usize = 3;

/// A command for one order.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Request {
    pub order_id: Uuid,
    pub command: Command,
    pub request_id: Option<Uuid>,
    pub expected_version: Option<i64>,
    pub actor: String,
    pub reason: String,
}

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The transition, by this call or an earlier one.
    pub transition: OrderTransition,
    /// Whether it was there before this call.
    pub replayed: bool,
}

/// Carries out commands.
#[derive(Clone, Debug)]
pub struct Commands {
    store: Store,
    workflows: Workflows,
    adoption: Adoption,
    relay: Arc<Notify>,
}

impl Commands {
    /// `relay` is notified of what was written.
    pub fn new(store: Store, workflows: Workflows, adoption: Adoption, relay: Arc<Notify>) -> Self {
        Self { store, workflows, adoption, relay }
    }

    /// Carries out a command.
    pub async fn carry_out(&self, request: &Request) -> Result<Outcome, ApiError> {
        for _ in 0..TRIES {
            let (state, applied_version) = self.read(request).await?;
            if let Some(version) = applied_version {
                return self.outcome(request.order_id, version, true).await;
            }
            check_version(request, &state)?;
            let workflow = self.workflows.get(&state.workflow, state.workflow_revision).await?;
            match machine::decide(&workflow, &state.status, &request.command) {
                Decision::Step(step) => {
                    let version = state.version + 1;
                    if self.apply(request, state, step).await? {
                        // From here on a failure must not say that nothing was done.
                        let outcome = self.outcome(request.order_id, version, false).await;
                        return outcome.map_err(|_| ApiError::unavailable());
                    }
                }
                refused => return self.already_done_or_refused(request, &state, refused).await,
            }
        }
        let message = "the order moved on each time this call decided; look at it and decide again";
        Err(ApiError::new(Code::Aborted, reason::CONTENTION, message).with("order_id", request.order_id))
    }

    /// The order's state. An order whose creation has not come round through Kafka is adopted here.
    async fn read(&self, request: &Request) -> Result<(State, Option<i64>), ApiError> {
        if let Some(found) = self.store.state(request.order_id, request.request_id).await? {
            return Ok(found);
        }
        if !self.adoption.adopt_by_id(request.order_id).await? {
            return Err(ApiError::order_not_found(request.order_id));
        }
        let found = self.store.state(request.order_id, request.request_id).await?;
        found.ok_or_else(|| ApiError::order_not_found(request.order_id))
    }

    async fn apply(&self, request: &Request, from: State, step: Step) -> Result<bool, StoreError> {
        let written = Move {
            from,
            step,
            trigger: request.command.trigger(),
            actor: request.actor.clone(),
            reason: request.reason.clone(),
            request_id: request.request_id,
        };
        let moved = self.store.apply(vec![written], None).await? > 0;
        if moved {
            self.relay.notify_one();
        }
        Ok(moved)
    }

    async fn outcome(&self, order_id: Uuid, version: i64, replayed: bool) -> Result<Outcome, ApiError> {
        let transition = self.store.history(order_id, version - 1, 1).await?.pop();
        let transition = transition.ok_or_else(|| ApiError::order_not_found(order_id))?;
        Ok(Outcome { transition, replayed })
    }

    /// A status already reached is success: now, or, for a named target, at any time before.
    async fn already_done_or_refused(
        &self,
        request: &Request,
        state: &State,
        refused: Decision,
    ) -> Result<Outcome, ApiError> {
        if refused == Decision::AlreadyThere {
            return self.outcome(request.order_id, state.version, true).await;
        }
        if let Command::Advance { to: Some(to) } = &request.command {
            let history = self.store.history(request.order_id, 0, i64::MAX).await?;
            if let Some(transition) = history.into_iter().rev().find(|t| t.to_status == *to) {
                return Ok(Outcome { transition, replayed: true });
            }
        }
        Err(error(request, state, refused))
    }
}

fn check_version(request: &Request, state: &State) -> Result<(), ApiError> {
    match request.expected_version {
        Some(expected) if expected != state.version => {
            let message = format!("the order has version {}, not {expected}; nothing was done", state.version);
            Err(ApiError::new(Code::Aborted, reason::VERSION_MISMATCH, message)
                .with("order_id", state.order_id)
                .with("version", state.version))
        }
        _ => Ok(()),
    }
}

fn error(request: &Request, state: &State, refused: Decision) -> ApiError {
    let error = match refused {
        Decision::NotAllowed(allowed) => {
            let can = if allowed.is_empty() { "nothing".into() } else { allowed.join(", ") };
            let kind = request.command.trigger().as_str_name().trim_start_matches("TRIGGER_").to_lowercase();
            let message = format!("{kind} is not allowed here: from status {} it could enter: {can}", state.status);
            ApiError::new(Code::FailedPrecondition, reason::TRANSITION_NOT_ALLOWED, message)
                .with("allowed", allowed.join(","))
        }
        _ => {
            let message = format!("the order has ended with status {}", state.status);
            ApiError::new(Code::FailedPrecondition, reason::ORDER_ENDED, message)
        }
    };
    error.with("order_id", state.order_id).with("status", &state.status).with("version", state.version)
}
