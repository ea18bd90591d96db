//! Keys that are used at every replica, revoked, and shown again once every server must have noticed.

use std::time::Duration;

use anyhow::Result;
use comanda_checker::history::{Op, What};
use futures::future::{join_all, pending};
use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    cluster::{Replica, Role, STALE, Tenant},
    nemesis::Field,
    raw,
    workload::shown,
};

/// While a key is good, and after it was revoked, it is shown so often.
const PAUSE: Duration = Duration::from_millis(500);
const GOOD: Duration = Duration::from_secs(2);
/// A server may believe a key for so long. The rest is for the command that revokes it, and for processes that get no processor.
const NOTICED: Duration = Duration::from_secs(STALE.as_secs() + 4);
const REVOKED: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(5);

/// A replica, with a call that every owner may make.
struct Door<'r> {
    replica: &'r Replica,
    channel: Channel,
    method: &'static str,
}

/// Key after key, for ever. Nothing where servers ask for none.
pub(super) async fn show_keys(field: &Field) {
    let endpoints = &field.cluster.endpoints;
    let doors: Result<Vec<_>> = endpoints.replicas.iter().filter_map(|replica| Door::of(replica).transpose()).collect();
    let Some(doors) = doors.ok().filter(|_| endpoints.tenants.len() > 1) else { return pending().await };
    for n in 0_u64.. {
        // A fault may keep the command from its end; then the next key is as good.
        if let Err(error) = show_key(field, &doors, &format!("passing-{n}")).await {
            eprintln!("no key was revoked: {error:#}");
            sleep(PAUSE).await;
        }
    }
}

async fn show_key(field: &Field, doors: &[Door<'_>], name: &str) -> Result<()> {
    let key = field.cluster.make_key(name).await?;
    let until = Instant::now() + GOOD;
    while Instant::now() < until {
        join_all(doors.iter().map(|door| door.show(&key.tenant))).await;
        sleep(PAUSE).await;
    }
    field.cluster.revoke_key(&key).await?;
    // It is shown all the time: a server that is not asked forgets a key by itself.
    let (noticed, until) = (Instant::now() + NOTICED, Instant::now() + NOTICED + REVOKED);
    while Instant::now() < until {
        let is_over = Instant::now() > noticed;
        join_all(doors.iter().map(async |door| {
            if is_over { door.show_revoked(field, &key.tenant).await } else { _ = door.show(&key.tenant).await }
        }))
        .await;
        sleep(PAUSE).await;
    }
    Ok(())
}

impl<'r> Door<'r> {
    fn of(replica: &'r Replica) -> Result<Option<Self>> {
        let method = match replica.role {
            Role::Ordering => "/comanda.v1.OrderService/ListOrders",
            Role::StateMachine => "/comanda.v1.LifecycleService/ListWorkflows",
            Role::Notification => "/comanda.v1.MailService/ListMails",
            Role::Dispatch => "/comanda.v1.DispatchService/ListCouriers",
            Role::Analytics => "/comanda.v1.AnalyticsService/GetAnalyticsState",
            Role::Gateway => return Ok(None),
        };
        let channel = Endpoint::from_shared(format!("http://{}", replica.address))?.connect_lazy();
        Ok(Some(Self { replica, channel, method }))
    }

    async fn show(&self, tenant: &Tenant) -> Result<(), Status> {
        let call = raw::call(self.channel.clone(), self.method, tenant.request(Vec::new()));
        let timed_out = |_| Status::deadline_exceeded("no answer in time");
        timeout(PATIENCE, call).await.map_err(timed_out)?.map(drop)
    }

    async fn show_revoked(&self, field: &Field, tenant: &Tenant) {
        let (call, recorder) = (field.recorder.number(), &field.recorder);
        let (client, replica) = ("revoked".to_owned(), self.replica.name.clone());
        let op = Op::Foreign { what: format!("a revoked key in {}", self.method) };
        recorder.record(What::Invoke { call, client, tenant: tenant.name.clone(), replica, op });
        let (code, reason) = match self.show(tenant).await {
            Ok(()) => ("OK", None),
            Err(status) => (shown::name(shown::code(&status)), shown::reason(&status)),
        };
        recorder.record(What::Return { call, code: code.into(), reason, answer: None });
    }
}
