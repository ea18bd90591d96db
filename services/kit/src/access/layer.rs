//! The way of a call through access control.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use comanda_proto::{
    access::{Reach, Role, Rule, rule_of},
    errors::reason,
};
use metrics::counter;
use tonic::{
    Code, Status,
    body::Body,
    codegen::http::{Extensions, HeaderMap, HeaderValue, Request, Response, header},
};
use tower::{Layer, Service};

use super::{
    actor,
    authenticator::Authenticator,
    denials::Denials,
    ending::{self, Ending},
    limits::Limits,
    principal::Principal,
    refusal::{Refusal, Why},
    scope::Scope,
    strangers::{Address, Strangers},
};
use crate::{errors::ApiError, rpcs, tls::Peer, tracking::Keys};

/// Names the person for whom another program acts. Only the role service may.
const ACTOR: &str = "comanda-actor";

/// What is known of the other end of a call's connection.
#[derive(Clone, Copy, Debug, Default)]
struct Origin<'a> {
    address: Option<Address>,
    /// Who its client certificate names.
    peer: Option<&'a Peer>,
}

impl<'a> Origin<'a> {
    fn of(extensions: &'a Extensions) -> Self {
        Self { address: extensions.get().copied(), peer: extensions.get() }
    }
}

/// Gives every call its scope, or denies it.
#[derive(Clone, Debug)]
pub struct Access {
    authenticator: Arc<Authenticator>,
    limits: Limits,
    strangers: Strangers,
    denials: Option<Arc<Denials>>,
}

impl Access {
    /// Lets in whom the authenticator knows.
    pub fn new(authenticator: Authenticator) -> Self {
        Self {
            authenticator: Arc::new(authenticator),
            limits: Limits::default(),
            strangers: Strangers::new(0),
            denials: None,
        }
    }

    /// Everyone who shows no credentials is `caller`.
    pub fn everyone_is(caller: Scope) -> Self {
        Self::new(Authenticator::open(caller))
    }

    /// Takes the tracking tokens of these keys as well.
    #[must_use]
    pub fn with_tracking(self, tracking: Option<Arc<Keys>>) -> Self {
        let authenticator = Arc::new(Authenticator::clone(&self.authenticator).with_tracking(tracking));
        Self { authenticator, ..self }
    }

    /// Holds each tenant to these limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Holds addresses that show no good credentials to this limit.
    #[must_use]
    pub fn with_strangers(self, strangers: Strangers) -> Self {
        Self { strangers, ..self }
    }

    /// Notes what is denied.
    #[must_use]
    pub fn with_denials(self, denials: Arc<Denials>) -> Self {
        Self { denials: Some(denials), ..self }
    }

    /// Who calls; `None` where that makes no difference.
    async fn admit(&self, path: &str, headers: &HeaderMap, from: Origin<'_>) -> Result<Option<Principal>, ApiError> {
        let rule = rule_of(path);
        if rule.is_some_and(|rule| rule.reach == Reach::Public) {
            return Ok(None);
        }
        let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.strangers.admit(from.address, shown)?;
        match self.judge(rule, headers, from.peer).await {
            Ok(principal) => {
                self.strangers.passed(shown);
                // As gRPC has it: clients find out by this code what a server does not have.
                let unknown = || ApiError::new(Code::Unimplemented, reason::UNKNOWN_RPC, "this server has no such rpc");
                rule.ok_or_else(unknown)?;
                self.limits.take_call(principal.scope.tenant())?;
                Ok(Some(principal))
            }
            Err(refusal) => {
                if refusal.is_of_credentials() {
                    self.strangers.failed(from.address);
                }
                Err(self.refused(rule, refusal))
            }
        }
    }

