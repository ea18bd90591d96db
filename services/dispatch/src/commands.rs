//! What couriers and people ask for with an assignment. Each takes effect once, by compare-and-set; one that loses a race decides again.

mod rules;

use std::sync::Arc;

use comanda_kit::{access::Scope, errors::ApiError, postgres::StoreError, workflows::Workflows};
use comanda_proto::{access::Role, errors::reason, v1::WorkflowDispatch};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tonic::Code;
use uuid::Uuid;

pub use self::rules::Action;
use self::rules::{Verdict, judge};
use crate::{
    change::{By, Change},
    decide,
    model::{Assignment, Case},
    store::Store,
    wake::Wake,
};

/// How often a command that lost a race decides again.
pub const TRIES: usize = 5;

/// A command for one assignment.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Request {
    pub scope: Scope,
    pub order_id: Uuid,
    pub attempt: i32,
    pub action: Action,
    pub reason: String,
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The assignment as it is now.
    pub case: Case,
    /// Whether the command had been carried out before.
    pub replayed: bool,
}

/// Carries out commands.
#[derive(Clone, Debug)]
pub struct Commands {
    store: Store,
    workflows: Workflows,
    wake: Arc<Wake>,
    relay: Arc<Notify>,
}

impl Commands {
    /// `wake` and `relay` are told of what was written.
    pub fn new(store: Store, workflows: Workflows, wake: Arc<Wake>, relay: Arc<Notify>) -> Self {
        Self { store, workflows, wake, relay }
    }

    /// Carries out a command.
    pub async fn carry_out(&self, request: &Request) -> Result<Outcome, ApiError> {
        for _ in 0..TRIES {
            let (case, assignment) = self.read(request).await?;
            let dispatch = self.dispatch(&case).await?;
            match judge(request.action, &dispatch, &assignment, case.now) {
                Verdict::Do => {}
                Verdict::Done => return Ok(Outcome { case, replayed: true }),
                Verdict::Refuse(reason, message) => return Err(refusal(request, &assignment, reason, message)),
            }
            let change = self.change(request, &dispatch, &case).await?;
            if !self.store.apply(vec![change], None).await?.is_empty() {
                self.wake.couriers([assignment.courier()]);
                self.relay.notify_one();
                // It is written: from here on a failure must not say that nothing was done.
                let (case, _) = self.read(request).await.map_err(|_| ApiError::unavailable())?;
                return Ok(Outcome { case, replayed: false });
            }
        }
        Err(contention(request.order_id))
    }

    async fn read(&self, request: &Request) -> Result<(Case, Assignment), ApiError> {
        let Request { scope, order_id, attempt, .. } = request;
        let case = self.store.assignment(scope, *order_id, Some(*attempt)).await?;
        let found = case.and_then(|case| case.assignment.clone().map(|assignment| (case, assignment)));
        let reachable = found.filter(|(_, assignment)| may_reach(scope, &assignment.courier_id));
        reachable.ok_or_else(|| assignment_not_found(*order_id, Some(*attempt)))
    }

    async fn change(&self, request: &Request, dispatch: &WorkflowDispatch, case: &Case) -> Result<Change, ApiError> {
        use comanda_proto::v1::AssignmentOutcome::{Declined, Withdrawn};
        let by = By { actor: request.scope.subject(), reason: &request.reason };
        Ok(match request.action {
            Action::Accept => decide::accept(dispatch, case, self.idle(&request.scope, case).await?, by),
            Action::Decline => decide::refuse(case, Declined, by),
            Action::Withdraw => decide::take_back(dispatch, case, Withdrawn, by),
            Action::Arrive => decide::arrive(dispatch, case, by),
            Action::PickUp => decide::pick_up(dispatch, case, by),
            Action::Complete => decide::complete(dispatch, case, by),
        })
    }

    /// For how long the courier has had nothing to do.
    async fn idle(&self, scope: &Scope, case: &Case) -> Result<Option<time::Duration>, StoreError> {
        let Some(assignment) = &case.assignment else { return Ok(None) };
        let courier = self.store.courier(scope, &assignment.courier_id).await?;
        let since: Option<OffsetDateTime> = courier.and_then(|courier| courier.idle_since);
        Ok(since.map(|since| case.now - since))
    }

    async fn dispatch(&self, case: &Case) -> Result<WorkflowDispatch, StoreError> {
        let workflow = self.workflows.get(&case.job.workflow, case.job.workflow_revision).await?;
        let missing = || StoreError::Unreadable(format!("workflow {} asks for no couriers", case.job.workflow));
        workflow.dispatch.clone().ok_or_else(missing)
    }
}

/// Whether a caller may reach a courier and what it has: one with the role courier only itself.
pub fn may_reach(scope: &Scope, courier_id: &str) -> bool {
    scope.role() != Role::Courier || scope.subject() == courier_id
}

/// NOT_FOUND for an assignment.
pub fn assignment_not_found(order_id: Uuid, attempt: Option<i32>) -> ApiError {
    let which = attempt.map_or_else(|| "no assignment".into(), |attempt| format!("no assignment {attempt}"));
    ApiError::new(Code::NotFound, reason::ASSIGNMENT_NOT_FOUND, format!("there is {which} of order {order_id}"))
        .with("order_id", order_id)
}

/// ABORTED: others were faster each time.
pub fn contention(order_id: Uuid) -> ApiError {
    let message = "the assignment changed each time this call decided; look at it and decide again";
    ApiError::new(Code::Aborted, reason::CONTENTION, message).with("order_id", order_id)
}

fn refusal(request: &Request, assignment: &Assignment, reason: &'static str, message: &'static str) -> ApiError {
    let error = ApiError::new(Code::FailedPrecondition, reason, message).with("order_id", request.order_id);
    if assignment.is_open() { error } else { error.with("outcome", assignment.outcome().as_str_name()) }
}
