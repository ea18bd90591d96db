//! LifecycleService: requests in, checked; commands and lists out.

use comanda_kit::{
    errors::{Refusal, Violations},
    page,
    shutdown::Tasks,
};
use comanda_proto::v1::{
    AdvanceOrderRequest, AdvanceOrderResponse, CancelOrderRequest, CancelOrderResponse, ListTransitionsRequest,
    ListTransitionsResponse, ListWorkflowsRequest, ListWorkflowsResponse, RejectOrderRequest, RejectOrderResponse,
    lifecycle_service_server::LifecycleService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    commands::{self, Commands, Outcome},
    machine::Command,
    store::Store,
};

/// Who gave a command, where the caller does not say.
const DEFAULT_ACTOR: &str = "api";

/// The service.
pub struct Api {
    commands: Commands,
    store: Store,
    tasks: Tasks,
}

impl Api {
    /// Writes run to their end as tasks of `tasks`, even if the caller hangs up.
    pub fn new(commands: Commands, store: Store, tasks: Tasks) -> Self {
        Self { commands, store, tasks }
    }

    async fn carry_out(&self, request: commands::Request) -> Result<Outcome, Refusal> {
        let commands = self.commands.clone();
        self.tasks.finish(async move { commands.carry_out(&request).await }).await
    }
}

/// What the three commands have in common, as it came.
struct Common {
    order_id: String,
    request_id: String,
    expected_version: i64,
    reason: String,
    actor: String,
}

impl Common {
    fn check(self, command: Command, mut violations: Violations) -> Result<commands::Request, Refusal> {
        let order_id = violations.uuid("order_id", &self.order_id);
        let request_id = violations.optional_uuid("request_id", &self.request_id);
        violations.require(self.expected_version >= 0, "expected_version", "must be 0 or more");
        violations.text("reason", &self.reason, 0, 500);
        violations.text("actor", &self.actor, 0, 100);
        violations.check()?;
        let actor = if self.actor.is_empty() { DEFAULT_ACTOR.into() } else { self.actor };
        let expected_version = (self.expected_version > 0).then_some(self.expected_version);
        Ok(commands::Request { order_id, command, request_id, expected_version, actor, reason: self.reason })
    }
}

fn advance(request: AdvanceOrderRequest) -> Result<commands::Request, Refusal> {
    let AdvanceOrderRequest { order_id, request_id, expected_version, to_status, reason, actor } = request;
    let mut violations = Violations::default();
    violations.text("to_status", &to_status, 0, 63);
    let repeatable = !to_status.is_empty() || !request_id.is_empty() || expected_version != 0;
    violations.require(repeatable, "request_id", "is required where neither to_status nor expected_version is given");
    let to = (!to_status.is_empty()).then_some(to_status);
    Common { order_id, request_id, expected_version, reason, actor }.check(Command::Advance { to }, violations)
}

#[tonic::async_trait]
impl LifecycleService for Api {
    async fn advance_order(
        &self,
        request: Request<AdvanceOrderRequest>,
    ) -> Result<Response<AdvanceOrderResponse>, Status> {
        let Outcome { transition, replayed } = self.carry_out(advance(request.into_inner())?).await?;
        Ok(Response::new(AdvanceOrderResponse { transition: Some(transition), replayed }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let CancelOrderRequest { order_id, request_id, expected_version, reason, actor } = request.into_inner();
        let common = Common { order_id, request_id, expected_version, reason, actor };
        let request = common.check(Command::Cancel, Violations::default())?;
        let Outcome { transition, replayed } = self.carry_out(request).await?;
        Ok(Response::new(CancelOrderResponse { transition: Some(transition), replayed }))
    }

    async fn reject_order(
        &self,
        request: Request<RejectOrderRequest>,
    ) -> Result<Response<RejectOrderResponse>, Status> {
        let RejectOrderRequest { order_id, request_id, expected_version, reason, actor } = request.into_inner();
        let common = Common { order_id, request_id, expected_version, reason, actor };
        let request = common.check(Command::Reject, Violations::default())?;
        let Outcome { transition, replayed } = self.carry_out(request).await?;
        Ok(Response::new(RejectOrderResponse { transition: Some(transition), replayed }))
    }

    async fn list_transitions(
        &self,
        request: Request<ListTransitionsRequest>,
    ) -> Result<Response<ListTransitionsResponse>, Status> {
        let ListTransitionsRequest { order_id, page_size, page_token } = request.into_inner();
        let mut violations = Violations::default();
        let order_id: Uuid = violations.uuid("order_id", &order_id);
        let limit = page::size(&mut violations, page_size, 100, 500);
        violations.check()?;
        let filter = order_id.to_string();
        let after = match page::position(&filter, &page_token)? {
            Some(position) => i64::from_be_bytes(position.try_into().map_err(|_| page::bad_token())?),
            None => 0,
        };
        let mut transitions = self.store.history(order_id, after, limit + 1).await.map_err(Refusal::from)?;
        if transitions.is_empty() && after == 0 {
            return Err(Refusal::order_not_found(order_id).into());
        }
        let more = transitions.len() as i64 > limit;
        transitions.truncate(limit as usize);
        let last = transitions.last().map(|transition| transition.version).filter(|_| more);
        let next_page_token = last.map(|version| page::token(&filter, &version.to_be_bytes())).unwrap_or_default();
        Ok(Response::new(ListTransitionsResponse { transitions, next_page_token }))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let ListWorkflowsRequest { page_size, page_token } = request.into_inner();
        let mut violations = Violations::default();
        let limit = page::size(&mut violations, page_size, 100, 100) as usize;
        violations.check()?;
        let filter = String::new();
        let after = page::position(&filter, &page_token)?.unwrap_or_default();
        let rows = self.store.workflows().await.map_err(Refusal::from)?;
        let mut rest = rows.into_iter().filter(|row| row.current && row.name.as_bytes() > after.as_slice()).peekable();
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let last = page.last().map(|row| row.name.clone()).filter(|_| rest.peek().is_some());
        let next_page_token = last.map(|name| page::token(&filter, name.as_bytes())).unwrap_or_default();
        let workflows: Result<Vec<_>, _> = page.into_iter().map(|row| row.into_workflow()).collect();
        let workflows = workflows.map_err(|error| Refusal::from(comanda_kit::postgres::Problem::from(error)))?;
        Ok(Response::new(ListWorkflowsResponse { workflows, next_page_token }))
    }
}
