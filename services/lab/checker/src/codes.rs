//! What a gRPC code tells a client about its call.

/// What a client may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Applied.
    Ok,
    /// Not applied.
    Refused,
    /// Perhaps applied.
    Unknown,
    /// A code that no service may answer. Perhaps applied.
    Forbidden,
}

/// The meaning of a code. `INTERNAL` counts as unknown here; where it may appear at all is judged by [`crate::invariants::hygiene`].
pub fn meaning(code: &str) -> Meaning {
    match code {
        "OK" => Meaning::Ok,
        "INVALID_ARGUMENT"
        | "NOT_FOUND"
        | "FAILED_PRECONDITION"
        | "ABORTED"
        | "OUT_OF_RANGE"
        | "RESOURCE_EXHAUSTED" => Meaning::Refused,
        "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "CANCELLED" | "INTERNAL" => Meaning::Unknown,
        _ => Meaning::Forbidden,
    }
}
