//! A watcher as the contract wants one: it resumes by its token, takes a snapshot again where that is asked of it, and drops
//! versions that it has seen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use comanda_kit::testing::eventually;
use comanda_proto::v1::{
    WatchOrdersRequest, WatchOrdersResponse, watch_orders_request::Start, watch_orders_response::Event,
    watch_service_client::WatchServiceClient,
};
use tokio::task::AbortHandle;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;

/// A pause between the tries to watch again.
const PAUSE: Duration = Duration::from_millis(50);

/// Watches all orders until it is dropped.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    watching: AbortHandle,
}

#[derive(Debug, Default)]
struct Seen {
    token: Vec<u8>,
    /// The versions of each order as they came, repeated ones left out.
    versions: BTreeMap<String, Vec<i64>>,
    /// The reasons why streams ended.
    ends: Vec<String>,
}

impl Watch {
    /// Begins, and waits until whatever happens from now on will be seen.
    pub async fn start(client: WatchServiceClient<Channel>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let watching = tokio::spawn(watch(client, seen.clone())).abort_handle();
        let watch = Self { seen, watching };
        eventually("the watch has a token", async || (!watch.with(|seen| seen.token.is_empty())).then_some(())).await;
        watch
    }

    /// Waits until every version of these orders was seen, and fails where they came in another order than their own.
    pub async fn sees(&self, order_ids: &[String], versions: &[i64]) {
        let complete =
            |seen: &mut Seen| order_ids.iter().all(|id| seen.versions.get(id).is_some_and(|v| v == versions));
        eventually("the watch has seen everything in order", async || self.with(complete).then_some(())).await;
    }

    /// Why streams ended so far.
    pub fn ends(&self) -> Vec<String> {
        self.with(|seen| seen.ends.clone())
    }

    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().expect("no holder of this lock panics"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn watch(mut client: WatchServiceClient<Channel>, seen: Arc<Mutex<Seen>>) {
    let mut start = Start::Now(Default::default());
    loop {
        let end = follow(&mut client, start, &seen).await.expect_err("a watch of all orders has no good end");
        start = seen.lock().expect("no holder of this lock panics").end(reason(&end));
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow(client: &mut WatchServiceClient<Channel>, start: Start, seen: &Mutex<Seen>) -> Result<(), Status> {
    let request = WatchOrdersRequest { start: Some(start), ..Default::default() };
    let mut stream = client.watch_orders(request).await?.into_inner();
    while let Some(response) = stream.message().await? {
        seen.lock().expect("no holder of this lock panics").note(response);
    }
    Err(Status::unknown("the stream ended without an error"))
}

/// The reason that an error carries, or its code where it comes from the transport.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| format!("{:?}", status.code()), |info| info.reason)
}

impl Seen {
    /// Notes why a stream ended, and says how to go on.
    fn end(&mut self, reason: String) -> Start {
        let expired = reason == "TOKEN_EXPIRED";
        self.ends.push(reason);
        match () {
            () if self.token.is_empty() => Start::Now(Default::default()),
            () if expired => Start::Snapshot(Default::default()),
            () => Start::ResumeToken(self.token.clone().into()),
        }
    }

    fn note(&mut self, response: WatchOrdersResponse) {
        if !response.resume_token.is_empty() {
            self.token = response.resume_token.to_vec();
        }
        let (order_id, version) = match response.event {
            Some(Event::Transition(transition)) => (transition.order_id, transition.version),
            Some(Event::Current(order)) => (order.order_id, order.version),
            _ => return,
        };
        let versions = self.versions.entry(order_id).or_default();
        if versions.last().is_none_or(|last| version > *last) {
            versions.push(version);
        }
    }
}
