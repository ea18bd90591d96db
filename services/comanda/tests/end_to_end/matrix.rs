//! Every rpc of the descriptors, with every kind of credentials, by every role, for what is the caller's own, somebody else's, and nobody's.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BufMut, Bytes};
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
        provider::{AUDIENCE, Provider, now},
    },
    tracking::{self, Keys},
};
use comanda_proto::{
    access::{Reach, Role, TABLE},
    v1::{
        Courier, CreateOrderRequest, CreateOrderResponse, Customer, RegisterCourierRequest,
        dispatch_service_client::DispatchServiceClient, order_service_client::OrderServiceClient,
    },
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::json;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataValue,
    transport::Channel,
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::tenants::{environment, new_order};

/// What these calls answer depends on more than on whom they name: they make something new each time, or hand out tokens of their filter.
/// That they reach nobody else's is tested where they are.
const NAME_NOBODY: &[&str] = &["CreateOrder", "BatchCreateOrders", "RegisterCourier", "WatchOrders"];
/// Calls that answer otherwise for one's own order than for one that is not there.
const TELL_OWN: &[&str] = &[
    "GetOrder",
    "BatchGetOrders",
    "ListTransitions",
    "WatchOrder",
    "AdvanceOrder",
    "CancelOrder",
    "RejectOrder",
    "ListMails",
];

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    access: access::Config,
    #[command(flatten)]
    notification: comanda_notification::Config,
    #[command(flatten)]
    dispatch: comanda_dispatch::Config,
    #[command(flatten)]
    analytics: comanda_analytics::Config,
}

/// Every role of Comanda in one server that requires credentials.
struct World {
    operator: Operator,
    provider: Provider,
    replica: Replica,
    channel: Channel,
    tracking: Arc<Keys>,
    pool: DescriptorPool,
}

impl World {
    async fn start() -> Result<Self> {
        let environment = environment().await?;
        let (provider, tasks) = (Provider::start().await?, Tasks::new());
        let pem = tracking::new_key()?;
        let tracking = Arc::new(Keys::of_pem(pem.as_bytes(), Duration::from_secs(3600))?);
        let flags = [
            "test",
            "--no-mails",
            "--access",
            "required",
            "--access-refresh-ms",
            "200",
            "--address-failures-per-minute",
            "0",
            "--oidc-issuer",
            &provider.issuer,
            "--oidc-audience",
            AUDIENCE,
        ];
        let cli = Cli::parse_from(flags);
        let access = cli.access.start(&environment.postgres, Some(tracking.clone()), &tasks)?;
        let replica = Replica::serve_to(access, roles(&environment, &cli, &tasks)?, tasks)?;
        for service in
            ["OrderService", "LifecycleService", "WatchService", "MailService", "DispatchService", "AnalyticsService"]
        {
            replica.serves(&format!("comanda.v1.{service}")).await;
        }
        let (channel, operator) =
            (replica.connect().await?, Operator::connect(&environment.postgres, "operator test")?);
        let pool = DescriptorPool::decode(comanda_proto::DESCRIPTORS)?;
        Ok(Self { operator, provider, replica, channel, tracking, pool })
    }

    async fn key(&self, tenant: &str, role: Role, name: &str, lifetime: Option<Duration>) -> Result<(String, String)> {
        let key_id = key::new_id();
        let (key, secret_hash) = key::new_secret(&key_id);
        let (tenant, name, role) = (tenant.to_owned(), name.to_owned(), role.name());
        let new = NewKey { key_id: key_id.clone(), tenant, name, role, secret_hash, lifetime, only_first: false };
        ensure!(self.operator.create(&new).await?, "the name is taken");
        Ok((key_id, key.reveal().to_owned()))
    }

    async fn order(&self, token: &str, customer_id: &str) -> Result<String> {
        let customer = Some(Customer { customer_id: customer_id.into(), ..Default::default() });
        let order = CreateOrderRequest { customer, workflow: "delivery".into(), ..new_order(Uuid::new_v4()) };
        let created = OrderServiceClient::new(self.channel.clone()).create_order(with(order, token)).await?;
        let CreateOrderResponse { order, .. } = created.into_inner();
        Ok(order.context("an order")?.order_id)
    }

