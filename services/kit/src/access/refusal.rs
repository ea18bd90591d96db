//! Why a caller is turned away.

use comanda_proto::errors::reason;
use tonic::Code;

use super::scope::Scope;
use crate::errors::ApiError;

/// What is wrong with a call's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// There are none.
    Missing,
    /// They are of no kind that this server knows.
    Malformed,
    /// Nobody has given them out, or they were taken back. Which of these is told to nobody.
    Invalid,
    /// Their time is over.
    Expired,
    /// Their time has not come.
    NotYetValid,
    /// This server takes none.
    NotTaken,
    /// They are good, but not for this.
    Role,
    /// They are good, but not for naming somebody else as the actor.
    Actor,
}

impl Why {
    /// For metrics and the audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "no credentials",
            Self::Malformed => "malformed credentials",
            Self::Invalid => "invalid credentials",
            Self::Expired => "expired credentials",
            Self::NotYetValid => "credentials not yet valid",
            Self::NotTaken => "credentials not taken",
            Self::Role => "role",
            Self::Actor => "actor",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Missing => {
                "this server needs credentials: send the header \"authorization: Bearer\" with a key or token"
            }
            Self::Malformed | Self::Invalid => "these credentials are not valid",
            Self::Expired => "these credentials have expired",
            Self::NotYetValid => "these credentials are not valid yet",
            Self::NotTaken => "this server runs without --access required, so it can check no credentials; send none",
            Self::Role => "this caller may not call this rpc",
            Self::Actor => "only the role service may name an actor",
        }
    }
}

/// Why a call goes no further.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// Access is denied.
    Denied {
        /// For what.
        why: Why,
        /// To whom, as far as that is known.
        who: Option<Box<Scope>>,
    },
    /// Whether to deny it could not be found out.
    Failed(ApiError),
}

impl Refusal {
    /// Of a caller of whom nothing is known.
    pub fn of(why: Why) -> Self {
        Self::Denied { why, who: None }
    }

    /// Whether the credentials are no good, for whatever call.
    pub fn is_of_credentials(&self) -> bool {
        matches!(self, Self::Denied { why, .. } if !matches!(why, Why::Role | Why::Actor))
    }

    /// Of a caller that is known.
    pub fn to(who: Scope, why: Why) -> Self {
        Self::Denied { why, who: Some(Box::new(who)) }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(error) => error,
            Refusal::Denied { why: why @ (Why::Role | Why::Actor), .. } => {
                Self::new(Code::PermissionDenied, reason::PERMISSION_DENIED, why.message())
            }
            Refusal::Denied { why, .. } => Self::new(Code::Unauthenticated, reason::UNAUTHENTICATED, why.message()),
        }
    }
}
