//! Couriers: they go online, say where they are, watch what there is for them to do, and do most of it. Sometimes they decline, give a job
//! back, or are not heard from.

mod commands;
mod jobs;

use std::{sync::Arc, time::Duration};

use comanda_checker::history::{CourierAction, Job};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::watch, time::sleep};

use self::commands::{Caller, End, Target};
use super::clients::Clients;

/// How many jobs one has at once.
const CAPACITY: i32 = 1;
/// How often it says where it is, at most and at least.
const LOCATE_MS: (u64, u64) = (1_500, 3_000);
/// How long a part of a job takes.
const PART_MS: (u64, u64) = (50, 400);
const THOUGHT_MS: (u64, u64) = (20, 500);
/// Of offers.
const DECLINES: f64 = 0.1;
const IGNORES: f64 = 0.03;
/// Of jobs.
const GIVEN_BACK: f64 = 0.06;
const SILENT: f64 = 0.005;
/// Longer than dispatch waits for somebody who is not heard from.
const SILENCE: Duration = Duration::from_secs(135);
/// After a job, so many pause for a while.
const PAUSES: f64 = 0.05;
const PAUSE_MS: (u64, u64) = (500, 4_000);
/// Where the outcome is open, it is asked for again after so long.
const AGAIN: Duration = Duration::from_millis(300);

/// A courier.
pub(super) struct Courier {
    caller: Caller,
    rng: StdRng,
}

impl Courier {
    pub(super) fn new(clients: Arc<Clients>, n: usize, mut rng: StdRng) -> Self {
        let caller = Caller { clients, courier_id: format!("courier-{n}"), rng: StdRng::from_rng(&mut rng) };
        Self { caller, rng }
    }

    /// Until the run's last look.
    pub(super) async fn run(mut self) {
        let last_look = self.caller.clients.last_look.clone();
        let work = async {
            self.until_done(CourierAction::Register).await;
            self.until_done(CourierAction::GoOnline).await;
            let (sender, receiver) = watch::channel(Vec::new());
            let is_heard = watch::Sender::new(true);
            let (mut watching, mut locating) = (self.caller.fork(), self.caller.fork());
            let heard = is_heard.subscribe();
            tokio::join!(
                jobs::follow(&mut watching, sender),
                locate(&mut locating, heard),
                self.work(receiver, is_heard)
            );
        };
        last_look.run_until_cancelled(work).await;
        self.until_done(CourierAction::GoOffline).await;
    }

    /// What cannot be refused is asked for until it is done.
    async fn until_done(&mut self, action: CourierAction) {
        while self.caller.send(action, &Target::default()).await != End::Done {
            sleep(AGAIN).await;
        }
    }

    async fn work(&mut self, mut jobs: watch::Receiver<Vec<Job>>, is_heard: watch::Sender<bool>) {
        loop {
            let Ok(job) = jobs.wait_for(|jobs| !jobs.is_empty()).await.map(|jobs| jobs[0].clone()) else { return };
            let target = Target { order_id: job.order_id.clone(), attempt: job.attempt };
            let is_offer = job.state == "offered";
            let is_same = |other: &Job| {
                (&other.order_id, other.attempt, &other.state) == (&job.order_id, job.attempt, &job.state)
            };
            let mut shown = jobs.clone();
            // Somebody else may end it at any time.
            let gone = async { _ = shown.wait_for(|jobs| !jobs.iter().any(is_same)).await };
            let done = async {
                if is_offer {
                    self.answer(&target).await
                } else {
                    self.perform(&target, &is_heard).await
                }
                // Until it is gone from the list, which a fault may make last.
                sleep(10 * AGAIN).await;
            };
            tokio::select! {
                () = gone => {}
                () = done => {}
            }
            is_heard.send_replace(true);
            if !is_offer && self.rng.random_bool(PAUSES) {
                self.pause().await;
            }
        }
    }

    async fn pause(&mut self) {
        self.until_done(CourierAction::GoOffline).await;
        self.wait(PAUSE_MS).await;
        self.until_done(CourierAction::GoOnline).await;
    }

    async fn answer(&mut self, target: &Target) {
        self.wait(THOUGHT_MS).await;
        match self.rng.random::<f64>() {
            point if point < IGNORES => std::future::pending().await,
            point if point < IGNORES + DECLINES => self.step(CourierAction::Decline, target).await,
            _ => self.step(CourierAction::Accept, target).await,
        };
    }

    /// Does a job, from the step that it has reached: a step that was taken before changes nothing.
    async fn perform(&mut self, target: &Target, is_heard: &watch::Sender<bool>) {
        self.wait(PART_MS).await;
        match self.rng.random::<f64>() {
            point if point < GIVEN_BACK => {
                self.step(CourierAction::Withdraw, target).await;
                return;
            }
            point if point < GIVEN_BACK + SILENT => {
                is_heard.send_replace(false);
                // When the clients are to end it is heard from again.
                self.caller.clients.pause(SILENCE).await;
                is_heard.send_replace(true);
            }
            _ => {}
        }
        for action in [CourierAction::Arrive, CourierAction::PickUp, CourierAction::Complete] {
            self.wait(PART_MS).await;
            if !self.step(action, target).await {
                return;
            }
        }
    }

    /// Takes a step, for as long as it is early or its outcome open. False where it cannot be taken any more.
    async fn step(&mut self, action: CourierAction, target: &Target) -> bool {
        loop {
            match self.caller.send(action, target).await {
                End::Done => return true,
                End::Refused => return false,
                End::Early | End::Unknown => sleep(AGAIN).await,
            }
        }
    }

    async fn wait(&mut self, (least_ms, most_ms): (u64, u64)) {
        sleep(Duration::from_millis(self.rng.random_range(least_ms..=most_ms))).await;
    }
}

/// Says where a courier is, for ever.
async fn locate(caller: &mut Caller, mut is_heard: watch::Receiver<bool>) {
    while is_heard.wait_for(|is_heard| *is_heard).await.is_ok() {
        caller.send(CourierAction::Locate, &Target::default()).await;
        let wait = Duration::from_millis(caller.rng.random_range(LOCATE_MS.0..=LOCATE_MS.1));
        sleep(wait).await;
    }
}