    async fn courier(&self, token: &str, courier_id: &str) -> Result<()> {
        let courier = Courier { courier_id: courier_id.into(), name: "María".into(), ..Default::default() };
        let register = RegisterCourierRequest { courier: Some(courier) };
        DispatchServiceClient::new(self.channel.clone()).register_courier(with(register, token)).await?;
        Ok(())
    }

    /// The first answer of any rpc.
    async fn call(&self, path: &'static str, message: Vec<u8>, token: &str) -> Result<Bytes, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let request = with(tokio_stream::once(Bytes::from(message)), token);
        let mut answers = grpc.streaming(request, path.parse().expect("a path"), Identity).await?.into_inner();
        Ok(answers.message().await?.unwrap_or_default())
    }

    /// The same, as everything that a client learns, with the names that it asked for left out.
    async fn told(&self, path: &'static str, whom: &Whom, token: &str) -> String {
        let method = self.method(path).expect("a method of ours");
        let told = match self.call(path, whom.request(method).encode_to_vec(), token).await {
            Ok(answer) => format!("{answer:?}"),
            Err(status) => format!("{:?} {} {:?}", status.code(), status.message(), status.get_error_details()),
        };
        let names = [(&whom.order_id, "ORDER"), (&whom.courier_id, "COURIER"), (&whom.customer_id, "CUSTOMER")];
        names.into_iter().fold(told, |told, (name, stand_in)| told.replace(name.as_str(), stand_in))
    }

    /// What a method takes.
    fn method(&self, path: &str) -> Option<MessageDescriptor> {
        let (service, method) = path.trim_start_matches('/').split_once('/')?;
        let service = self.pool.get_service_by_name(service)?;
        service.methods().find(|found| found.name() == method).map(|method| method.input())
    }

    fn tracking_token(&self, order_id: &str) -> Result<String> {
        self.tracking.token("acme", order_id.parse()?).context("signed")
    }
}

fn roles(environment: &Environment, cli: &Cli, tasks: &Tasks) -> Result<Vec<Endpoint>> {
    let Environment { postgres, kafka } = environment;
    let lifecycle = comanda_state_machine::Config { step_ms: Some(3_600_000), ..Default::default() };
    Ok(vec![
        comanda_ordering::App::build(postgres, kafka)?.start(tasks)?,
        comanda_state_machine::App::build(&lifecycle, postgres, kafka)?.start(tasks)?,
        comanda_notification::App::build(&cli.notification, postgres, kafka, None)?.start(tasks)?,
        comanda_dispatch::App::build(&cli.dispatch, postgres, kafka)?.start(tasks)?,
        comanda_analytics::App::build(&cli.analytics, postgres, kafka)?.start(tasks)?,
    ])
}

/// Whom a request names. Names have the same lengths, so that answers differ in nothing else.
#[derive(Clone, Debug)]
struct Whom {
    order_id: String,
    customer_id: String,
    courier_id: String,
}

impl Whom {
    fn new(order_id: &str, customer_id: &str, courier_id: &str) -> Self {
        let [order_id, customer_id, courier_id] = [order_id, customer_id, courier_id].map(str::to_owned);
        Self { order_id, customer_id, courier_id }
    }

    /// A request that names them wherever it can name anybody.
    fn request(&self, of: MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for field in of.fields() {
            self.value(&field).into_iter().for_each(|value| message.set_field(&field, value));
        }
        message
    }

    fn value(&self, field: &FieldDescriptor) -> Option<Value> {
        let text = |text: &str| Some(Value::String(text.to_owned()));
        match (field.name(), field.kind()) {
            ("order_id", _) => text(&self.order_id),
            ("order_ids", _) => Some(Value::List(vec![Value::String(self.order_id.clone())])),
            ("courier_id", _) => text(&self.courier_id),
            ("customer_id", _) => text(&self.customer_id),
            ("request_id", _) => text(&Uuid::new_v4().to_string()),
            ("version" | "attempt", Kind::Int64) => Some(Value::I64(1)),
            ("version" | "attempt", Kind::Int32) => Some(Value::I32(1)),
            ("latitude" | "longitude", _) => Some(Value::F64(1.0)),
            ("status", Kind::Enum(_)) => Some(Value::EnumNumber(1)),
            ("location" | "position", Kind::Message(of)) => Some(Value::Message(self.request(of))),
            _ => None,
        }
    }
}

