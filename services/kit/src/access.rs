//! Who calls, and what of the data that caller may reach.
//!
//! In: every call, before its service sees it. Out: the same call with a [`Scope`] among its extensions, or a refusal. An rpc without a
//! row in [`comanda_proto::access::TABLE`] is denied. Every read and write of a store takes the scope, so forgetting it does not compile.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use comanda_proto::access::{Role, rule_of};
use comanda_proto::{errors::reason, v1::Order};
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{Extensions, HeaderMap, Request, Response, header},
};
use tower::{Layer, Service};
use uuid::Uuid;

use crate::{
    errors::ApiError,
    tracking::{self, Claims, Keys},
};

/// The tenant of an installation that has only one.
pub const DEFAULT_TENANT: &str = "default";

/// Who calls, and for which tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    tenant: Arc<str>,
    subject: Arc<str>,
    role: Role,
    /// The only order that it may reach.
    order: Option<Uuid>,
}

impl Scope {
    /// A caller of a tenant. `subject` names it in the history of orders.
    pub fn new(tenant: &str, subject: &str, role: Role) -> Self {
        Self { tenant: tenant.into(), subject: subject.into(), role, order: None }
    }

    /// The caller of a server without access settings: the owner of the tenant [`DEFAULT_TENANT`].
    pub fn built_in() -> Self {
        Self::new(DEFAULT_TENANT, "owner", Role::Owner)
    }

    /// Whoever holds the tracking token of an order.
    pub fn tracker(claims: &Claims) -> Self {
        Self { order: Some(claims.order_id), ..Self::new(&claims.tenant, "tracking", Role::Tracker) }
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

    /// Whether the caller may reach this order of its tenant. Where not, the answer is that of an order that does not exist.
    pub fn reaches(&self, order_id: Uuid) -> bool {
        self.order.is_none_or(|only| only == order_id)
    }

    /// What the caller may see of an order: a tracker nothing of who ordered, and no labels, which are the business's own.
    pub fn shown(&self, mut order: Order) -> Order {
        if self.role == Role::Tracker {
            (order.customer, order.labels) = (None, Default::default());
        }
        order
    }
}

/// Gives every call its scope, or denies it. There is no login yet: every caller is the same, but for those who show a tracking token.
#[derive(Clone, Debug)]
pub struct Access {
    caller: Scope,
    tracking: Option<Arc<Keys>>,
}

impl Access {
    /// Everyone who calls is `caller`.
    pub fn everyone_is(caller: Scope) -> Self {
        Self { caller, tracking: None }
    }

    /// Takes the tracking tokens of these keys as well.
    #[must_use]
    pub fn with_tracking(self, tracking: Option<Arc<Keys>>) -> Self {
        Self { tracking, ..self }
    }

    fn scope_of(&self, path: &str, headers: &HeaderMap) -> Result<Scope, ApiError> {
        let caller = match tracking_token(headers) {
            Some(token) => self.tracker(token)?,
            None => self.caller.clone(),
        };
        match rule_of(path) {
            Some(rule) if rule.admits(caller.role) => Ok(caller),
            Some(_) => Err(ApiError::new(
                Code::PermissionDenied,
                reason::PERMISSION_DENIED,
                "this caller may not call this rpc",
            )),
            // As gRPC has it: clients find out by this code what a server does not have.
            None => Err(ApiError::new(Code::Unimplemented, reason::UNKNOWN_RPC, "this server has no such rpc")),
        }
    }

    fn tracker(&self, token: &str) -> Result<Scope, ApiError> {
        let refused = |message: String| ApiError::new(Code::Unauthenticated, reason::UNAUTHENTICATED, message);
        let keys = self.tracking.as_ref();
        let keys = keys.ok_or_else(|| refused("this server has no keys for tracking tokens".into()))?;
        let claims = keys.verify(token, SystemTime::now()).map_err(|error| refused(error.to_string()))?;
        Ok(Scope::tracker(&claims))
    }
}

/// `Authorization: Bearer trk_..`. A server without login looks at no other credentials.
fn tracking_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.starts_with(tracking::PREFIX)).then_some(token)
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
        match self.access.scope_of(request.uri().path(), request.headers()) {
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
    use std::time::Duration;

    use super::*;

    fn code(access: &Access, path: &str) -> Option<Code> {
        access.scope_of(path, &HeaderMap::new()).err().map(|error| Status::from(error).code())
    }

    #[test]
    fn a_call_gets_the_scope_of_its_caller_or_is_denied() {
        let owner = Access::default();
        assert_eq!(
            owner.scope_of("/comanda.v1.OrderService/CreateOrder", &HeaderMap::new()).ok(),
            Some(Scope::built_in())
        );
        assert_eq!(code(&owner, "/comanda.v1.OrderService/DropEverything"), Some(Code::Unimplemented));
        let courier = Access::everyone_is(Scope::new("acme", "courier-7", Role::Courier));
        assert_eq!(code(&courier, "/comanda.v1.OrderService/CreateOrder"), Some(Code::PermissionDenied));
        assert_eq!(code(&courier, "/grpc.health.v1.Health/Check"), None);
    }

    #[test]
    fn a_tracking_token_is_taken_for_what_it_is_and_nothing_more() {
        let keys =
            Keys::of_pem(tracking::new_key().expect("a key").as_bytes(), Duration::from_secs(60)).expect("valid");
        let order_id = Uuid::now_v7();
        let token = keys.token("acme", order_id).expect("signed");
        let access = Access::default().with_tracking(Some(Arc::new(keys)));
        let with = |access: &Access, method: &str, credentials: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, credentials.parse().expect("a value"))]);
            access.scope_of(&format!("/comanda.v1.{method}"), &headers).map_err(|error| Status::from(error).code())
        };
        let tracker = Scope::tracker(&Claims { tenant: "acme".into(), order_id });
        let bearer = format!("Bearer {token}");
        assert_eq!(with(&access, "OrderService/GetOrder", &bearer), Ok(tracker.clone()));
        assert_eq!(with(&access, "WatchService/WatchOrder", &format!("bearer {token}")), Ok(tracker.clone()));
        assert_eq!(with(&access, "LifecycleService/CancelOrder", &bearer), Err(Code::PermissionDenied));
        assert_eq!(with(&access, "OrderService/GetOrder", &format!("{bearer}x")), Err(Code::Unauthenticated));
        assert_eq!(with(&Access::default(), "OrderService/GetOrder", &bearer), Err(Code::Unauthenticated));
        assert!(tracker.reaches(order_id) && !tracker.reaches(Uuid::now_v7()));
        assert!(Scope::built_in().reaches(order_id));
    }

    #[test]
    fn a_tracker_is_shown_nothing_of_who_ordered() {
        let order = Order {
            number: 7,
            customer: Some(Default::default()),
            labels: [("till".to_owned(), "2".to_owned())].into(),
            ..Default::default()
        };
        assert_eq!(Scope::built_in().shown(order.clone()), order);
        let claims = Claims { tenant: "acme".into(), order_id: Uuid::nil() };
        assert_eq!(Scope::tracker(&claims).shown(order), Order { number: 7, ..Default::default() });
    }
}
