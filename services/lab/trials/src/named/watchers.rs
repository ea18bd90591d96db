//! Many watchers: who come back all at once, and who read nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_checker::history::What;
use comanda_proto::v1::{
    WatchFilter, WatchOrdersRequest, watch_orders_request::Start, watch_service_client::WatchServiceClient,
};
use futures::{
    FutureExt,
    future::{LocalBoxFuture, try_join_all},
};
use tokio::time::{sleep, timeout};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};

use super::{
    facts::Facts,
    goal::Goal,
    trial::{Plan, Terms, Trial, step},
};
use crate::{
    cluster::Role,
    nemesis::{Field, Kind},
    workload,
};

const RETURNING: u64 = 10_000;
/// Watchers of each order, and streams of each connection.
const EACH: u64 = 20;
const PER_CONNECTION: u64 = 100;

/// After a restart all watchers are there again.
pub const RETURN: Trial = Trial {
    name: "watchers-return",
    about: "Notification is restarted under 10,000 watchers on 100 connections: all of them go on within 30 s",
    plan: |terms| {
        let watchers = terms.count(RETURNING);
        Plan {
            replicas: 1,
            step_ms: 20_000,
            settings: vec![("COMANDA_WATCH_HEARTBEAT_MS", "15000".into())],
            faults: vec![step(20_000, 1_000, Kind::RoleStopped(Role::Notification), &["notification-0"])],
            workload: workload::Settings {
                orders_per_second: (watchers as f64 / EACH as f64 / 15.0).max(1.0),
                watched: EACH as f64,
                most_streams: watchers as usize,
                order_life_ms: 3_600_000,
                moved: 0.0,
                batches: 0.0,
                connections: watchers.div_ceil(PER_CONNECTION) as usize,
                ..Plan::default().workload
            },
            length_ms: 58_000,
            drain_ms: 120_000,
            ..Plan::default()
        }
    },
    act: None,
    goals: |facts| {
        let (all, late_s, lost) = returned(facts).unwrap_or_default();
        vec![
            Goal::least("watchers before the restart", Some(all as f64), RETURNING as f64 * facts.scale * 0.9),
            Goal::none("watchers that saw nothing again", lost),
            Goal::most("s from the end to the last watcher's first event", Some(late_s), 30.0),
        ]
    },
};

/// How many watchers there were, after how many seconds the last of them saw something again, and how many never did.
fn returned(facts: &Facts<'_>) -> Option<(usize, f64, usize)> {
    let fault = facts.faults("stopped").next()?;
    let mut names: HashMap<&str, Option<u64>> = HashMap::new();
    let clients = facts.case.pick(|line| match &line.what {
        What::Watch { stream, client, .. } => Some((*stream, client.as_str())),
        _ => None,
    });
    for (stream, client) in clients {
        let Some(stream) = facts.case.streams.get(&stream) else { continue };
        if stream.opened_us < fault.from_us && stream.end_us(u64::MAX) >= fault.from_us {
            names.insert(client, None);
        } else if let Some(seen @ None) = names.get_mut(client) {
            // The end of its order is an answer, too.
            let end_us = stream.end.and_then(|(at_us, code, _)| (code == "OK").then_some(at_us));
            *seen = stream.events.first().map(|(at_us, _)| *at_us).or(end_us);
        }
    }
    let last_us = names.values().flatten().max().copied().unwrap_or(fault.from_us);
    let lost = names.values().filter(|seen| seen.is_none()).count();
    Some((names.len(), (last_us - fault.from_us) as f64 / 1e6, lost))
}

const STALLED: u64 = 1_000;
const WINDOW: u32 = 65_535;
const BEFORE: Duration = Duration::from_secs(15);
const STALL: Duration = Duration::from_secs(25);
const OPEN: Duration = Duration::from_secs(10);

/// Readers that take nothing.
pub const STALL_ALL: Trial = Trial {
    name: "stalled-watchers",
    about: "1,000 watchers of all orders read nothing: notification does not grow, and others do not notice",
    plan: |_| Plan {
        replicas: 1,
        workload: workload::Settings { orders_per_second: 80.0, watched: 0.2, ..Plan::default().workload },
        length_ms: 50_000,
        ..Plan::default()
    },
    act: Some(stall),
    goals: |facts| {
        let span = facts.span_us("stalled");
        let delay = |from_us, to_us| facts.delay_ms(from_us, to_us, 99);
        let before = span.and_then(|(from_us, _)| delay(0, from_us)).unwrap_or_default();
        let meanwhile = span.and_then(|(from_us, to_us)| delay(from_us, to_us));
        vec![
            Goal::least(
                "watchers that read nothing",
                facts.most_measured("stalled watchers"),
                STALLED as f64 * facts.scale,
            ),
            Goal::most(
                "MiB that notification grew by",
                span.and_then(|span| facts.growth_mib("notification-0", span)),
                64.0,
            ),
            Goal::most(
                "ms that 99 of 100 transitions took to the first other watcher",
                meanwhile,
                before * 1.5 + 100.0,
            ),
        ]
    },
};

fn stall(field: Arc<Field>, terms: Terms) -> LocalBoxFuture<'static, Result<()>> {
    async move {
        sleep(BEFORE).await;
        let fault = field.recorder.number();
        field.recorder.record(What::Fault { fault, name: "watchers stalled".into(), target: "notification-0".into() });
        let replica = field.cluster.endpoints.of(Role::Notification).next().context("there is no notification")?;
        let (mut streams, address) = (Vec::new(), format!("http://{}", replica.direct));
        let mut left = terms.count(STALLED);
        while left > 0 {
            let now = left.min(PER_CONNECTION);
            // HTTP/2's own windows: larger ones would only let the readers take more before they stall.
            let endpoint = Endpoint::from_shared(address.clone())?.initial_stream_window_size(WINDOW);
            let channel = timeout(OPEN, endpoint.initial_connection_window_size(WINDOW).connect()).await??;
            streams.extend(try_join_all((0..now).map(|_| open(channel.clone()))).await?);
            left -= now;
        }
        field.recorder.record(What::Measured { name: "stalled watchers".into(), value: streams.len() as f64 });
        sleep(STALL).await;
        drop(streams);
        field.recorder.record(What::Heal { fault, failed: None });
        Ok(())
    }
    .boxed_local()
}

/// A stream of all orders, which nobody will read.
async fn open(channel: Channel) -> Result<Streaming<comanda_proto::v1::WatchOrdersResponse>> {
    let request = WatchOrdersRequest {
        filter: Some(WatchFilter::default()),
        start: Some(Start::Now(Default::default())),
        ..Default::default()
    };
    Ok(timeout(OPEN, WatchServiceClient::new(channel).watch_orders(request)).await??.into_inner())
}
