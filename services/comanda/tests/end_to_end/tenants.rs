//! Two tenants on one database and one Kafka: nothing of one is reachable from the other, by any rpc, token or stream.

use anyhow::{Context, Result};
use clap::Parser;
use comanda_kit::{
    access::{Access, Scope},
    server::Endpoint,
    shutdown::Tasks,
    testing::{Environment, Replica, eventually},
};
use comanda_proto::{
    Money,
    access::Role,
    topics,
    v1::{
        AdvanceOrderRequest, BatchGetOrdersRequest, CancelOrderRequest, CreateOrderRequest, Customer,
        EraseCustomerRequest, GetOrderRequest, Item, ListMailsRequest, ListOrdersRequest, ListTransitionsRequest, Now,
        Order, OrderTransition, Phase, RejectOrderRequest, ResendMailRequest, WatchOrderRequest, WatchOrdersRequest,
        WatchOrdersResponse, get_order_request::Key, lifecycle_service_client::LifecycleServiceClient,
        mail_service_client::MailServiceClient, order_service_client::OrderServiceClient, watch_orders_request::Start,
        watch_orders_response::Event, watch_service_client::WatchServiceClient,
    },
};
use tonic::{Code, Response, Status, Streaming, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

const STEP_MS: u64 = 20;

/// Every role of one tenant's server, and a connection to it.
pub struct Tenant {
    replica: Replica,
    /// The connection.
    pub channel: Channel,
}

impl Tenant {
    /// Starts them, and waits until they serve.
    pub async fn start(environment: &Environment, name: &str) -> Result<Self> {
        Self::at_pace(environment, name, Some(STEP_MS)).await
    }

    /// The same, with timers of so many milliseconds; without a number, of what the workflows say.
    pub async fn at_pace(environment: &Environment, name: &str, step_ms: Option<u64>) -> Result<Self> {
        let tasks = Tasks::new();
        let access = Access::everyone_is(Scope::new(name, "owner", Role::Owner));
        let replica = Replica::serve_to(access, roles(environment, step_ms, &tasks)?, tasks)?;
        for service in ["OrderService", "LifecycleService", "WatchService", "MailService", "DispatchService"] {
            replica.serves(&format!("comanda.v1.{service}")).await;
        }
        let channel = replica.connect().await?;
        Ok(Self { replica, channel })
    }

    /// A client of OrderService.
    pub fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel.clone())
    }

    fn lifecycle(&self) -> LifecycleServiceClient<Channel> {
        LifecycleServiceClient::new(self.channel.clone())
    }

    fn watches(&self) -> WatchServiceClient<Channel> {
        WatchServiceClient::new(self.channel.clone())
    }

    fn mails(&self) -> MailServiceClient<Channel> {
        MailServiceClient::new(self.channel.clone())
    }

    async fn create(&self, request_id: Uuid) -> Result<(Order, bool)> {
        let created = self.orders().create_order(new_order(request_id)).await?.into_inner();
        Ok((created.order.context("an order")?, created.replayed))
    }
}

fn roles(environment: &Environment, step_ms: Option<u64>, tasks: &Tasks) -> Result<Vec<Endpoint>> {
    let Environment { postgres, kafka } = environment;
    let lifecycle = comanda_state_machine::Config { step_ms, ..Default::default() };
    let settings = Settings::parse_from(["comanda", "--no-mails"]);
    Ok(vec![
        comanda_ordering::App::build(postgres, kafka)?.start(tasks)?,
        comanda_state_machine::App::build(&lifecycle, postgres, kafka)?.start(tasks)?,
        comanda_notification::App::build(&settings.notification, postgres, kafka, None)?.start(tasks)?,
        comanda_dispatch::App::build(&settings.dispatch, postgres, kafka)?.start(tasks)?,
    ])
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    notification: comanda_notification::Config,
    #[command(flatten)]
    dispatch: comanda_dispatch::Config,
}

