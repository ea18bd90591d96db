//! Who a caller was found to be, and for how long that holds.

use std::time::SystemTime;

use super::scope::Scope;

/// A caller whose credentials are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What it may reach.
    pub scope: Scope,
    /// When its credentials expire; `None` where they never do.
    pub expires: Option<SystemTime>,
    /// Whether its credentials may be taken back before: they are looked at again while a stream is open.
    pub is_revocable: bool,
}

impl Principal {
    /// A caller that needs no credentials.
    pub fn built_in(scope: Scope) -> Self {
        Self { scope, expires: None, is_revocable: false }
    }
}