    async fn judge(&self, rule: Option<&Rule>, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Principal, Refusal> {
        let principal = self.authenticator.authenticate(headers, peer).await?;
        if rule.is_some_and(|rule| !rule.admits(principal.scope.role())) {
            return Err(Refusal::to(principal.scope, Why::Role));
        }
        match headers.get(ACTOR) {
            None => Ok(principal),
            Some(_) if principal.scope.role() != Role::Service => Err(Refusal::to(principal.scope, Why::Actor)),
            Some(actor) => {
                let actor = actor::checked(ACTOR, actor.to_str().unwrap_or_default()).map_err(Refusal::Failed)?;
                Ok(Principal { scope: principal.scope.acting_as(actor), ..principal })
            }
        }
    }

    fn refused(&self, rule: Option<&Rule>, refusal: Refusal) -> ApiError {
        if let Refusal::Denied { why, who } = &refusal {
            counter!("comanda_denied_calls_total", "reason" => why.name()).increment(1);
            let path = rule.map_or("an unknown rpc", |rule| rule.path);
            self.denials.iter().for_each(|denials| denials.note(path, *why, who.as_deref()));
        }
        refusal.into()
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
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let access = self.access.clone();
        // The one that is ready takes the call.
        let rest = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, rest);
        Box::pin(async move {
            let from = Origin::of(request.extensions());
            match access.admit(request.uri().path(), request.headers(), from).await {
                Ok(None) => pass(inner, request).await,
                Ok(Some(principal)) => access.serve(inner, request, principal).await,
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

impl Access {
    async fn serve<S>(
        &self,
        inner: S,
        mut request: Request<Body>,
        principal: Principal,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let (is_stream, is_upload) =
            (rpcs::ours().is_stream(request.uri().path()), rpcs::ours().is_upload(request.uri().path()));
        if !is_stream && !is_upload {
            request.extensions_mut().insert(principal.scope);
            return pass(inner, request).await;
        }
        let share = match self.limits.take_stream(principal.scope.tenant()) {
            Ok(share) => share,
            Err(error) => return Ok(Status::from(error).into_http()),
        };
        let ends = ending::ends(&self.authenticator, &principal, request.headers(), request.extensions().get());
        request.extensions_mut().insert(principal.scope);
        let answer = pass(inner, request);
        if is_stream {
            return Ok(answer.await?.map(|stream| Ending::of(stream, ends, share)));
        }
        let Some(ends) = ends else { return answer.await };
        tokio::select! {
            answer = answer => answer,
            error = ends => Ok(Status::from(error).into_http()),
        }
    }
}

fn pass<S: Service<Request<Body>, Response = Response<Body>>>(mut inner: S, request: Request<Body>) -> S::Future {
    inner.call(request)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use uuid::Uuid;

    use super::*;
    use crate::{
        access::key_cache::{Freshness, KeyCache},
        postgres, tracking,
    };

    async fn admit(access: &Access, path: &str, headers: &[(&'static str, &str)]) -> Result<Option<Scope>, Code> {
        let headers = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().expect("a value")));
        let admitted = access.admit(path, &headers.collect(), Origin::default()).await;
        admitted.map(|p| p.map(|p| p.scope)).map_err(|error| Status::from(error).code())
    }

    const CREATE: &str = "/comanda.v1.OrderService/CreateOrder";
    const GET: &str = "/comanda.v1.OrderService/GetOrder";

    #[tokio::test]
    async fn a_call_gets_the_scope_of_its_caller_or_is_denied() {
        let owner = Access::default();
        assert_eq!(admit(&owner, CREATE, &[]).await, Ok(Some(Scope::built_in())));
        assert_eq!(admit(&owner, "/comanda.v1.OrderService/DropEverything", &[]).await, Err(Code::Unimplemented));
        let courier = Access::everyone_is(Scope::new("acme", "courier-7", Role::Courier));
        assert_eq!(admit(&courier, CREATE, &[]).await, Err(Code::PermissionDenied));
        assert_eq!(admit(&courier, "/grpc.health.v1.Health/Check", &[]).await, Ok(None));
    }

    #[tokio::test]
    async fn a_server_that_can_check_no_credentials_refuses_them() {
        let owner = Access::default();
        for credentials in ["Bearer cmd_aaaaaaaaaaaa_b", "Bearer a.b.c", "Bearer x"] {
            let code = admit(&owner, GET, &[("authorization", credentials)]).await;
            assert_eq!(code, Err(Code::Unauthenticated), "{credentials}");
        }
        assert!(admit(&owner, GET, &[("authorization", "Basic YTpi")]).await.is_ok(), "meant for a proxy");
        assert_eq!(admit(&owner, "/grpc.health.v1.Health/Check", &[("authorization", "Bearer x")]).await, Ok(None));
    }

    #[tokio::test]
    async fn only_a_service_acts_for_somebody() {
        let service = Access::everyone_is(Scope::new("acme", "shop", Role::Service));
        let scope = admit(&service, CREATE, &[(ACTOR, "maria")]).await.expect("let in").expect("a caller");
        assert_eq!((scope.subject(), scope.role(), scope.tenant()), ("maria", Role::Service, "acme"));
        for wrong in ["", "system:relay", &"x".repeat(129)] {
            assert_eq!(admit(&service, CREATE, &[(ACTOR, wrong)]).await, Err(Code::InvalidArgument), "{wrong}");
        }
        for role in [Role::Owner, Role::Staff] {
            let access = Access::everyone_is(Scope::new("acme", "ana", role));
            assert_eq!(admit(&access, CREATE, &[(ACTOR, "maria")]).await, Err(Code::PermissionDenied));
        }
    }

    #[tokio::test]
    async fn a_tracking_token_is_taken_for_what_it_is_and_nothing_more() {
        let keys = |seconds| {
            let pem = tracking::new_key().expect("a key");
            Arc::new(Keys::of_pem(pem.as_bytes(), Duration::from_secs(seconds)).expect("valid"))
        };
        let (good, order_id) = (keys(60), Uuid::now_v7());
        let token = good.token("acme", order_id).expect("signed");
        let bearer = |token: &str| format!("Bearer {token}");
        let access = Access::default().with_tracking(Some(good));
        let with = async |access: &Access, method: &str, credentials: String| {
            admit(access, &format!("/comanda.v1.{method}"), &[("authorization", &credentials)]).await
        };
        for allowed in ["OrderService/GetOrder", "WatchService/WatchOrder"] {
            let scope = with(&access, allowed, bearer(&token)).await.expect("let in").expect("a caller");
            assert_eq!((scope.tenant(), scope.role(), scope.reaches(order_id)), ("acme", Role::Tracker, true));
        }
        assert_eq!(with(&access, "LifecycleService/CancelOrder", bearer(&token)).await, Err(Code::PermissionDenied));
        let wrong = with(&access, "OrderService/GetOrder", bearer(&format!("{token}x"))).await;
        assert_eq!(wrong, Err(Code::Unauthenticated));
        let elsewhere = with(&Access::default(), "OrderService/GetOrder", bearer(&token)).await;
        assert_eq!(elsewhere, Err(Code::Unauthenticated));
        let brief = keys(0);
        let token = brief.token("acme", order_id).expect("signed");
        let access = Access::default().with_tracking(Some(brief));
        assert_eq!(with(&access, "OrderService/GetOrder", bearer(&token)).await, Err(Code::Unauthenticated));
    }

    /// Of a database that is not there: what is shown here needs none.
    fn closed() -> Access {
        let mut postgres = Cli::parse_from(["test"]).postgres;
        postgres.database_url = "postgres://nobody@127.0.0.1:1/nothing".into();
        let freshness = Freshness { interval: Duration::from_secs(5), stale: Duration::from_secs(300) };
        let keys = KeyCache::new(postgres::pool(&postgres, "access").expect("lazy"), freshness);
        Access::new(Authenticator::required(Arc::new(keys), None))
    }

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        postgres: postgres::Config,
    }

    /// Who a certificate names that ends so many days from now.
    fn peer(days: i64) -> Peer {
        let mut params = rcgen::CertificateParams::new(["shop.internal".to_owned()]).expect("names");
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(days);
        let key = rcgen::KeyPair::generate().expect("a key");
        Peer::of(params.self_signed(&key).expect("a certificate").der())
    }

    #[tokio::test]
    async fn a_client_certificate_is_a_service_where_that_is_asked_for_until_it_ends() {
        let with = async |access: &Access, peer: Option<&Peer>, headers: HeaderMap| {
            let admitted = access.admit(GET, &headers, Origin { address: None, peer }).await;
            admitted.map(|p| p.expect("a caller")).map_err(|error| Status::from(error).code())
        };
        let taken = Access::new(Authenticator::clone(&closed().authenticator).with_certificates(Some("acme")));
        let good = peer(1);
        let principal = with(&taken, Some(&good), HeaderMap::new()).await.expect("let in");
        let scope = &principal.scope;
        assert_eq!((scope.tenant(), scope.subject(), scope.role()), ("acme", "shop.internal", Role::Service));
        assert_eq!(principal.expires, Some(good.expires()));
        assert!(ending::ends(&taken.authenticator, &principal, &HeaderMap::new(), Some(&good)).is_some());
        let refused = Err(Code::Unauthenticated);
        assert_eq!(with(&taken, Some(&peer(-1)), HeaderMap::new()).await, refused);
        assert_eq!(with(&taken, None, HeaderMap::new()).await, refused);
        assert_eq!(with(&closed(), Some(&good), HeaderMap::new()).await, refused, "not asked for");
        let guess = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("Bearer guess"))]);
        assert_eq!(with(&taken, Some(&good), guess).await, refused, "credentials count more");
    }

    #[tokio::test]
    async fn an_address_that_only_guesses_is_not_listened_to_and_keeps_nobody_out() {
        let pem = tracking::new_key().expect("a key");
        let tracking = Arc::new(Keys::of_pem(pem.as_bytes(), Duration::from_secs(60)).expect("valid"));
        let token = |_| format!("Bearer {}", tracking.token("acme", Uuid::now_v7()).expect("signed"));
        let (known, fresh) = (token(1), token(2));
        let access = closed().with_tracking(Some(tracking.clone())).with_strangers(Strangers::new(3));
        let from = async |address: [u8; 4], shown: &str| {
            let value = HeaderValue::from_str(shown).expect("a value");
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
            let origin = Origin { address: Some(Address(address.into())), peer: None };
            let admitted = access.admit(GET, &headers, origin).await;
            admitted.map(drop).map_err(|error| Status::from(error).code())
        };
        let (guesser, other) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        assert_eq!(from(guesser, &known).await, Ok(()));
        for _ in 0..3 {
            assert_eq!(from(guesser, "Bearer guess").await, Err(Code::Unauthenticated));
        }
        for shown in ["Bearer guess", &fresh] {
            assert_eq!(from(guesser, shown).await, Err(Code::ResourceExhausted), "{shown}");
        }
        assert_eq!(from(guesser, &known).await, Ok(()));
        assert_eq!(from(other, &fresh).await, Ok(()));
        assert_eq!(from(other, "Bearer guess").await, Err(Code::Unauthenticated));
    }
}
