//! What all watchers together have received.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use comanda_proto::v1::{OrderTransition, WatchOrderResponse, watch_order_response::Event};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use crate::{latency::Recorder, orders::microseconds};

const POLL: Duration = Duration::from_millis(20);
/// Streams to which nothing comes for so long are stuck.
const STUCK: Duration = Duration::from_secs(30);

/// Counts and times.
#[derive(Debug)]
pub(super) struct Receipts {
    started: Instant,
    /// Streams that have told how their order was.
    pub(super) established: AtomicU64,
    /// Transitions that happened while they were watched.
    pub(super) seen: AtomicU64,
    /// Streams that ended with an error.
    pub(super) broken: AtomicU64,
    last_microseconds: AtomicU64,
    latency: Mutex<Recorder>,
}

impl Receipts {
    pub(super) fn new() -> Self {
        let (established, seen, broken, last_microseconds, latency) = Default::default();
        Self { started: Instant::now(), established, seen, broken, last_microseconds, latency }
    }

    /// Counts a response. What a stream tells before `current` had happened before it began.
    pub(super) fn take(&self, response: WatchOrderResponse, is_live: &mut bool) {
        match response.event {
            Some(Event::Current(_)) => {
                *is_live = true;
                self.established.fetch_add(1, Relaxed);
            }
            Some(Event::Transition(transition)) if *is_live => self.see(&transition),
            _ => {}
        }
    }

    fn see(&self, transition: &OrderTransition) {
        let now = (OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000) as i64;
        let happened = transition.transition_time.as_ref().map_or(now, microseconds);
        let age = Duration::from_micros(u64::try_from(now - happened).unwrap_or_default());
        self.latency.lock().expect("no holder panics").record(age);
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_microseconds.fetch_max(elapsed, Relaxed);
        self.seen.fetch_add(1, Relaxed);
    }

    /// When the last transition came.
    pub(super) fn last(&self) -> Instant {
        self.started + Duration::from_micros(self.last_microseconds.load(Relaxed))
    }

    /// How old transitions were when they came, since this was last asked.
    pub(super) fn take_latency(&self) -> Recorder {
        std::mem::take(&mut *self.latency.lock().expect("no holder panics"))
    }

    /// Waits until a counter has reached `wanted`; an error once nothing comes any more.
    pub(super) async fn reach(&self, what: &str, counter: &AtomicU64, wanted: u64) -> Result<()> {
        let (mut before, mut moved) = (0, Instant::now());
        loop {
            let now = counter.load(Relaxed);
            if now >= wanted {
                return Ok(());
            }
            if now != before {
                (before, moved) = (now, Instant::now());
            }
            if moved.elapsed() > STUCK {
                bail!("{what}: {now} of {wanted}, and nothing for {STUCK:?}; {} broken", self.broken.load(Relaxed));
            }
            sleep(POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::Order;

    use super::*;

    fn transition() -> WatchOrderResponse {
        WatchOrderResponse { event: Some(Event::Transition(OrderTransition::default())) }
    }

    #[test]
    fn only_what_comes_after_current_is_seen() {
        let (receipts, mut is_live) = (Receipts::new(), false);
        receipts.take(transition(), &mut is_live);
        receipts.take(WatchOrderResponse { event: Some(Event::Current(Order::default())) }, &mut is_live);
        receipts.take(transition(), &mut is_live);
        assert_eq!((receipts.established.load(Relaxed), receipts.seen.load(Relaxed)), (1, 1));
        assert_eq!(receipts.take_latency().latency("").count, 1);
        assert_eq!(receipts.take_latency().latency("").count, 0);
    }
}
