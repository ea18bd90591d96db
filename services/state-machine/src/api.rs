//! LifecycleService: checked requests in, commands and lists out.

mod requests;

use comanda_kit::{access::Scope, errors::ApiError, page, postgres::StoreError};
use comanda_proto::{
    errors::reason,
    v1::{
        AdvanceOrderRequest, AdvanceOrderResponse, CancelOrderRequest, CancelOrderResponse, GetWorkflowRequest,
        GetWorkflowResponse, ListTransitionsRequest, ListTransitionsResponse, ListWorkflowsRequest,
        ListWorkflowsResponse, RejectOrderRequest, RejectOrderResponse, Workflow,
        lifecycle_service_server::LifecycleService,
    },
    views::WorkflowRow,
};
use tonic::{Code, Request, Response, Status};

use self::requests::{HistoryPage, HistoryPosition, WhichWorkflow, WorkflowsPage, WorkflowsPosition};
use crate::{
    commands::{Commands, Outcome},
    store::Store,
};

/// What the definitions on a page may hold together, of the 4 MiB that a client takes. The first is sent whatever its size.
const PAGE_BYTES: usize = 1024 * 1024;

/// The service.
pub struct Api {
    commands: Commands,
    store: Store,
}

impl Api {
    /// Moves orders through `commands`, and reads through `store`.
    pub fn new(commands: Commands, store: Store) -> Self {
        Self { commands, store }
    }

    async fn history(&self, scope: &Scope, page: HistoryPage) -> Result<ListTransitionsResponse, ApiError> {
        let HistoryPage { order_id, after, limit } = page;
        let mut transitions = self.store.history(scope, order_id, after, limit + 1).await?;
        if transitions.is_empty() && after == 0 {
            return Err(ApiError::order_not_found(order_id));
        }
        let has_more = transitions.len() as i64 > limit;
        transitions.truncate(limit as usize);
        let last = transitions.last().map(|transition| transition.version).filter(|_| has_more);
        let token = |version| page::token(scope, &order_id.to_string(), &HistoryPosition { version });
        Ok(ListTransitionsResponse { transitions, next_page_token: last.map(token).unwrap_or_default() })
    }

    async fn workflows(&self, scope: &Scope, page: WorkflowsPage) -> Result<ListWorkflowsResponse, ApiError> {
        let WorkflowsPage { after, limit } = page;
        let mut rows = self.store.current_workflows(&after, limit + 1).await?;
        let fitting = fitting(&rows).min(limit as usize);
        let has_more = rows.len() > fitting;
        rows.truncate(fitting);
        let last = rows.last().map(|row| row.name.clone()).filter(|_| has_more);
        let token = |name| page::token(scope, &String::new(), &WorkflowsPosition { name });
        let workflows = rows.into_iter().map(decoded).collect::<Result<_, _>>()?;
        Ok(ListWorkflowsResponse { workflows, next_page_token: last.map(token).unwrap_or_default() })
    }

    async fn workflow(&self, which: WhichWorkflow) -> Result<Workflow, ApiError> {
        let WhichWorkflow { name, revision } = which;
        match self.store.workflow(&name, revision).await? {
            Some(row) => decoded(row),
            None => Err(workflow_not_found(&name, revision)),
        }
    }
}

/// How many of these rows a page can hold.
fn fitting(rows: &[WorkflowRow]) -> usize {
    let mut bytes = 0;
    let fits = rows.iter().take_while(|row| {
        bytes += row.definition.len();
        bytes <= PAGE_BYTES
    });
    fits.count().max(1)
}

fn decoded(row: WorkflowRow) -> Result<Workflow, ApiError> {
    row.into_workflow().map_err(|error| StoreError::from(error).into())
}

fn workflow_not_found(name: &str, revision: Option<i32>) -> ApiError {
    let which = revision.map_or_else(String::new, |revision| format!(" revision {revision}"));
    let error =
        ApiError::new(Code::NotFound, reason::WORKFLOW_NOT_FOUND, format!("there is no workflow {name}{which}"));
    error.with("name", name).with("revision", revision.unwrap_or_default())
}

#[tonic::async_trait]
impl LifecycleService for Api {
    async fn advance_order(
        &self,
        request: Request<AdvanceOrderRequest>,
    ) -> Result<Response<AdvanceOrderResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let request = requests::advance(scope, request.into_inner())?;
        let Outcome { transition, replayed } = self.commands.carry_out(request).await?;
        Ok(Response::new(AdvanceOrderResponse { transition: Some(transition), replayed }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let request = requests::cancel(scope, request.into_inner())?;
        let Outcome { transition, replayed } = self.commands.carry_out(request).await?;
        Ok(Response::new(CancelOrderResponse { transition: Some(transition), replayed }))
    }

    async fn reject_order(
        &self,
        request: Request<RejectOrderRequest>,
    ) -> Result<Response<RejectOrderResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let request = requests::reject(scope, request.into_inner())?;
        let Outcome { transition, replayed } = self.commands.carry_out(request).await?;
        Ok(Response::new(RejectOrderResponse { transition: Some(transition), replayed }))
    }

    async fn list_transitions(
        &self,
        request: Request<ListTransitionsRequest>,
    ) -> Result<Response<ListTransitionsResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let page = requests::history_page(&scope, &request.into_inner())?;
        Ok(Response::new(self.history(&scope, page).await?))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let page = requests::workflows_page(&scope, &request.into_inner())?;
        Ok(Response::new(self.workflows(&scope, page).await?))
    }

    async fn get_workflow(
        &self,
        request: Request<GetWorkflowRequest>,
    ) -> Result<Response<GetWorkflowResponse>, Status> {
        let workflow = self.workflow(requests::which_workflow(request.into_inner())?).await?;
        Ok(Response::new(GetWorkflowResponse { workflow: Some(workflow) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_workflows_is_cut_at_a_mebibyte_but_holds_one() {
        let row = |bytes| WorkflowRow { name: "w".into(), revision: 1, definition: vec![0; bytes], current: true };
        assert_eq!(fitting(&[row(PAGE_BYTES / 2), row(PAGE_BYTES / 2), row(1)]), 2);
        assert_eq!(fitting(&[row(PAGE_BYTES + 1), row(1)]), 1);
    }
}
