//! Who calls, and what of the data that caller may reach.
//!
//! In: every call, before its service sees it. Out: the same call with a [`Scope`] among its extensions, or a refusal. An rpc without a
//! row in [`comanda_proto::access::TABLE`] is denied. Every read and write of a store takes the scope, so forgetting it does not compile.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use comanda_proto::access::{Role, rule_of};
use comanda_proto::errors::reason;
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{Extensions, Request, Response},
};
use tower::{Layer, Service};

use crate::errors::ApiError;

/// The tenant of an installation that has only one.
pub const DEFAULT_TENANT: &str = "default";

/// Who calls, and for which tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    tenant: Arc<str>,
    subject: Arc<str>,
    role: Role,
}

impl Scope {
    /// A caller of a tenant. `subject` names it in the history of orders.
    pub fn new(tenant: &str, subject: &str, role: Role) -> Self {
        Self { tenant: tenant.into(), subject: subject.into(), role }
    }

    /// The caller of a server without access settings: the owner of the tenant [`DEFAULT_TENANT`].
    pub fn built_in() -> Self {
        Self::new(DEFAULT_TENANT, "owner", Role::Owner)
    }

    /// What the server found out about the caller of a call.
    pub fn of(extensions: &Extensions) -> Result<Self, ApiError> {
        extensions.get().cloned().ok_or_else(ApiError::internal)
    }

    /// Whose data the call may reach. Nothing of another tenant is readable, writable or even visible to it.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The caller's name, which the history keeps as the actor of its commands.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the caller is to its tenant.
    pub fn role(&self) -> Role {
        self.role
    }
}

/// Gives every call its scope, or denies it. There is no login yet: every caller is the same.
#[derive(Clone, Debug)]
pub struct Access {
    caller: Scope,
}

impl Access {
    /// Everyone who calls is `caller`.
    pub fn everyone_is(caller: Scope) -> Self {
        Self { caller }
    }

    fn scope_of(&self, path: &str) -> Result<Scope, ApiError> {
        match rule_of(path) {
            Some(rule) if rule.admits(self.caller.role) => Ok(self.caller.clone()),
            Some(_) => Err(ApiError::new(
                Code::PermissionDenied,
                reason::PERMISSION_DENIED,
                "this caller may not call this rpc",
            )),
            // As gRPC has it: clients find out by this code what a server does not have.
            None => Err(ApiError::new(Code::Unimplemented, reason::UNKNOWN_RPC, "this server has no such rpc")),
        }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self::everyone_is(Scope::built_in())
    }
}

impl<S> Layer<S> for Access {
    type Service = Scoped<S>;

    fn layer(&self, inner: S) -> Scoped<S> {
        Scoped { inner, access: self.clone() }
    }
}

/// A service whose calls have a scope.
#[derive(Clone, Debug)]
pub struct Scoped<S> {
    inner: S,
    access: Access,
}

impl<S> Service<Request<Body>> for Scoped<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match self.access.scope_of(request.uri().path()) {
            Ok(scope) => {
                request.extensions_mut().insert(scope);
                Box::pin(self.inner.call(request))
            }
            Err(error) => Box::pin(async { Ok(Status::from(error).into_http()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(access: &Access, path: &str) -> Option<Code> {
        access.scope_of(path).err().map(|error| Status::from(error).code())
    }

    #[test]
    fn a_call_gets_the_scope_of_its_caller_or_is_denied() {
        let owner = Access::default();
        assert_eq!(owner.scope_of("/comanda.v1.OrderService/CreateOrder").ok(), Some(Scope::built_in()));
        assert_eq!(code(&owner, "/comanda.v1.OrderService/DropEverything"), Some(Code::Unimplemented));
        let courier = Access::everyone_is(Scope::new("acme", "courier-7", Role::Courier));
        assert_eq!(code(&courier, "/comanda.v1.OrderService/CreateOrder"), Some(Code::PermissionDenied));
        assert_eq!(code(&courier, "/grpc.health.v1.Health/Check"), None);
    }
}
