//! Which courier a call may reach.

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
};
use comanda_proto::{access::Role, errors::reason};
use tonic::Code;

use crate::place::CourierKey;

/// The courier that a call names, of the caller's tenant. For a caller with the role courier another one does not exist.
pub fn courier(scope: &Scope, courier_id: &str) -> Result<CourierKey, ApiError> {
    let mut violations = Violations::default();
    violations.require(!courier_id.is_empty(), "courier_id", "is required");
    violations.check()?;
    if scope.role() == Role::Courier && scope.subject() != courier_id {
        return Err(courier_not_found(courier_id));
    }
    Ok(CourierKey::new(scope.tenant(), courier_id))
}

/// NOT_FOUND for a courier.
pub fn courier_not_found(courier_id: &str) -> ApiError {
    // What a caller wrote is cut: an error travels in headers.
    let courier_id: String = courier_id.chars().take(64).collect();
    let message = format!("there is no courier {courier_id}");
    ApiError::new(Code::NotFound, reason::COURIER_NOT_FOUND, message).with("courier_id", courier_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_courier_reaches_itself_alone() {
        let scope = Scope::new("acme", "c-7", Role::Courier);
        assert_eq!(courier(&scope, "c-7").ok(), Some(CourierKey::new("acme", "c-7")));
        assert!(courier(&scope, "c-8").is_err());
        let staff = Scope::new("acme", "c-7", Role::Staff);
        assert!(courier(&staff, "c-8").is_ok() && courier(&staff, "").is_err());
    }
}
