//! Which callers are admitted, with a real database for keys and a provider that misbehaves.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use comanda_kit::{
    access::{
        self, key,
        store::operator::{NewKey, Operator},
    },
    server::Endpoint,
    shutdown::Tasks,
    testing::{
        Environment, Replica, eventually,
        provider::{AUDIENCE, Mood, Provider, now},
    },
};
use serde_json::Value;
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming, metadata::MetadataValue, service::Routes};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

/// How often keys are read again here.
const REFRESH_MS: &str = "200";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    access: access::Config,
}

/// A server that requires credentials.
struct Fixture {
    environment: Environment,
    operator: Operator,
    replica: Replica,
}

impl Fixture {
    async fn start(flags: &[&str]) -> Result<Self> {
        let environment = Environment::without_topics().await?;
        let operator = Operator::connect(&environment.postgres, "operator test")?;
        let replica = serve(&environment, flags)?;
        Ok(Self { environment, operator, replica })
    }

    async fn before(provider: &Provider, flags: &[&str]) -> Result<Self> {
        let oidc = ["--oidc-issuer", &provider.issuer, "--oidc-audience", AUDIENCE, "--oidc-algorithm", "ES256"];
        Self::start(&[&oidc, flags].concat()).await
    }

    /// Makes a key; returns its id and the key.
    async fn key(&self, name: &str, lifetime: Option<Duration>) -> Result<(String, String)> {
        let key_id = key::new_id();
        let (key, secret_hash) = key::new_secret(&key_id);
        let (tenant, name) = ("acme".to_owned(), name.to_owned());
        let new =
            NewKey { key_id: key_id.clone(), tenant, name, role: "staff", secret_hash, lifetime, only_first: false };
        anyhow::ensure!(self.operator.create(&new).await?, "the name is taken");
        Ok((key_id, key.reveal().to_owned()))
    }

    /// What a call with these credentials is answered.
    async fn call(&self, token: &str) -> Code {
        stream(&self.replica, token).await.map_or_else(|status| status.code(), |_| Code::Ok)
    }
}

fn serve(environment: &Environment, flags: &[&str]) -> Result<Replica> {
    let flags = [&["test", "--access", "required", "--access-refresh-ms", REFRESH_MS], flags].concat();
    let (config, tasks) = (Cli::parse_from(flags).access, Tasks::new());
    let access = config.start(&environment.postgres, None, &tasks)?;
    let (sender, ready) = watch::channel(true);
    // Kept for as long as the endpoint.
    std::mem::forget(sender);
    let endpoint = Endpoint { routes: Routes::default(), services: vec!["test.Service"], ready };
    Replica::serve_to(access, vec![endpoint], tasks)
}

fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(value) = format!("Bearer {token}").parse::<MetadataValue<_>>()
        && !token.is_empty()
    {
        request.metadata_mut().insert("authorization", value);
    }
    request
}

/// A stream that stays open until it is dropped.
struct Open {
    answers: Streaming<ServerReflectionResponse>,
    _requests: mpsc::Sender<ServerReflectionRequest>,
}

/// A stream, after its first answer.
async fn stream(replica: &Replica, token: &str) -> Result<Open, Status> {
    let channel = replica.connect().await.map_err(|error| Status::unknown(error.to_string()))?;
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let (sender, requests) = mpsc::channel(1);
    let _ = sender.send(ServerReflectionRequest { message_request, ..Default::default() }).await;
    let requests = with(ReceiverStream::new(requests), token);
    let mut answers = ServerReflectionClient::new(channel).server_reflection_info(requests).await?.into_inner();
    answers.message().await?;
    Ok(Open { answers, _requests: sender })
}

async fn end(mut open: Open) -> Code {
    loop {
        match open.answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
    }
}

/// Calls until the answer is this; returns how long that took.
async fn until(fixture: &Fixture, token: &str, code: Code) -> Duration {
    let began = Instant::now();
    eventually("the answer changes", || async { (fixture.call(token).await == code).then_some(()) }).await;
    began.elapsed()
}

