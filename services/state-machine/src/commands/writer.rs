//! Carries out a batch of commands: reads where their orders are, decides, writes, and reads what was there before.

use std::{collections::HashSet, sync::Arc};

use comanda_kit::{batch::halved, errors::ApiError, postgres::StoreError, workflows::Workflows};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    NotDone, Outcome, Request,
    plan::{Done, Plan, Verdict},
    refusals,
};
use crate::{
    adoption::Adoption,
    machine::{self, Decision},
    store::{Found, Key, Store},
};

/// The way into the database.
#[derive(Debug)]
pub struct Writer {
    pub store: Store,
    pub workflows: Workflows,
    pub adoption: Adoption,
    /// Notified of what was written.
    pub relay: Arc<Notify>,
}

impl Writer {
    /// Carries out commands. Their answers, in order.
    pub async fn carry_out(&self, requests: &[Arc<Request>]) -> Vec<Result<Outcome, NotDone>> {
        let keys: Vec<_> = requests.iter().map(|request| request.key()).collect();
        let mut plan = Plan::default();
        for (request, found) in requests.iter().zip(self.find(&keys).await) {
            plan.add(self.judge(request, found).await);
        }
        let mut done = Done::default();
        self.apply(&plan, &mut done).await;
        self.bind(&plan, &mut done).await;
        self.read(plan.to_read(), &mut done).await;
        plan.answers(done)
    }

    /// Where the orders are. Those whose records have not been consumed yet are adopted here.
    async fn find(&self, keys: &[Key<'_>]) -> Vec<Result<Found, ApiError>> {
        let found = match self.store.find(keys).await {
            Ok(found) => found,
            Err(error) => return vec![Err(error.into()); keys.len()],
        };
        let unknown = keys.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(key, _)| *key);
        let mut adopted = self.adopt(&unknown.collect::<Vec<_>>()).await.into_iter();
        let or_adopted = |found: Option<Found>| found.map_or_else(|| adopted.next().expect("as many as unknown"), Ok);
        found.into_iter().map(or_adopted).collect()
    }

    async fn adopt(&self, keys: &[Key<'_>]) -> Vec<Result<Found, ApiError>> {
        if keys.is_empty() {
            return Vec::new();
        }
        self.try_adopt(keys).await.unwrap_or_else(|error| vec![Err(error.into()); keys.len()])
    }

    async fn try_adopt(&self, keys: &[Key<'_>]) -> Result<Vec<Result<Found, ApiError>>, StoreError> {
        let refused = self.adoption.adopt_asked(keys).await?;
        let found = self.store.find(keys).await?;
        let missing = |key: &Key<'_>| {
            let refused = refused.get(&key.order_id).cloned();
            refused.unwrap_or_else(|| ApiError::order_not_found(key.order_id))
        };
        Ok(keys.iter().zip(found).map(|(key, found)| found.ok_or_else(|| missing(key))).collect())
    }

    async fn judge(&self, request: &Request, found: Result<Found, ApiError>) -> Result<Verdict, NotDone> {
        let Found { state, answered } = found?;
        if let Some(answered) = answered {
            refusals::check_same_command(request, &answered)?;
            return Ok(Verdict::Earlier(state.order_id, answered.version));
        }
        refusals::check_version(request, &state)?;
        let workflow = self.workflows.get(&state.workflow, state.workflow_revision).await?;
        match machine::decide(&workflow, &state.status, &request.command) {
            Decision::Step(step) => Ok(Verdict::Step(Box::new(request.taking(state, step)))),
            Decision::AlreadyThere => Ok(Verdict::Present(state, request.asked())),
            refused => Err(refusals::not_allowed(request, &state, refused).into()),
        }
    }

    async fn apply(&self, plan: &Plan, done: &mut Done) {
        for (part, written) in halved(&plan.moves, |part| self.store.apply(part)).await {
            match written {
                Ok(rows) => done.moved.extend(rows.into_iter().map(|row| (row.order_id, Ok(row.into())))),
                Err(error) => {
                    let error = if is_bound_meanwhile(&error) { NotDone::Lost } else { error.into() };
                    done.moved.extend(part.iter().map(|step| (step.from.order_id, Err(error.clone()))));
                }
            }
        }
        if done.moved.values().any(Result::is_ok) {
            self.relay.notify_one();
        }
    }

    async fn bind(&self, plan: &Plan, done: &mut Done) {
        for (part, bound) in halved(&plan.bindings, |part| self.store.note_answered(part)).await {
            match bound.map_err(NotDone::from) {
                Ok(order_ids) => done.bound.extend(order_ids.into_iter().map(|order_id| (order_id, Ok(())))),
                Err(error) => done.bound.extend(part.iter().map(|(order_id, _)| (*order_id, Err(error.clone())))),
            }
        }
    }

    async fn read(&self, wanted: HashSet<(Uuid, i64)>, done: &mut Done) {
        if wanted.is_empty() {
            return;
        }
        let (order_ids, versions): (Vec<_>, Vec<_>) = wanted.iter().copied().unzip();
        match self.store.transitions(&order_ids, &versions).await.map_err(NotDone::from) {
            Ok(rows) => done.read.extend(rows.into_iter().map(|row| ((row.order_id, row.version), Ok(row.into())))),
            Err(error) => done.read.extend(wanted.into_iter().map(|key| (key, Err(error.clone())))),
        }
    }
}

/// Whether the request id of a command that stands alone was bound after it was looked up.
fn is_bound_meanwhile(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()))
}
