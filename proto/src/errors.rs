//! The reasons that errors carry in `google.rpc.ErrorInfo` (<https://google.aip.dev/193>): clients may match on them.

/// `ErrorInfo.domain` of every error of Comanda.
pub const DOMAIN: &str = "comanda.dev";

/// The reasons. Each is documented at the call that gives it.
#[allow(missing_docs)]
pub mod reason {
    pub const INVALID_FIELDS: &str = "INVALID_FIELDS";
    pub const IDEMPOTENCY_MISMATCH: &str = "IDEMPOTENCY_MISMATCH";
    pub const ORDER_NOT_FOUND: &str = "ORDER_NOT_FOUND";
    pub const MAIL_NOT_FOUND: &str = "MAIL_NOT_FOUND";
    pub const VERSION_MISMATCH: &str = "VERSION_MISMATCH";
    pub const VERSION_AHEAD: &str = "VERSION_AHEAD";
    pub const TRANSITION_NOT_ALLOWED: &str = "TRANSITION_NOT_ALLOWED";
    pub const ORDER_ENDED: &str = "ORDER_ENDED";
    pub const CONTENTION: &str = "CONTENTION";
    pub const MAIL_PENDING: &str = "MAIL_PENDING";
    pub const MAIL_NOT_DUE: &str = "MAIL_NOT_DUE";
    pub const SNAPSHOT_TOO_LARGE: &str = "SNAPSHOT_TOO_LARGE";
    pub const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";
    pub const FILTER_MISMATCH: &str = "FILTER_MISMATCH";
    pub const SLOW_READER: &str = "SLOW_READER";
    pub const STREAM_AGE: &str = "STREAM_AGE";
    pub const SHUTTING_DOWN: &str = "SHUTTING_DOWN";
    pub const OVERLOADED: &str = "OVERLOADED";
    pub const DEPENDENCY_UNAVAILABLE: &str = "DEPENDENCY_UNAVAILABLE";
    pub const INTERNAL: &str = "INTERNAL";
    pub const PERMISSION_DENIED: &str = "PERMISSION_DENIED";
    pub const UNAUTHENTICATED: &str = "UNAUTHENTICATED";
    pub const TENANT_LIMIT: &str = "TENANT_LIMIT";
    pub const UNKNOWN_RPC: &str = "UNKNOWN_RPC";
    pub const WORKFLOW_NOT_FOUND: &str = "WORKFLOW_NOT_FOUND";
    pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
    pub const SERVER_TIMEOUT: &str = "SERVER_TIMEOUT";
    pub const UNSUPPORTED_ENCODING: &str = "UNSUPPORTED_ENCODING";
    pub const ANSWERS_UNREAD: &str = "ANSWERS_UNREAD";
    pub const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";
    pub const MALFORMED_MESSAGE: &str = "MALFORMED_MESSAGE";
    pub const COURIER_NOT_FOUND: &str = "COURIER_NOT_FOUND";
    pub const ASSIGNMENT_NOT_FOUND: &str = "ASSIGNMENT_NOT_FOUND";
    pub const ASSIGNMENT_ENDED: &str = "ASSIGNMENT_ENDED";
    pub const OFFER_EXPIRED: &str = "OFFER_EXPIRED";
    pub const NOT_WAITING: &str = "NOT_WAITING";
    pub const ALREADY_ALLOTTED: &str = "ALREADY_ALLOTTED";
    pub const COURIER_FULL: &str = "COURIER_FULL";
    pub const ALREADY_PICKED_UP: &str = "ALREADY_PICKED_UP";
    pub const NOT_CONFIRMED: &str = "NOT_CONFIRMED";
    pub const NOT_ARRIVED: &str = "NOT_ARRIVED";
    pub const NOT_PICKED_UP: &str = "NOT_PICKED_UP";
    pub const REPORT_TOO_LARGE: &str = "REPORT_TOO_LARGE";
}
