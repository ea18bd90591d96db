//! Requests of the service, checked field by field.

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    page,
};
use comanda_proto::v1::{
    AdvanceOrderRequest, CancelOrderRequest, GetWorkflowRequest, ListTransitionsRequest, ListWorkflowsRequest,
    RejectOrderRequest,
};
use prost::Message;
use uuid::Uuid;

use crate::{commands, machine::Command};

/// The longest name of a status or a workflow, in characters.
const MOST_NAME: usize = 63;

/// What the three commands have in common, as it came.
struct Common {
    order_id: String,
    request_id: String,
    expected_version: i64,
    reason: String,
}

impl Common {
    fn check(self, scope: Scope, command: Command, mut violations: Violations) -> Result<commands::Request, ApiError> {
        let order_id = violations.uuid("order_id", &self.order_id);
        let request_id = violations.request_id("request_id", &self.request_id);
        violations.require(self.expected_version >= 0, "expected_version", "must be 0 or more");
        violations.text("reason", &self.reason, 0, 500);
        violations.check()?;
        let expected_version = (self.expected_version > 0).then_some(self.expected_version);
        Ok(commands::Request { scope, order_id, command, request_id, expected_version, reason: self.reason })
    }
}

pub fn advance(scope: Scope, request: AdvanceOrderRequest) -> Result<commands::Request, ApiError> {
    let AdvanceOrderRequest { order_id, request_id, expected_version, to_status, reason } = request;
    let mut violations = Violations::default();
    violations.text("to_status", &to_status, 0, MOST_NAME);
    let repeatable = !to_status.is_empty() || !request_id.is_empty() || expected_version != 0;
    violations.require(repeatable, "request_id", "is required where neither to_status nor expected_version is given");
    let to = (!to_status.is_empty()).then_some(to_status);
    Common { order_id, request_id, expected_version, reason }.check(scope, Command::Advance { to }, violations)
}

pub fn cancel(scope: Scope, request: CancelOrderRequest) -> Result<commands::Request, ApiError> {
    let CancelOrderRequest { order_id, request_id, expected_version, reason } = request;
    Common { order_id, request_id, expected_version, reason }.check(scope, Command::Cancel, Violations::default())
}

pub fn reject(scope: Scope, request: RejectOrderRequest) -> Result<commands::Request, ApiError> {
    let RejectOrderRequest { order_id, request_id, expected_version, reason } = request;
    Common { order_id, request_id, expected_version, reason }.check(scope, Command::Reject, Violations::default())
}

/// The part of an order's history that was asked for.
#[derive(Debug)]
pub struct HistoryPage {
    pub order_id: Uuid,
    pub after: i64,
    pub limit: i64,
}

/// Where a page of history ended.
#[derive(Clone, PartialEq, Message)]
pub struct HistoryPosition {
    #[prost(int64, tag = "1")]
    pub version: i64,
}

pub fn history_page(scope: &Scope, request: &ListTransitionsRequest) -> Result<HistoryPage, ApiError> {
    let mut violations = Violations::default();
    let order_id = violations.uuid("order_id", &request.order_id);
    let limit = page::size(&mut violations, request.page_size, 100, 500);
    violations.check()?;
    let position: Option<HistoryPosition> = page::position(scope, &order_id.to_string(), &request.page_token)?;
    Ok(HistoryPage { order_id, after: position.map_or(0, |position| position.version), limit })
}

/// The workflows that were asked for: by name, after the last one of the page before.
#[derive(Debug)]
pub struct WorkflowsPage {
    pub after: String,
    pub limit: i64,
}

/// Where a page of workflows ended.
#[derive(Clone, PartialEq, Message)]
pub struct WorkflowsPosition {
    #[prost(string, tag = "1")]
    pub name: String,
}

pub fn workflows_page(scope: &Scope, request: &ListWorkflowsRequest) -> Result<WorkflowsPage, ApiError> {
    let mut violations = Violations::default();
    let limit = page::size(&mut violations, request.page_size, 100, 100);
    violations.check()?;
    let position: Option<WorkflowsPosition> = page::position(scope, &String::new(), &request.page_token)?;
    let after = position.map(|position| position.name).unwrap_or_default();
    // A token is not signed, and Postgres' texts hold no NUL.
    if after.contains(char::is_control) { Err(page::bad_token()) } else { Ok(WorkflowsPage { after, limit }) }
}

/// The workflow that was asked for; without a revision the current one.
#[derive(Debug)]
pub struct WhichWorkflow {
    pub name: String,
    pub revision: Option<i32>,
}