/// An order of the default workflow.
pub fn new_order(request_id: Uuid) -> CreateOrderRequest {
    let unit_price = Some(Money { currency_code: "CLP".into(), units: 1500, nanos: 0 });
    CreateOrderRequest {
        request_id: request_id.to_string(),
        customer: Some(Customer { customer_id: "ana".into(), name: "Ana".into(), ..Default::default() }),
        items: vec![Item { name: "Completo".into(), quantity: 2, unit_price, ..Default::default() }],
        ..Default::default()
    }
}

/// Everything a client learns from a refusal, with the id that it asked for left out.
pub fn told(result: Result<impl std::fmt::Debug, Status>, order_id: &str) -> String {
    let status = result.expect_err("a refusal");
    let text = format!("{:?} {} {:?}", status.code(), status.message(), status.get_error_details());
    text.replace(order_id, "ORDER")
}

/// What every call that names an order answers to `caller`.
async fn answers(caller: &Tenant, order_id: &str) -> Vec<String> {
    let id = || order_id.to_owned();
    let request_id = || Uuid::new_v4().to_string();
    let (mut orders, mut lifecycle) = (caller.orders(), caller.lifecycle());
    let get = GetOrderRequest { key: Some(Key::OrderId(id())), ..Default::default() };
    let advance = AdvanceOrderRequest { order_id: id(), request_id: request_id(), ..Default::default() };
    let cancel = CancelOrderRequest { order_id: id(), request_id: request_id(), ..Default::default() };
    let reject = RejectOrderRequest { order_id: id(), request_id: request_id(), ..Default::default() };
    let history = ListTransitionsRequest { order_id: id(), ..Default::default() };
    let watch = WatchOrderRequest { order_id: id(), ..Default::default() };
    let mails = ListMailsRequest { order_id: id(), ..Default::default() };
    let resend = ResendMailRequest { order_id: id(), version: 1, ..Default::default() };
    vec![
        told(orders.get_order(get).await, order_id),
        told(lifecycle.advance_order(advance).await, order_id),
        told(lifecycle.cancel_order(cancel).await, order_id),
        told(lifecycle.reject_order(reject).await, order_id),
        told(lifecycle.list_transitions(history).await, order_id),
        told(first(caller.watches().watch_order(watch).await).await, order_id),
        told(caller.mails().list_mails(mails).await, order_id),
        told(caller.mails().resend_mail(resend).await, order_id),
    ]
}

