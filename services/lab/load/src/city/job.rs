//! One job, from the way to the pickup to its end.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use comanda_client::{Client, Error};
use comanda_proto::{
    errors::reason,
    v1::{
        Assignment, CompleteAssignmentRequest, MarkArrivedRequest, MarkPickedUpRequest, Place as Stop,
        WithdrawAssignmentRequest,
    },
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    jobs::{Jobs, key_of},
    life::Life,
    link::insist,
    manners::Mood,
    position::Position,
};
use crate::map::Place;

/// Getting in.
const STOP: Duration = Duration::from_secs(1);
/// Longer than dispatch waits for somebody who is not heard from.
const SILENCE: Duration = Duration::from_secs(180);
/// A step that is not allowed yet is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often, before it counts as wrong.
const TRIES: usize = 50;

/// A job of a courier.
pub(super) struct Job<'a> {
    life: &'a Life,
    client: &'a Client,
    position: &'a Position,
    assignment: &'a Assignment,
    /// Whether its end was asked for: that it is shown no more is then no news.
    is_ending: AtomicBool,
}

/// A job that goes no further, by nobody's fault.
struct Over;

impl<'a> Job<'a> {
    pub fn new(life: &'a Life, client: &'a Client, position: &'a Position, assignment: &'a Assignment) -> Self {
        Self { life, client, position, assignment, is_ending: AtomicBool::new(false) }
    }

    /// Does it, as far as it goes.
    pub async fn perform(&self, jobs: &mut Jobs, mood: Mood, is_heard: &watch::Sender<bool>) {
        let book = &self.life.book;
        book.count("jobs shown");
        let key = key_of(self.assignment);
        let steps = self.steps(mood, is_heard);
        tokio::pin!(steps);
        let end = tokio::select! {
            end = &mut steps => end,
            () = jobs.changed(&key, false) => if self.is_ending.load(Relaxed) { steps.await } else { Err(Over) },
        };
        self.position.stop();
        is_heard.send_replace(true);
        book.count(match end {
            Ok(end) => end,
            Err(Over) => "jobs that were taken back",
        });
    }

    /// Continues at the step that the job has reached: a courier may have been away.
    async fn steps(&self, mood: Mood, is_heard: &watch::Sender<bool>) -> Result<&'static str, Over> {
        if self.assignment.arrive_time.is_none() {
            match mood {
                Mood::Willing => self.drive(|trip| trip.pickup.as_ref()).await,
                Mood::Unwilling => return self.withdraw().await,
                Mood::Silent => {
                    is_heard.send_replace(false);
                    sleep(SILENCE).await;
                }
            }
            self.arrived().await?;
            sleep(STOP).await;
        }
        if self.assignment.pickup_time.is_none() {
            self.picked_up().await?;
        }
        self.drive(|trip| trip.dropoff.as_ref()).await;
        self.completed().await?;
        Ok("jobs completed")
    }

    async fn drive(&self, stop: impl Fn(&comanda_proto::v1::Trip) -> Option<&Stop>) {
        let place = self.assignment.trip.as_ref().and_then(stop).and_then(|stop| stop.position).map(Place::from);
        match place {
            Some(place) => self.position.drive(place, self.life.speed).await,
            None => self.life.book.wrong("a job was shown without a place"),
        }
    }

    /// Gives it back half way.
    async fn withdraw(&self) -> Result<&'static str, Over> {
        _ = timeout(2 * STOP, self.drive(|trip| trip.pickup.as_ref())).await;
        let (order_id, attempt) = key_of(self.assignment);
        self.is_ending.store(true, Relaxed);
        let request = WithdrawAssignmentRequest { order_id, attempt, reason: "a flat tyre".into() };
        let sent = insist(|| self.client.withdraw_assignment(request.clone()));
        self.outcome(sent.await.map(|_| ()))?;
        Ok("jobs given back")
    }

    async fn arrived(&self) -> Result<(), Over> {
        self.until_allowed(|order_id, attempt| async move {
            let request = MarkArrivedRequest { order_id, attempt };
            let sent = insist(|| self.client.mark_arrived(request.clone()));
            sent.await.map(|_| ())
        })
        .await
    }

    async fn picked_up(&self) -> Result<(), Over> {
        self.until_allowed(|order_id, attempt| async move {
            let request = MarkPickedUpRequest { order_id, attempt };
            let sent = insist(|| self.client.mark_picked_up(request.clone()));
            sent.await.map(|_| ())
        })
        .await
    }

    async fn completed(&self) -> Result<(), Over> {
        self.is_ending.store(true, Relaxed);
        self.until_allowed(|order_id, attempt| async move {
            let request = CompleteAssignmentRequest { order_id, attempt };
            let sent = insist(|| self.client.complete_assignment(request.clone()));
            sent.await.map(|_| ())
        })
        .await
    }

    /// Repeats a step that the order is not ready for yet.
    async fn until_allowed<F>(&self, step: impl Fn(String, i32) -> F) -> Result<(), Over>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let (order_id, attempt) = key_of(self.assignment);
        for _ in 0..TRIES {
            match step(order_id.clone(), attempt).await {
                Err(error) if is_early(&error) => sleep(AGAIN).await,
                end => return self.outcome(end),
            }
        }
        self.life.book.wrong("a step of a job was not allowed for 10 s");
        Err(Over)
    }

    /// An order may end, or be taken back, at any time. Nothing else may stop a courier.
    fn outcome(&self, result: Result<(), Error>) -> Result<(), Over> {
        let Err(error) = result else { return Ok(()) };
        if ![reason::ASSIGNMENT_ENDED, reason::ALREADY_PICKED_UP].iter().any(|reason| error.is(reason)) {
            self.life.book.wrong(format!("a step of a job failed: {}", error.label()));
        }
        Err(Over)
    }
}

fn is_early(error: &Error) -> bool {
    [reason::NOT_CONFIRMED, reason::NOT_ARRIVED, reason::NOT_PICKED_UP].iter().any(|reason| error.is(reason))
}