pub fn which_workflow(request: GetWorkflowRequest) -> Result<WhichWorkflow, ApiError> {
    let GetWorkflowRequest { name, revision } = request;
    let mut violations = Violations::default();
    violations.text("name", &name, 1, MOST_NAME);
    violations.require(revision >= 0, "revision", "must be 0 or more");
    violations.check()?;
    Ok(WhichWorkflow { name, revision: (revision > 0).then_some(revision) })
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::{damaged, wrong_fields};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn scope() -> Scope {
        Scope::built_in()
    }

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
        (id(), id(), version, text(63), text(500)).prop_map(
            |(order_id, request_id, expected_version, to_status, reason)| AdvanceOrderRequest {
                order_id,
                request_id,
                expected_version,
                to_status,
                reason,
            },
        )
    }

    /// A command can be stored and sent to watchers, or its wrong fields are named.
    fn check(result: Result<commands::Request, ApiError>) {
        match result {
            Ok(request) => {
                let commands::Request { command, request_id, expected_version, reason, .. } = request;
                let to = if let Command::Advance { to: Some(to) } = command { to } else { "-".into() };
                assert!([&reason, &to].iter().all(|text| !text.contains(char::is_control)));
                assert!(!to.is_empty() && to.chars().count() <= 63 && reason.chars().count() <= 500);
                assert!(expected_version.is_none_or(|version| version > 0));
                assert!(request_id.is_none_or(|id| !id.is_nil() && !id.is_max()));
            }
            Err(error) => drop(wrong_fields(error)),
        }
    }

    /// The bytes, decoded as each request of the service.
    fn check_bytes(bytes: &[u8]) {
        AdvanceOrderRequest::decode(bytes).into_iter().for_each(|request| check(advance(scope(), request)));
        CancelOrderRequest::decode(bytes).into_iter().for_each(|request| check(cancel(scope(), request)));
        RejectOrderRequest::decode(bytes).into_iter().for_each(|request| check(reject(scope(), request)));
        ListTransitionsRequest::decode(bytes).into_iter().for_each(|request| check_history(&request));
        ListWorkflowsRequest::decode(bytes).into_iter().for_each(|request| check_workflows(&request));
        GetWorkflowRequest::decode(bytes).into_iter().for_each(check_workflow);
    }

    fn check_history(request: &ListTransitionsRequest) {
        match history_page(&scope(), request) {
            Ok(page) => assert!((1..=500).contains(&page.limit)),
            Err(error) => drop(wrong_fields(error)),
        }
    }

    fn check_workflows(request: &ListWorkflowsRequest) {
        match workflows_page(&scope(), request) {
            Ok(page) => assert!((1..=100).contains(&page.limit)),
            Err(error) => drop(wrong_fields(error)),
        }
    }

    fn check_workflow(request: GetWorkflowRequest) {
        match which_workflow(request) {
            Ok(which) => assert!(!which.name.is_empty() && which.revision.is_none_or(|revision| revision > 0)),
            Err(error) => drop(wrong_fields(error)),
        }
    }

    #[test]
    fn every_command_refuses_a_request_id_of_zeros_or_ones() {
        let order_id = Uuid::new_v4().to_string();
        for request_id in [Uuid::nil(), Uuid::max()].map(|id| id.simple().to_string()) {
            let (order_id, request_id) = (order_id.clone(), request_id.to_uppercase());
            let advanced = AdvanceOrderRequest {
                order_id: order_id.clone(),
                request_id: request_id.clone(),
                ..Default::default()
            };
            let cancelled =
                CancelOrderRequest { order_id: order_id.clone(), request_id: request_id.clone(), ..Default::default() };
            let rejected = RejectOrderRequest { order_id, request_id, ..Default::default() };
            for refused in [advance(scope(), advanced), cancel(scope(), cancelled), reject(scope(), rejected)] {
                assert_eq!(wrong_fields(refused.expect_err("refused")), ["request_id"]);
            }
        }
    }

    #[test]
    fn a_page_size_above_the_maximum_is_the_maximum() {
        let order_id = Uuid::new_v4().to_string();
        let request = ListTransitionsRequest { order_id, page_size: 501, page_token: String::new() };
        assert_eq!(history_page(&scope(), &request).expect("coerced").limit, 500);
        let request = ListWorkflowsRequest { page_size: i32::MAX, page_token: String::new() };
        assert_eq!(workflows_page(&scope(), &request).expect("coerced").limit, 100);
    }

    proptest! {
        #[test]
        fn a_command_can_be_stored_or_is_refused_by_field(request in request(), changes in vec(any::<(u16, u8)>(), 1..5)) {
            let bytes = request.encode_to_vec();
            check_bytes(&bytes);
            check_bytes(&damaged(&bytes, &changes));
        }

        #[test]
        fn any_bytes_are_a_valid_request_or_refused_by_field(bytes in vec(any::<u8>(), 0..100)) {
            check_bytes(&bytes);
        }

        #[test]
        fn an_advance_that_could_be_repeated_by_mistake_is_refused(order_id in any::<u128>()) {
            let order_id = Uuid::from_u128(order_id).to_string();
            let error = advance(scope(), AdvanceOrderRequest { order_id, ..Default::default() }).expect_err("refused");
            prop_assert_eq!(wrong_fields(error), ["request_id"]);
        }

        #[test]
        fn a_page_token_gives_its_position_or_is_refused_by_field(
            order_id in any::<u128>(), page_size in -1..=502, version in any::<i64>(), name in any::<String>()
        ) {
            let order_id = Uuid::from_u128(order_id).to_string();
            let page_token = page::token(&scope(), &order_id, &HistoryPosition { version });
            check_history(&ListTransitionsRequest { order_id, page_size, page_token: page_token.clone() });
            check_workflows(&ListWorkflowsRequest { page_size, page_token });
            let page_token = page::token(&scope(), &String::new(), &WorkflowsPosition { name });
            check_workflows(&ListWorkflowsRequest { page_size, page_token });
        }
    }
}