/// The first response of a stream, or why there is none.
pub async fn first<T>(stream: Result<Response<Streaming<T>>, Status>) -> Result<Option<T>, Status> {
    stream?.into_inner().message().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_another_tenant_answers_exactly_like_one_that_never_was() -> Result<()> {
    let environment = environment().await?;
    let (acme, bistro) = (Tenant::start(&environment, "acme").await?, Tenant::start(&environment, "bistro").await?);
    let (order, _) = acme.create(Uuid::new_v4()).await?;
    // Adopted by whichever of the two leads; the services of both work for all tenants.
    acme.ends(&order.order_id).await;
    assert_eq!(answers(&bistro, &order.order_id).await, answers(&bistro, &Uuid::now_v7().to_string()).await);
    let batch = BatchGetOrdersRequest { order_ids: vec![order.order_id.clone()], ..Default::default() };
    let found = bistro.orders().batch_get_orders(batch).await?.into_inner();
    assert_eq!((found.orders, found.missing_order_ids), (vec![], vec![order.order_id.clone()]));
    acme.stop().await?;
    bistro.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_request_ids_and_erasures_are_each_tenants_own() -> Result<()> {
    let environment = environment().await?;
    let (acme, bistro) = (Tenant::start(&environment, "acme").await?, Tenant::start(&environment, "bistro").await?);
    let request_id = Uuid::new_v4();
    let (mine, _) = acme.create(request_id).await?;
    let (theirs, replayed) = bistro.create(request_id).await?;
    assert!(!replayed && mine.order_id != theirs.order_id, "the request id of another tenant was found");
    assert_eq!((mine.number, theirs.number), (1, 1));
    for (tenant, order) in [(&acme, &mine), (&bistro, &theirs)] {
        let get = GetOrderRequest { key: Some(Key::Number(1)), ..Default::default() };
        let found = tenant.orders().get_order(get).await?.into_inner().order.context("an order")?;
        assert_eq!(found.order_id, order.order_id);
    }
    let erase = EraseCustomerRequest { customer_id: "ana".into(), ..Default::default() };
    assert_eq!(bistro.orders().erase_customer(erase).await?.into_inner().erased_orders, 1);
    let get = GetOrderRequest { key: Some(Key::OrderId(mine.order_id.clone())), ..Default::default() };
    let kept = acme.orders().get_order(get).await?.into_inner().order.context("an order")?;
    assert_eq!(kept.customer.context("a customer")?.name, "Ana");
    acme.stop().await?;
    bistro.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_streams_and_their_tokens_hold_for_one_tenant_only() -> Result<()> {
    let environment = environment().await?;
    let (acme, bistro) = (Tenant::start(&environment, "acme").await?, Tenant::start(&environment, "bistro").await?);
    let (mut watching, token) = bistro.watch(Start::Now(Now {})).await?;
    for _ in 0..3 {
        let (order, _) = acme.create(Uuid::new_v4()).await?;
        acme.ends(&order.order_id).await;
    }
    let (own, _) = bistro.create(Uuid::new_v4()).await?;
    // The first transition that the stream shows is of the tenant's own order, although others came before it.
    let shown = transition(&mut watching).await?;
    assert_eq!(shown.order_id, own.order_id);

    let pages = |page_token| ListOrdersRequest { page_size: 1, page_token, ..Default::default() };
    let page = acme.orders().list_orders(pages(String::new())).await?.into_inner();
    assert!(!page.next_page_token.is_empty());
    let refused =
        bistro.orders().list_orders(pages(page.next_page_token)).await.expect_err("a token of another tenant");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let all = bistro.orders().list_orders(ListOrdersRequest::default()).await?.into_inner().orders;
    assert_eq!((all.len(), &all[0].order_id), (1, &own.order_id));

    let refused = acme.watch(token).await.err().context("a token of another tenant")?;
    let status: &Status = refused.downcast_ref().context("a status")?;
    assert_eq!(status.code(), Code::InvalidArgument);
    acme.stop().await?;
    bistro.stop().await
}

/// A database and topics with the shipped workflows.
pub async fn environment() -> Result<Environment> {
    let environment = Environment::new().await?;
    for topic in [topics::ASSIGNMENTS, topics::COURIER_LOCATIONS] {
        environment.create_topic(topic).await?;
    }
    let operator = comanda_state_machine::operator::Operator::connect(&environment.postgres)?;
    operator.store_shipped_workflows().await?;
    operator.close().await;
    Ok(environment)
}

/// The next transition of a stream.
async fn transition(stream: &mut Streaming<WatchOrdersResponse>) -> Result<OrderTransition> {
    loop {
        let response = stream.message().await?.context("the stream ended")?;
        if let Some(Event::Transition(transition)) = response.event {
            return Ok(transition);
        }
    }
}

impl Tenant {
    /// A stream of all orders, and the token of its first response.
    async fn watch(&self, start: Start) -> Result<(Streaming<WatchOrdersResponse>, Start)> {
        let request = WatchOrdersRequest { start: Some(start), ..Default::default() };
        let mut stream = self.watches().watch_orders(request).await?.into_inner();
        let first = stream.message().await?.context("a first response")?;
        Ok((stream, Start::ResumeToken(first.resume_token)))
    }

    /// Waits until an order has ended.
    async fn ends(&self, order_id: &str) {
        eventually("the order ends", || async {
            let get = GetOrderRequest { key: Some(Key::OrderId(order_id.into())), ..Default::default() };
            let order = self.orders().get_order(get).await.ok()?.into_inner().order?;
            (order.phase() == Phase::Succeeded).then_some(())
        })
        .await;
    }

    /// Stops every role.
    pub async fn stop(self) -> Result<()> {
        self.replica.stop().await
    }
}
