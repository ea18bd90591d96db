//! What to do after an error, where a command of ours helps.

use comanda_client::{Code, Error};
use comanda_proto::errors::reason::{
    ALREADY_ALLOTTED, ALREADY_PICKED_UP, ASSIGNMENT_ENDED, ASSIGNMENT_NOT_FOUND, COURIER_FULL, COURIER_NOT_FOUND,
    NOT_ARRIVED, NOT_CONFIRMED, NOT_PICKED_UP, NOT_WAITING, OFFER_EXPIRED,
};

/// A line for a person, where there is one.
pub fn advice(error: &Error) -> Option<&'static str> {
    if error.is_unreachable() {
        return Some(
            "`comanda dev` starts every role on this machine; --addr says where else they are\n  (or --ordering-addr, --state-machine-addr, \
             --notification-addr, --dispatch-addr and --analytics-addr)",
        );
    }
    if error.code == Code::Unimplemented {
        return Some("a server of an older version, or of another role; --addr and the like say where each role is");
    }
    error.reason.as_deref().and_then(of_reason)
}

fn of_reason(reason: &str) -> Option<&'static str> {
    match reason {
        COURIER_NOT_FOUND => {
            Some("`comanda courier list` shows who is registered, `comanda courier register` adds one")
        }
        ASSIGNMENT_NOT_FOUND => {
            Some("no courier has had this order yet; `comanda assignment assign` gives it to one by hand")
        }
        ASSIGNMENT_ENDED | OFFER_EXPIRED => Some("`comanda assignment list --order` shows who has the order now"),
        NOT_WAITING => {
            Some("`comanda order get` shows its status, `comanda workflow show` which statuses ask for a courier")
        }
        ALREADY_ALLOTTED => Some("first: `comanda assignment withdraw`"),
        COURIER_FULL => Some("`comanda courier list` shows how many jobs each has, and who is available"),
        ALREADY_PICKED_UP => Some("what was picked up can only be completed: `comanda assignment complete`"),
        NOT_CONFIRMED => Some("the order's status follows within a moment: repeat it then"),
        NOT_ARRIVED => Some("first: `comanda assignment arrived`"),
        NOT_PICKED_UP => Some("first: `comanda assignment picked-up`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::errors::DOMAIN;
    use tonic::Status;
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn a_step_too_early_names_the_step_before_it() {
        let details = ErrorDetails::with_error_info(NOT_ARRIVED, DOMAIN, []);
        let error = Error::from(Status::with_error_details(Code::FailedPrecondition, "too early", details));
        assert_eq!(advice(&error), Some("first: `comanda assignment arrived`"));
        assert_eq!(advice(&Error::from(Status::not_found("no such order"))), None);
    }
}
