//! Commands: a caller moves an order. Each is applied at most once, by compare-and-set; one that loses a race decides again.

use std::sync::Arc;

use comanda_kit::{access::Scope, errors::ApiError, workflows::Workflows};
use comanda_proto::{errors::reason, v1::OrderTransition};
use tokio::sync::Notify;
use tonic::Code;
use uuid::Uuid;

use crate::{
    adoption::Adoption,
    machine::{self, Command, Decision, Step},
    store::{Answered, Asked, Move, State, Store},
};

/// How often a command that lost a race decides again.
const TRIES: usize = 3;

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
        let status = self.command.named_status().to_owned();
        self.request_id.map(|request_id| Asked { request_id, trigger: self.command.trigger(), status })
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
        self.check_reach(request).await?;
        for _ in 0..TRIES {
            let (state, answered) = self.read(request).await?;
            if let Some(answered) = answered {
                check_same_command(request, &answered)?;
                return self.outcome(request, answered.version, true).await;
            }
            check_version(request, &state)?;
            if let Some(outcome) = self.attempt(request, state).await? {
                return Ok(outcome);
            }
        }
        let message = "the order moved on each time this call decided; look at it and decide again";
        Err(ApiError::new(Code::Aborted, reason::CONTENTION, message).with("order_id", request.order_id))
    }

    /// States do not tell whose order it is; the history does, from the order's first moment.
    async fn check_reach(&self, request: &Request) -> Result<(), ApiError> {
        let Request { scope, order_id, .. } = request;
        if scope.customer_id().is_some() && self.store.history(scope, *order_id, 0, 1).await?.is_empty() {
            return Err(ApiError::order_not_found(order_id));
        }
        Ok(())
    }

    /// The order's state. An order whose record has not been consumed yet is adopted here.
    async fn read(&self, request: &Request) -> Result<(State, Option<Answered>), ApiError> {
        let Request { scope, order_id, request_id, .. } = request;
        if let Some(found) = self.store.state(scope, *order_id, *request_id).await? {
            return Ok(found);
        }
        if !self.adoption.adopt_by_id(scope, *order_id).await? {
            return Err(ApiError::order_not_found(order_id));
        }
        let found = self.store.state(scope, *order_id, *request_id).await?;
        found.ok_or_else(|| ApiError::order_not_found(order_id))
    }

    /// Decides on a state and acts on it; `None` if the order moved on meanwhile.
    async fn attempt(&self, request: &Request, state: State) -> Result<Option<Outcome>, ApiError> {
        let workflow = self.workflows.get(&state.workflow, state.workflow_revision).await?;
        match machine::decide(&workflow, &state.status, &request.command) {
            Decision::Step(step) => self.take_step(request, state, step).await,
            Decision::AlreadyThere => self.answer_with_present(request, &state).await,
            refused => Err(refusal(request, &state, refused)),
        }
    }

    async fn take_step(&self, request: &Request, from: State, step: Step) -> Result<Option<Outcome>, ApiError> {
        let version = from.version + 1;
        let step = Move {
            from,
            step,
            trigger: request.command.trigger(),
            actor: request.scope.subject().into(),
            reason: request.reason.clone(),
            request: request.asked(),
        };
        if !self.store.apply_one(step).await? {
            return Ok(None);
        }
        self.relay.notify_one();
        // The transition is written: from here on a failure must not say that nothing was done.
        let outcome = self.outcome(request, version, false).await;
        outcome.map(Some).map_err(|_| ApiError::unavailable())
    }

    /// The order is in the wanted status. Its request id is bound all the same: after the order has moved on, a repetition must not move
    /// it back.
    async fn answer_with_present(&self, request: &Request, state: &State) -> Result<Option<Outcome>, ApiError> {
        if let Some(asked) = request.asked()
            && !self.store.note_answered(&request.scope, state, &asked).await?
        {
            return Ok(None);
        }
        self.outcome(request, state.version, true).await.map(Some)
    }

    async fn outcome(&self, request: &Request, version: i64, replayed: bool) -> Result<Outcome, ApiError> {
        let transition = self.store.history(&request.scope, request.order_id, version - 1, 1).await?.pop();
        let transition = transition.ok_or_else(|| ApiError::order_not_found(request.order_id))?;
        Ok(Outcome { transition, replayed })
    }
}

fn check_same_command(request: &Request, answered: &Answered) -> Result<(), ApiError> {
    if request.asked().as_ref() == Some(&answered.asked) {
        return Ok(());
    }
    let Asked { request_id, trigger, status } = &answered.asked;
    let message = format!(
        "request_id {request_id} is bound to another command for this order ({}{}); nothing was done; make a new one for each command",
        machine::name_of(*trigger),
        if status.is_empty() { String::new() } else { format!(" to {status}") },
    );
    Err(ApiError::new(Code::InvalidArgument, reason::IDEMPOTENCY_MISMATCH, message)
        .with("order_id", request.order_id)
        .with("request_id", request_id)
        .with("version", answered.version))
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

fn refusal(request: &Request, state: &State, refused: Decision) -> ApiError {
    let error = match refused {
        Decision::NotAllowed(allowed) => {
            let choices = if allowed.is_empty() { "no status".into() } else { allowed.join(", ") };
            let name = machine::name_of(request.command.trigger());
            let message = format!("{name} is not allowed: from status {} it can enter {choices}", state.status);
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