fn with<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value: MetadataValue<_> = format!("Bearer {token}").parse().expect("ASCII");
        request.metadata_mut().insert("authorization", value);
    }
    request.set_timeout(Duration::from_secs(30));
    request
}

/// Sends and receives the bytes of messages.
#[derive(Clone, Copy, Debug, Default)]
struct Identity;

impl Codec for Identity {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Identity {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Identity {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// The rpcs that are not open to everyone.
fn closed() -> impl Iterator<Item = &'static comanda_proto::access::Rule> {
    TABLE.iter().filter(|rule| rule.reach != Reach::Public)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rpc_takes_bad_credentials() -> Result<()> {
    let world = World::start().await?;
    let provider = &world.provider;
    let good = provider.claims("ana", "owner");
    let claims = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        provider.token(&claims)
    };
    let (revoked_id, revoked) = world.key("acme", Role::Owner, "revoked", None).await?;
    let (rolled_id, rolled) = world.key("acme", Role::Owner, "rolled", None).await?;
    let (_, expired) = world.key("acme", Role::Owner, "expired", Some(Duration::ZERO)).await?;
    let list = "/comanda.v1.OrderService/ListOrders";
    for key in [&revoked, &rolled] {
        world.call(list, Vec::new(), key).await?;
    }
    world.operator.revoke(&revoked_id).await?;
    world.operator.roll(&rolled_id, &key::new_secret(&rolled_id).1, Duration::ZERO).await?;
    for key in [&revoked, &rolled] {
        eventually("it is refused", || async { world.call(list, Vec::new(), key).await.err().map(drop) }).await;
    }
    let old = Keys::of_pem(tracking::new_key()?.as_bytes(), Duration::from_secs(3600))?;
    let bad = BTreeMap::from([
        ("none", String::new()),
        ("garbage", "garbage".into()),
        ("a key that nobody made", key::new_secret(&key::new_id()).0.reveal().to_owned()),
        ("a key with another secret", key::new_secret(&rolled_id).0.reveal().to_owned()),
        ("revoked", revoked.clone()),
        ("rolled", rolled.clone()),
        ("an expired key", expired),
        ("an expired token", claims("exp", json!(now() - 60))),
        ("not yet valid", claims("nbf", json!(now() + 600))),
        ("another issuer", claims("iss", json!("https://other.example"))),
        ("another audience", claims("aud", json!("other"))),
        ("alg none", provider.unsigned_token(&good)),
        ("the public key as a secret", provider.token_by_public_key(&good)),
        ("an unknown key id", provider.token_of_key("other", &good)),
        ("a tracking token of another key", old.token("acme", Uuid::now_v7()).context("signed")?),
    ]);
    world.call(list, Vec::new(), &provider.token(&good)).await.context("the good token is good")?;
    for rule in closed() {
        for (what, token) in &bad {
            let code = world.call(rule.path, Vec::new(), token).await.err().map(|status| status.code());
            assert_eq!(code, Some(Code::Unauthenticated), "{} with {what}", rule.path);
        }
    }
    world.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_call_what_the_table_says_and_nothing_else() -> Result<()> {
    let world = World::start().await?;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, world.key("acme", role, role.name(), None).await?.1));
        let claims = world.provider.claims("somebody", role.name());
        tokens.push((role, world.provider.token(&claims)));
    }
    tokens.push((Role::Tracker, world.tracking_token(&Uuid::now_v7().to_string())?));
    for rule in closed() {
        for (role, token) in &tokens {
            // Reflection has no message that is empty.
            let code = world.call(rule.path, Vec::new(), token).await.err().map(|status| status.code());
            let is_denied = matches!(code, Some(Code::PermissionDenied | Code::Unauthenticated));
            assert_eq!(is_denied, !rule.admits(*role), "{} by {role:?}: {code:?}", rule.path);
        }
    }
    world.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebody_elses_answers_byte_for_byte_like_what_is_not_there() -> Result<()> {
    let world = World::start().await?;
    let (_, owner) = world.key("acme", Role::Owner, "owner", None).await?;
    let (_, stranger) = world.key("bravo", Role::Owner, "owner", None).await?;
    for (token, courier) in [(&owner, "maria-1"), (&owner, "elena-1"), (&stranger, "bruno-1")] {
        world.courier(token, courier).await?;
    }
    let (anas, bobs) = (world.order(&owner, "ana-1").await?, world.order(&owner, "bob-1").await?);
    let foreign = Whom::new(&world.order(&stranger, "eve-1").await?, "eve-1", "bruno-1");
    let missing = Whom::new(&Uuid::now_v7().to_string(), "nobody", "nobody1");
    let own = Whom::new(&anas, "ana-1", "maria-1");
    // Of the same tenant, but of another customer, or for a tracker another order.
    let other = Whom::new(&bobs, "bob-1", "elena-1");
    let mut callers = Vec::new();
    for (role, name) in [
        (Role::Owner, "owner-2"),
        (Role::Staff, "staff"),
        (Role::Service, "service"),
        (Role::Courier, "maria-1"),
        (Role::Customer, "ana-1"),
    ] {
        callers.push((role, world.key("acme", role, name, None).await?.1));
    }
    callers.push((Role::Tracker, world.tracking_token(&anas)?));
    let mut differing = BTreeSet::new();
    for rule in TABLE.iter().filter(|rule| rule.reach == Reach::Tenant) {
        let method = rule.path.rsplit('/').next().unwrap_or_default();
        let names_somebody = own.request(world.method(rule.path).context("a method")?).encoded_len() > 0;
        if NAME_NOBODY.contains(&method) || !names_somebody {
            continue;
        }
        for (role, token) in callers.iter().filter(|(role, _)| rule.admits(*role)) {
            let nothing = world.told(rule.path, &missing, token).await;
            assert_eq!(world.told(rule.path, &foreign, token).await, nothing, "{} by {role:?}", rule.path);
            if matches!(role, Role::Customer | Role::Tracker) {
                assert_eq!(world.told(rule.path, &other, token).await, nothing, "{} by {role:?}", rule.path);
            }
            if world.told(rule.path, &own, token).await != nothing {
                differing.insert((method, role.name()));
            }
        }
    }
    // Else the comparison would be one of nothing with nothing.
    for method in TELL_OWN {
        let told = differing.iter().any(|(found, _)| found == method);
        assert!(told, "{method} tells nothing of one's own order");
    }
    for method in ["GetOrder", "ListTransitions", "WatchOrder"] {
        assert!(differing.contains(&(method, "customer")), "{method} shows a customer nothing of its own");
    }
    assert!(differing.contains(&("GetOrder", "tracker")) && differing.contains(&("WatchOrder", "tracker")));
    world.replica.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_orders_for_itself_and_sees_its_own_orders_alone() -> Result<()> {
    let world = World::start().await?;
    let (_, owner) = world.key("acme", Role::Owner, "owner", None).await?;
    let (_, ana) = world.key("acme", Role::Customer, "ana", None).await?;
    world.order(&owner, "bob").await?;
    let own = world.order(&ana, "").await?;
    let refused = world.order(&ana, "bob").await.expect_err("refused");
    assert_eq!(refused.downcast_ref::<Status>().context("a status")?.code(), Code::InvalidArgument);
    let mut orders = OrderServiceClient::new(world.channel.clone());
    for (customer_id, expected) in [("", vec![own.clone()]), ("ana", vec![own.clone()]), ("bob", vec![])] {
        let list = comanda_proto::v1::ListOrdersRequest { customer_id: customer_id.into(), ..Default::default() };
        let listed = orders.list_orders(with(list, &ana)).await?.into_inner().orders;
        let listed: Vec<_> = listed.into_iter().map(|order| order.order_id).collect();
        assert_eq!(listed, expected, "{customer_id}");
    }
    // A request id of somebody else tells nothing of the order behind it.
    let request = new_order(Uuid::new_v4());
    orders.create_order(with(request.clone(), &owner)).await?;
    let (_, eve) = world.key("acme", Role::Customer, "eve", None).await?;
    let mine = CreateOrderRequest { customer: None, ..request };
    let mismatch = orders.create_order(with(mine, &eve)).await.expect_err("refused");
    let info = mismatch.get_error_details().error_info().context("a reason")?.clone();
    assert_eq!((info.reason.as_str(), info.metadata.get("order_id")), ("IDEMPOTENCY_MISMATCH", None));

    world.replica.stop().await
}