async fn audit(fixture: &Fixture) -> Result<Vec<(String, String, String, i64)>> {
    let rows = fixture.operator.audit(Some("acme"), 100).await?;
    Ok(rows.into_iter().map(|row| (row.subject, row.action, row.detail, row.count)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lets_in_until_it_is_revoked_also_where_it_is_open() -> Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let (key_id, key) = fixture.key("pos-1", None).await?;
    assert_eq!(fixture.call("").await, Code::Unauthenticated);
    assert_eq!(
        fixture.call("cmd_aaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await,
        Code::Unauthenticated
    );
    assert_eq!(fixture.call(&format!("{}x", &key[..key.len() - 1])).await, Code::Unauthenticated);
    assert_eq!(fixture.call(&key).await, Code::Ok);
    let (_, other) = fixture.key("pos-2", None).await?;
    let (open, untouched) = (stream(&fixture.replica, &key).await?, stream(&fixture.replica, &other).await?);
    assert!(fixture.operator.revoke(&key_id).await? && !fixture.operator.revoke(&key_id).await?);
    let revoked = Instant::now();
    until(&fixture, &key, Code::Unauthenticated).await;
    assert_eq!(end(open).await, Code::Unauthenticated);
    assert!(revoked.elapsed() < Duration::from_secs(60), "{:?}", revoked.elapsed());
    let still = tokio::time::timeout(Duration::from_secs(1), end(untouched)).await;
    assert!(still.is_err(), "the stream of another key ended");
    assert_eq!(fixture.call(&other).await, Code::Ok);
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_expires_ends_its_calls_and_streams() -> Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let (_, key) = fixture.key("pos-1", Some(Duration::from_secs(4))).await?;
    let open = stream(&fixture.replica, &key).await?;
    let began = Instant::now();
    assert_eq!(end(open).await, Code::Unauthenticated);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(fixture.call(&key).await, Code::Unauthenticated);
    // It is resumed with another key.
    let (_, fresh) = fixture.key("pos-2", None).await?;
    stream(&fixture.replica, &fresh).await?;
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_rolled_without_a_call_that_fails() -> Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let (key_id, old) = fixture.key("pos-1", None).await?;
    assert_eq!(fixture.call(&old).await, Code::Ok);
    let (new, hash) = key::new_secret(&key_id);
    assert!(fixture.operator.roll(&key_id, &hash, Duration::from_secs(5)).await?);
    let (_, third) = key::new_secret(&key_id);
    assert!(!fixture.operator.roll(&key_id, &third, Duration::from_secs(5)).await?, "a third secret was made");
    until(&fixture, new.reveal(), Code::Ok).await;
    assert_eq!(fixture.call(&old).await, Code::Ok);
    until(&fixture, &old, Code::Unauthenticated).await;
    assert_eq!(fixture.call(new.reveal()).await, Code::Ok);
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_with_keys_and_what_was_denied_is_in_the_audit_for_good() -> Result<()> {
    let fixture = Fixture::start(&[]).await?;
    let (key_id, key) = fixture.key("pos-1", None).await?;
    fixture.call(&key).await;
    fixture.operator.revoke(&key_id).await?;
    until(&fixture, &key, Code::Unauthenticated).await;
    for _ in 0..3 {
        fixture.call(&key).await;
    }
    let Fixture { environment, operator, replica } = fixture;
    // The rest is written at the stop.
    replica.stop().await?;
    let fixture = Fixture { replica: serve(&environment, &[])?, environment, operator };
    let rows = audit(&fixture).await?;
    let actions: Vec<_> = rows.iter().map(|(_, action, ..)| action.as_str()).collect();
    assert_eq!(actions, ["denied", "key-revoke", "key-create"]);
    let (subject, _, detail, count) = &rows[0];
    assert_eq!(
        (subject.as_str(), detail.as_str()),
        ("pos-1", "invalid credentials at /grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    );
    assert!(*count >= 4, "{count}");
    assert!(
        rows[2].2.contains("staff pos-1") && !format!("{rows:?}").contains(key.rsplit('_').next().context("a secret")?)
    );
    let sql: PgPool = fixture.environment.sql().await?;
    for change in ["UPDATE access.audit SET subject = 'x'", "DELETE FROM access.audit", "TRUNCATE access.audit"] {
        assert!(sqlx::query(change).execute(&sql).await.is_err(), "{change}");
    }
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_known_keys_stay_good_for_a_bounded_time() -> Result<()> {
    let fixture = Fixture::start(&["--access-stale-ms", "3000"]).await?;
    let (_, key) = fixture.key("pos-1", None).await?;
    let (_, unknown) = fixture.key("pos-2", None).await?;
    assert_eq!(fixture.call(&key).await, Code::Ok);
    fixture.environment.sql().await?.execute_without_keys().await?;
    let away = Instant::now();
    assert_eq!(fixture.call(&key).await, Code::Ok);
    assert_eq!(fixture.call(&unknown).await, Code::Internal, "nobody can tell whether it is good");
    until(&fixture, &key, Code::Internal).await;
    assert!(away.elapsed() >= Duration::from_millis(2000), "{:?}", away.elapsed());
    fixture.replica.stop().await
}

/// Takes the table of keys away, so that each statement fails.
trait WithoutKeys {
    async fn execute_without_keys(&self) -> Result<()>;
}

impl WithoutKeys for PgPool {
    async fn execute_without_keys(&self) -> Result<()> {
        sqlx::query("ALTER TABLE access.keys RENAME TO away").execute(self).await?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_limits_harms_no_other() -> Result<()> {
    let fixture = Fixture::start(&["--tenant-max-streams", "1"]).await?;
    let (_, key) = fixture.key("pos-1", None).await?;
    let first = stream(&fixture.replica, &key).await?;
    assert_eq!(stream(&fixture.replica, &key).await.err().context("refused")?.code(), Code::ResourceExhausted);
    drop(first);
    eventually("the place is free again", || async { stream(&fixture.replica, &key).await.ok().map(drop) }).await;
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_of_the_provider_lets_in() -> Result<()> {
    let provider = Provider::start().await?;
    let fixture = Fixture::before(&provider, &[]).await?;
    let good = provider.claims("ana", "staff");
    assert_eq!(fixture.call(&provider.token(&good)).await, Code::Ok);
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        provider.token(&claims)
    };
    for (what, token) in [
        ("expired", with("exp", (now() - 60).into())),
        ("without an end", with("exp", Value::Null)),
        ("not valid yet", with("nbf", (now() + 60).into())),
        ("of another issuer", with("iss", "https://other.example".into())),
        ("for another program", with("aud", "other".into())),
        ("for nobody", with("aud", Value::Null)),
        ("of nobody", with("sub", Value::Null)),
        ("of the system", with("sub", "system:relay".into())),
        ("not signed", provider.unsigned_token(&good)),
        ("signed with the public key", provider.token_by_public_key(&good)),
        ("of an unknown key", provider.token_of_key("other", &good)),
        ("damaged", format!("{}x", provider.token(&good))),
    ] {
        assert_eq!(fixture.call(&token).await, Code::Unauthenticated, "{what}");
    }
    let both = with("aud", serde_json::json!(["other", AUDIENCE]));
    assert_eq!(fixture.call(&both).await, Code::Ok);
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_its_streams_when_it_expires() -> Result<()> {
    let provider = Provider::start().await?;
    let fixture = Fixture::before(&provider, &[]).await?;
    let mut claims = provider.claims("ana", "staff");
    claims["exp"] = (now() + 2).into();
    let open = stream(&fixture.replica, &provider.token(&claims)).await?;
    let began = Instant::now();
    assert_eq!(end(open).await, Code::Unauthenticated);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_good_token_is_refused_while_the_provider_misbehaves_or_rolls_its_keys() -> Result<()> {
    let provider = Provider::start().await?;
    let fixture = Fixture::before(&provider, &["--oidc-refresh-ms", "100", "--oidc-cooldown-ms", "300"]).await?;
    let token = |n: usize| provider.token(&provider.claims(&format!("ana-{n}"), "staff"));
    assert_eq!(fixture.call(&token(0)).await, Code::Ok);
    for (n, mood) in [Mood::Down, Mood::Nonsense, Mood::Enormous, Mood::Silent].into_iter().enumerate() {
        provider.be(mood);
        let asked = provider.asked();
        eventually("the provider is asked again", || async { (provider.asked() > asked).then_some(()) }).await;
        assert_eq!(fixture.call(&token(n + 1)).await, Code::Ok, "{mood:?}");
    }
    provider.be(Mood::Good);
    let old = token(10);
    provider.roll("second");
    until(&fixture, &token(11), Code::Ok).await;
    assert_eq!(fixture.call(&old).await, Code::Unauthenticated, "its key is gone");
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_asked_for_at_once_and_invented_ones_do_not_keep_the_provider_busy() -> Result<()> {
    let provider = Provider::start().await?;
    let fixture = Fixture::before(&provider, &["--oidc-cooldown-ms", "1500"]).await?;
    let claims = provider.claims("ana", "staff");
    assert_eq!(fixture.call(&provider.token(&claims)).await, Code::Ok);
    provider.roll("second");
    // It is asked every 5 minutes by itself, so only a call can make it tell the new key.
    until(&fixture, &provider.token(&claims), Code::Ok).await;
    let asked = provider.asked();
    for n in 0..20 {
        assert_eq!(fixture.call(&provider.token_of_key(&n.to_string(), &claims)).await, Code::Unauthenticated);
    }
    assert!(provider.asked() <= asked + 4, "asked {} times", provider.asked() - asked);
    fixture.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_provider_was_never_reached_nobody_is_called_a_liar() -> Result<()> {
    let provider = Provider::start().await?;
    provider.be(Mood::Down);
    let fixture = Fixture::before(&provider, &["--oidc-refresh-ms", "100", "--oidc-cooldown-ms", "100"]).await?;
    let token = provider.token(&provider.claims("ana", "staff"));
    assert_eq!(fixture.call(&token).await, Code::Unavailable);
    let (_, key) = fixture.key("pos-1", None).await?;
    assert_eq!(fixture.call(&key).await, Code::Ok, "keys do not need the provider");
    provider.be(Mood::Good);
    until(&fixture, &token, Code::Ok).await;
    fixture.replica.stop().await
}
