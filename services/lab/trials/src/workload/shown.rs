//! What the API shows, in the words of a history. Pure.

use std::error::Error;

use comanda_checker::history;
use comanda_proto::v1::{AssignmentOutcome, AssignmentState, CourierStatus, Order, OrderTransition, Phase, Trigger};
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::digest;

/// An order.
pub fn order(order: &Order) -> history::Order {
    history::Order {
        order_id: order.order_id.clone(),
        number: order.number,
        customer_id: order.customer.as_ref().map(|customer| customer.customer_id.clone()).unwrap_or_default(),
        digest: digest::of_order(order),
        total: order.total.as_ref().map(digest::money).unwrap_or_default(),
        item_count: i32::try_from(order.items.len()).unwrap_or(i32::MAX),
        workflow: order.workflow.clone(),
        revision: order.workflow_revision,
        status: order.status.clone(),
        phase: phase(order.phase()),
        version: order.version,
        create_time_us: order.create_time.as_ref().map(microseconds).unwrap_or_default(),
        status_time_us: order.status_time.as_ref().map(microseconds).unwrap_or_default(),
        next_time_us: order.next_transition_time.as_ref().map(microseconds),
    }
}

/// A transition.
pub fn transition(transition: &OrderTransition) -> history::Transition {
    history::Transition {
        order_id: transition.order_id.clone(),
        version: transition.version,
        from: transition.from_status.clone(),
        to: transition.to_status.clone(),
        phase: phase(transition.phase()),
        time_us: transition.transition_time.as_ref().map(microseconds).unwrap_or_default(),
        trigger: trigger(transition.trigger()),
        next_time_us: transition.next_transition_time.as_ref().map(microseconds),
        from_time_us: transition.from_time.as_ref().map(microseconds),
        total: transition.total.as_ref().map(digest::money).unwrap_or_default(),
        item_count: transition.item_count,
    }
}

/// A phase in lower case, without its prefix.
pub fn phase(phase: Phase) -> String {
    phase.as_str_name().trim_start_matches("PHASE_").to_lowercase()
}

/// A trigger in lower case, without its prefix.
pub fn trigger(trigger: Trigger) -> String {
    trigger.as_str_name().trim_start_matches("TRIGGER_").to_lowercase()
}

/// The state of an assignment in lower case, without its prefix.
pub fn assignment_state(state: AssignmentState) -> String {
    state.as_str_name().trim_start_matches("ASSIGNMENT_STATE_").to_lowercase()
}

/// How an assignment ended, in lower case, without its prefix.
pub fn assignment_outcome(outcome: AssignmentOutcome) -> String {
    outcome.as_str_name().trim_start_matches("ASSIGNMENT_OUTCOME_").to_lowercase()
}

/// The status of a courier in lower case, without its prefix.
pub fn courier_status(status: CourierStatus) -> String {
    status.as_str_name().trim_start_matches("COURIER_STATUS_").to_lowercase()
}

/// Microseconds since 1970.
pub fn microseconds(time: &Timestamp) -> i64 {
    time.seconds * 1_000_000 + i64::from(time.nanos) / 1000
}

/// The code that a call ended with. What this client's own connection met is UNAVAILABLE, whatever the library calls it.
pub fn code(status: &Status) -> Code {
    let is_ours = status.source().is_some() || status.message().starts_with("Service was not ready");
    match status.code() {
        code @ (Code::Cancelled | Code::DeadlineExceeded) => code,
        _ if is_ours => Code::Unavailable,
        code => code,
    }
}

/// `ErrorInfo.reason`, where there is one.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// gRPC's name of a code.
pub fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code of a name.
pub fn named(name: &str) -> Code {
    (0..=16).map(Code::from_i32).find(|code| self::name(*code) == name).unwrap_or(Code::Unknown)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_broken_connection_is_unavailable_and_an_answer_of_the_server_is_what_it_is() {
        let mut broken = Status::unknown("transport error");
        broken.set_source(Arc::new(std::io::Error::other("reset")));
        assert_eq!(code(&broken), Code::Unavailable);
        assert_eq!(code(&Status::unknown("Service was not ready: transport error")), Code::Unavailable);
        assert_eq!(code(&Status::unknown("a fault")), Code::Unknown);
        assert_eq!(code(&Status::internal("a fault")), Code::Internal);
    }

    #[test]
    fn words_are_those_of_the_history() {
        assert_eq!(phase(Phase::Succeeded), "succeeded");
        assert_eq!(trigger(Trigger::Timer), "timer");
        assert_eq!(microseconds(&Timestamp { seconds: 2, nanos: 3_999 }), 2_000_003);
        let shown =
            transition(&OrderTransition { to_status: "received".into(), phase: 1, trigger: 1, ..Default::default() });
        assert_eq!((&*shown.phase, &*shown.trigger, &*shown.to), ("active", "create", "received"));
    }
}
