//! LifecycleService: requests in, checked; commands and lists out.

use comanda_kit::{
    errors::{ApiError, Violations},
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

    async fn carry_out(&self, request: commands::Request) -> Result<Outcome, ApiError> {
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
    fn check(self, command: Command, mut violations: Violations) -> Result<commands::Request, ApiError> {
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

fn advance(request: AdvanceOrderRequest) -> Result<commands::Request, ApiError> {
    let AdvanceOrderRequest { order_id, request_id, expected_version, to_status, reason, actor } = request;
    let mut violations = Violations::default();
    violations.text("to_status", &to_status, 0, 63);
    let repeatable = !to_status.is_empty() || !request_id.is_empty() || expected_version != 0;
    violations.require(repeatable, "request_id", "is required where neither to_status nor expected_version is given");
    let to = (!to_status.is_empty()).then_some(to_status);
    Common { order_id, request_id, expected_version, reason, actor }.check(Command::Advance { to }, violations)
}

fn cancel(request: CancelOrderRequest) -> Result<commands::Request, ApiError> {
    let CancelOrderRequest { order_id, request_id, expected_version, reason, actor } = request;
    Common { order_id, request_id, expected_version, reason, actor }.check(Command::Cancel, Violations::default())
}

fn reject(request: RejectOrderRequest) -> Result<commands::Request, ApiError> {
    let RejectOrderRequest { order_id, request_id, expected_version, reason, actor } = request;
    Common { order_id, request_id, expected_version, reason, actor }.check(Command::Reject, Violations::default())
}

/// A part of an order's history that was asked for.
#[derive(Debug)]
struct HistoryPage {
    order_id: Uuid,
    after: i64,
    limit: i64,
}

fn history_page(request: ListTransitionsRequest) -> Result<HistoryPage, ApiError> {
    let mut violations = Violations::default();
    let order_id = violations.uuid("order_id", &request.order_id);
    let limit = page::size(&mut violations, request.page_size, 100, 500);
    violations.check()?;
    let after = match page::position(&order_id.to_string(), &request.page_token)? {
        Some(position) => i64::from_be_bytes(position.try_into().map_err(|_| page::bad_token())?),
        None => 0,
    };
    Ok(HistoryPage { order_id, after, limit })
}

/// The name that the page before ended with, and how many are asked for.
fn workflows_page(request: &ListWorkflowsRequest) -> Result<(Vec<u8>, usize), ApiError> {
    let mut violations = Violations::default();
    let limit = page::size(&mut violations, request.page_size, 100, 100) as usize;
    violations.check()?;
    Ok((page::position(&String::new(), &request.page_token)?.unwrap_or_default(), limit))
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
        let Outcome { transition, replayed } = self.carry_out(cancel(request.into_inner())?).await?;
        Ok(Response::new(CancelOrderResponse { transition: Some(transition), replayed }))
    }

    async fn reject_order(
        &self,
        request: Request<RejectOrderRequest>,
    ) -> Result<Response<RejectOrderResponse>, Status> {
        let Outcome { transition, replayed } = self.carry_out(reject(request.into_inner())?).await?;
        Ok(Response::new(RejectOrderResponse { transition: Some(transition), replayed }))
    }

    async fn list_transitions(
        &self,
        request: Request<ListTransitionsRequest>,
    ) -> Result<Response<ListTransitionsResponse>, Status> {
        let HistoryPage { order_id, after, limit } = history_page(request.into_inner())?;
        let mut transitions = self.store.history(order_id, after, limit + 1).await.map_err(ApiError::from)?;
        if transitions.is_empty() && after == 0 {
            return Err(ApiError::order_not_found(order_id).into());
        }
        let more = transitions.len() as i64 > limit;
        transitions.truncate(limit as usize);
        let last = transitions.last().map(|transition| transition.version).filter(|_| more);
        let token = |version: i64| page::token(&order_id.to_string(), &version.to_be_bytes());
        let next_page_token = last.map(token).unwrap_or_default();
        Ok(Response::new(ListTransitionsResponse { transitions, next_page_token }))
    }

    async fn list_workflows(
        &self,
        request: Request<ListWorkflowsRequest>,
    ) -> Result<Response<ListWorkflowsResponse>, Status> {
        let (after, limit) = workflows_page(request.get_ref())?;
        let rows = self.store.workflows().await.map_err(ApiError::from)?;
        let mut rest = rows.into_iter().filter(|row| row.current && row.name.as_bytes() > after.as_slice()).peekable();
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let last = page.last().map(|row| row.name.clone()).filter(|_| rest.peek().is_some());
        let next_page_token = last.map(|name| page::token(&String::new(), name.as_bytes())).unwrap_or_default();
        let workflows: Result<Vec<_>, _> = page.into_iter().map(|row| row.into_workflow()).collect();
        let workflows = workflows.map_err(|error| ApiError::from(comanda_kit::postgres::StoreError::from(error)))?;
        Ok(Response::new(ListWorkflowsResponse { workflows, next_page_token }))
    }
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::{damaged, wrong_fields};
    use proptest::{collection::vec, prelude::*};
    use prost::Message;

    use super::*;

    fn text(most: usize) -> impl Strategy<Value = String> {
        prop_oneof![
            9 => "[a-zñ]{0,9}",
            1 => any::<String>(),
            1 => (most - 1..=most + 1).prop_map(|count| "ñ".repeat(count)),
        ]
    }

    fn id() -> impl Strategy<Value = String> {
        prop_oneof![9 => any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string()), 1 => any::<String>(), 1 => Just(String::new())]
    }

    fn request() -> impl Strategy<Value = AdvanceOrderRequest> {
        let version = prop_oneof![9 => 0..5_i64, 1 => any::<i64>()];
        (id(), id(), version, text(63), text(500), text(100)).prop_map(
            |(order_id, request_id, expected_version, to_status, reason, actor)| AdvanceOrderRequest {
                order_id,
                request_id,
                expected_version,
                to_status,
                reason,
                actor,
            },
        )
    }

    /// What a command must be, to be stored and sent to watchers; or the fields that are wrong.
    fn check(result: Result<commands::Request, ApiError>) {
        match result {
            Ok(request) => {
                let commands::Request { command, expected_version, actor, reason, .. } = request;
                let to = if let Command::Advance { to: Some(to) } = command { to } else { "-".into() };
                assert!([&actor, &reason, &to].iter().all(|text| !text.contains(char::is_control)));
                assert!(!actor.is_empty() && !to.is_empty() && to.chars().count() <= 63);
                assert!(actor.chars().count() <= 100 && reason.chars().count() <= 500);
                assert!(expected_version.is_none_or(|version| version > 0));
            }
            Err(error) => drop(wrong_fields(error)),
        }
    }

    /// The bytes as each request of the service that they may be.
    fn check_bytes(bytes: &[u8]) {
        AdvanceOrderRequest::decode(bytes).into_iter().for_each(|request| check(advance(request)));
        CancelOrderRequest::decode(bytes).into_iter().for_each(|request| check(cancel(request)));
        RejectOrderRequest::decode(bytes).into_iter().for_each(|request| check(reject(request)));
        ListTransitionsRequest::decode(bytes).into_iter().for_each(check_history);
        ListWorkflowsRequest::decode(bytes).into_iter().for_each(|request| check_workflows(&request));
    }

    fn check_history(request: ListTransitionsRequest) {
        match history_page(request) {
            Ok(page) => assert!((1..=500).contains(&page.limit)),
            Err(error) => drop(wrong_fields(error)),
        }
    }

    fn check_workflows(request: &ListWorkflowsRequest) {
        match workflows_page(request) {
            Ok((_, limit)) => assert!((1..=100).contains(&limit)),
            Err(error) => drop(wrong_fields(error)),
        }
    }

    proptest! {
        #[test]
        fn a_command_can_be_stored_or_is_refused_by_field(request in request(), changes in vec(any::<(u16, u8)>(), 1..5)) {
            let bytes = request.encode_to_vec();
            check_bytes(&bytes);
            check_bytes(&damaged(&bytes, &changes));
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes in vec(any::<u8>(), 0..100)) {
            check_bytes(&bytes);
        }

        #[test]
        fn an_advance_that_could_be_repeated_by_mistake_is_refused(order_id in any::<u128>()) {
            let order_id = Uuid::from_u128(order_id).to_string();
            let error = advance(AdvanceOrderRequest { order_id, ..Default::default() }).expect_err("refused");
            prop_assert_eq!(wrong_fields(error), ["request_id"]);
        }

        #[test]
        fn a_page_is_one_of_the_history_or_is_refused_by_field(
            order_id in any::<u128>(), page_size in -1..=502, position in vec(any::<u8>(), 6..10)
        ) {
            let order_id = Uuid::from_u128(order_id).to_string();
            let page_token = page::token(&order_id, &position);
            check_history(ListTransitionsRequest { order_id, page_size, page_token: page_token.clone() });
            check_workflows(&ListWorkflowsRequest { page_size, page_token });
            check_workflows(&ListWorkflowsRequest { page_size, page_token: page::token(&String::new(), &position) });
        }
    }
}
