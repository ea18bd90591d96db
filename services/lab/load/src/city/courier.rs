//! A courier's day.

use std::{sync::Arc, time::Duration};

use comanda_client::{Client, Error};
use comanda_proto::{
    errors::reason,
    v1::{
        AcceptOfferRequest, Assignment, AssignmentState, Courier as Registered, CourierStatus, DeclineOfferRequest,
        RegisterCourierRequest, SetCourierStatusRequest,
    },
};
use rand::{RngExt, rngs::StdRng};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    job::Job,
    jobs::{self, Jobs, key_of},
    life::Life,
    link::insist,
    position::{self, Position},
};

const KIND: u64 = 1;
/// How many jobs at once.
const CAPACITY: usize = 1;
const NAMES: [&str; 8] = ["Lucía", "Mateo", "Sofía", "Hugo", "Valeria", "Diego", "Camila", "Andrés"];
const VEHICLES: [&str; 5] =
    ["white Toyota Corolla", "blue Seat León", "grey Kia Niro", "red Dacia Logan", "black Skoda Octavia"];
/// How long an answer to an offer is thought over at most.
const THINK_MS: u64 = 1500;
/// How long the server has to take an ended job from the list.
const CLEAR: Duration = Duration::from_secs(5);
/// The last call of a day is not waited for longer.
const GOODBYE: Duration = Duration::from_secs(10);

/// Somebody who drives.
pub(super) struct Courier {
    life: Arc<Life>,
    client: Client,
    id: String,
    number: u64,
    position: Position,
    random: StdRng,
}

impl Courier {
    pub fn new(life: &Arc<Life>, n: u64) -> Self {
        let mut random = life.chance(KIND, n);
        let place = life.demand.end(&mut random);
        Self {
            life: life.clone(),
            client: life.links.of(n),
            id: format!("{}-{n}", life.names),
            number: n,
            position: Position::at(place),
            random,
        }
    }

    /// Works until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let online = self.go_online().await;
        let failed = online.is_err();
        self.life.book.is_online(online.map_err(|error| error.to_string()));
        if failed {
            return;
        }
        let (sender, receiver) = watch::channel(Vec::new());
        let is_heard = watch::Sender::new(true);
        let life = self.life.clone();
        let following = jobs::follow(self.client.clone(), self.id.clone(), CAPACITY, &life.book, sender);
        let reporting =
            position::report(self.client.clone(), self.id.clone(), self.position.clone(), is_heard.subscribe());
        let working = self.work(Jobs::new(receiver), is_heard);
        tokio::select! {
            () = stop.cancelled() => {}
            _ = async { tokio::join!(following, reporting, working) } => {}
        }
        _ = timeout(GOODBYE, self.set(CourierStatus::Offline)).await;
    }

    async fn go_online(&self) -> Result<(), Error> {
        let courier = Registered {
            courier_id: self.id.clone(),
            name: NAMES[self.number as usize % NAMES.len()].into(),
            vehicle: VEHICLES[self.number as usize % VEHICLES.len()].into(),
            plate: format!("{:04} LDR", self.number % 10_000),
            capacity: CAPACITY as i32,
            ..Default::default()
        };
        let request = RegisterCourierRequest { courier: Some(courier) };
        insist(|| self.client.register_courier(request.clone())).await?;
        self.set(CourierStatus::Available).await
    }

    async fn set(&self, status: CourierStatus) -> Result<(), Error> {
        let request =
            SetCourierStatusRequest { courier_id: self.id.clone(), status: status.into(), ..Default::default() };
        insist(|| self.client.set_courier_status(request.clone())).await.map(|_| ())
    }

    /// One job after the other.
    async fn work(&mut self, mut jobs: Jobs, is_heard: watch::Sender<bool>) {
        while let Some(assignment) = jobs.next().await {
            if assignment.state() == AssignmentState::Offered {
                self.answer(&assignment, &mut jobs).await;
            } else {
                let mood = self.life.manners.mood(&mut self.random);
                let job = Job::new(&self.life, &self.client, &self.position, &assignment);
                job.perform(&mut jobs, mood, &is_heard).await;
                if timeout(CLEAR, jobs.changed(&key_of(&assignment), false)).await.is_err() {
                    self.life.book.count("jobs that were still shown 5 s after their end");
                }
            }
        }
    }

    /// Takes an offer or not, after a thought; it may be gone by then.
    async fn answer(&mut self, offer: &Assignment, jobs: &mut Jobs) {
        let key = key_of(offer);
        let thought = Duration::from_millis(self.random.random_range(100..THINK_MS));
        let declines = self.life.manners.declines(&mut self.random);
        if timeout(thought, jobs.changed(&key, true)).await.is_ok() {
            return self.life.book.count("offers that ended before an answer");
        }
        let (order_id, attempt) = key.clone();
        let answered = if declines {
            let request = DeclineOfferRequest { order_id, attempt, reason: "too far".into() };
            let sent = insist(|| self.client.decline_offer(request.clone()));
            sent.await.map(|_| "offers declined")
        } else {
            let request = AcceptOfferRequest { order_id, attempt };
            let sent = insist(|| self.client.accept_offer(request.clone()));
            sent.await.map(|_| "offers accepted")
        };
        let is_late = |error: &Error| [reason::OFFER_EXPIRED, reason::ASSIGNMENT_ENDED].iter().any(|it| error.is(it));
        match answered {
            Ok(what) => self.life.book.count(what),
            Err(error) if is_late(&error) => self.life.book.count("offers that ended before an answer"),
            Err(error) => self.life.book.wrong(format!("an offer could not be answered: {}", error.label())),
        }
        // Shown as an offer for a moment more; one that was accepted is shown again once it is confirmed.
        if timeout(CLEAR, jobs.changed(&key, true)).await.is_err() {
            sleep(super::link::PAUSE).await;
        }
    }
}
