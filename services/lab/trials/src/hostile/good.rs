//! A client that wants nothing but to be served, while others attack.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use comanda_proto::{
    Money,
    v1::{
        CountOrdersRequest, CreateOrderRequest, Customer, Item, ListCouriersRequest, ListWorkflowsRequest,
        WatchOrdersRequest, analytics_service_client::AnalyticsServiceClient,
        dispatch_service_client::DispatchServiceClient, lifecycle_service_client::LifecycleServiceClient,
        order_service_client::OrderServiceClient, watch_orders_request::Start,
        watch_service_client::WatchServiceClient,
    },
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tonic::{Status, transport::Channel};

use super::{
    methods::{ANALYTICS, DISPATCH, LIFECYCLE, ORDERS, WATCHES},
    target::Target,
};

/// Between two calls.
const PAUSE: Duration = Duration::from_millis(20);
/// What a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The client, until it is dropped.
pub struct Good {
    calls: Arc<Mutex<Vec<Call>>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct Call {
    began: Instant,
    took: Duration,
    error: Option<String>,
}

/// How it was served for a while.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// How often it called.
    pub calls: usize,
    /// How long half of the calls took at most.
    pub median: Duration,
    /// How long 99 of 100 calls took at most.
    pub p99: Duration,
    /// How many calls failed.
    pub failed: usize,
    /// What the first of them was told.
    pub error: Option<String>,
}

impl Good {
    /// Begins to call, on a connection of its own.
    pub fn start(target: &Target) -> Self {
        let (target, calls) = (target.clone(), Arc::new(Mutex::new(Vec::new())));
        let noted = calls.clone();
        let task = tokio::spawn(async move {
            let channel = target.channel();
            for service in target.services.iter().copied().cycle() {
                let began = Instant::now();
                let answer = timeout(CALL_TIMEOUT, call(service, channel.clone())).await;
                let error = match answer {
                    Ok(Ok(())) => None,
                    Ok(Err(status)) => Some(format!("{service}: {:?}: {}", status.code(), status.message())),
                    Err(_) => Some(format!("{service}: no answer within {CALL_TIMEOUT:?}")),
                };
                lock(&noted).push(Call { began, took: began.elapsed(), error });
                sleep(PAUSE).await;
            }
        });
        Self { calls, task }
    }

    /// How it was served from `since` until now. Waits for the call that is under way: what kept it waiting did so until now.
    pub async fn served(&self, since: Instant) -> Served {
        let now = Instant::now();
        while lock(&self.calls).last().is_none_or(|call| call.began + call.took < now) {
            sleep(PAUSE).await;
        }
        let calls: Vec<_> = lock(&self.calls).iter().filter(|call| call.began + call.took >= since).cloned().collect();
        let mut took: Vec<_> = calls.iter().map(|call| call.took).collect();
        took.sort_unstable();
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default();
        let errors: Vec<_> = calls.iter().filter_map(|call| call.error.clone()).collect();
        Served {
            calls: calls.len(),
            median: at(0.5),
            p99: at(0.99),
            failed: errors.len(),
            error: errors.first().cloned(),
        }
    }
}

impl Drop for Good {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(calls: &Mutex<Vec<Call>>) -> MutexGuard<'_, Vec<Call>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn call(service: &str, channel: Channel) -> Result<(), Status> {
    match service {
        ORDERS => drop(OrderServiceClient::new(channel).create_order(order()).await?),
        LIFECYCLE => drop(LifecycleServiceClient::new(channel).list_workflows(ListWorkflowsRequest::default()).await?),
        WATCHES => {
            let request =
                WatchOrdersRequest { start: Some(Start::Now(Default::default())), ..WatchOrdersRequest::default() };
            let mut answers = WatchServiceClient::new(channel).watch_orders(request).await?.into_inner();
            answers.message().await?.ok_or_else(|| Status::unknown("the stream ended at once"))?;
        }
        DISPATCH => drop(DispatchServiceClient::new(channel).list_couriers(ListCouriersRequest::default()).await?),
        ANALYTICS => {
            drop(AnalyticsServiceClient::new(channel).count_orders(CountOrdersRequest::default()).await?);
        }
        _ => {}
    }
    Ok(())
}

/// An order of somebody without an address: nobody is written to.
fn order() -> CreateOrderRequest {
    let unit_price = Some(Money { currency_code: "CLP".into(), units: 1990, nanos: 0 });
    CreateOrderRequest {
        customer: Some(Customer { customer_id: "good".into(), ..Customer::default() }),
        items: vec![Item { name: "Mole".into(), quantity: 1, unit_price, ..Item::default() }],
        ..CreateOrderRequest::default()
    }
}
