//! Why a command is refused.

use comanda_kit::errors::ApiError;
use comanda_proto::errors::reason;
use tonic::Code;

use super::Request;
use crate::{
    machine::{self, Decision},
    store::{Answered, Asked, State},
};

/// A request id that was answered before stands for the same command.
pub fn check_same_command(request: &Request, answered: &Answered) -> Result<(), ApiError> {
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

/// The order has the version that the caller expects, if any.
pub fn check_version(request: &Request, state: &State) -> Result<(), ApiError> {
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

/// The workflow allows no such step.
pub fn not_allowed(request: &Request, state: &State, refused: Decision) -> ApiError {
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

/// The command lost every race.
pub fn contention(request: &Request) -> ApiError {
    let message = "the order moved on each time this call decided; look at it and decide again";
    ApiError::new(Code::Aborted, reason::CONTENTION, message).with("order_id", request.order_id)
}
