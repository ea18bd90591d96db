use std::time::Duration;

use clap::Parser;
use tonic::Status;
use uuid::Uuid;

use super::*;
use crate::{
    access::{
        ending,
        key_cache::{Freshness, KeyCache},
    },
    postgres, tracking,
};

async fn admit(access: &Access, path: &str, headers: &[(&'static str, &str)]) -> Result<Option<Scope>, Code> {
    let headers =
        headers.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().expect("a value")));
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

/// A caller with a client certificate that expires in `days` days.
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
