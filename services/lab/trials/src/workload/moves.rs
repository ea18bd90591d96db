//! Clients that move orders: ahead of their timers, at the same time as those, and where it is not allowed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use comanda_checker::history::{Answer, Op, Order};
use comanda_proto::v1::{AdvanceOrderRequest, CancelOrderRequest, OrderTransition, RejectOrderRequest};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tonic::Status;

use super::{
    calls::{Attempt, Patience, Tries},
    clients::Clients,
    content, reads, shown,
};
use crate::cluster::Role;

const TWINS: f64 = 0.1;
const REPEATS: f64 = 0.15;
/// How often another command is sent under the request id of one that was applied.
const OTHERS_UNDER_ITS_ID: f64 = 0.05;
/// How often a move is aimed at the moment when the order's timer is due.
const AT_THE_TIMER: f64 = 0.4;
/// How far before or after that moment it is sent.
const AROUND_THE_TIMER_MS: i64 = 5;
/// The longest that a mover waits for a timer.
const MOST_WAIT: Duration = Duration::from_secs(60);
/// How often a mover looks for that moment, and after what time again.
const MOST_LOOKS: usize = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const TRIGGERS: [&str; 5] = ["advance", "advance", "advance", "cancel", "reject"];
/// Statuses that are named; often ones that cannot be entered.
const STATUSES: [&str; 5] = ["received", "preparing", "dispatched", "delivered", "completed"];

/// A client that moves one order some times.
pub(super) struct Mover {
    pub(super) clients: Arc<Clients>,
    pub(super) name: String,
    pub(super) rng: StdRng,
    /// As it was last seen.
    pub(super) order: Order,
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Command {
    trigger: &'static str,
    order_id: String,
    request_id: Option<String>,
    expected_version: Option<i64>,
    to_status: Option<String>,
}

impl Mover {
    pub(super) async fn run(mut self) {
        let races = self.clients.settings.races;
        if races > 0.0 && self.rng.random_bool(races) {
            return self.race().await;
        }
        for _ in 0..self.rng.random_range(1..=3) {
            if !self.wait().await || !self.move_once().await {
                return;
            }
        }
    }

    /// Cancels this version of the order, and no later one, just when its timer ends it.
    async fn race(&mut self) {
        // Who has just created an order does not know yet when its timer is due.
        for _ in 0..MOST_LOOKS {
            if self.order.next_time_us.is_some() || !self.clients.pause(LOOK_AGAIN).await {
                break;
            }
            self.look().await;
        }
        let request_id = Some(content::uuid(&mut self.rng));
        let (order_id, expected_version) = (self.order.order_id.clone(), Some(self.order.version));
        let command = Command { trigger: "cancel", order_id, request_id, expected_version, to_status: None };
        let wait = self.until_the_timer();
        if !self.clients.pause(wait).await {
            return;
        }
        let (mut attempt, mut tries) = (self.send(&command).await, Tries::default());
        while attempt.is_unknown() && tries.next(&mut self.rng).await {
            attempt = self.send(&command).await;
        }
    }

    fn until_the_timer(&mut self) -> Duration {
        let offset_ms = self.rng.random_range(-AROUND_THE_TIMER_MS..=AROUND_THE_TIMER_MS);
        let due_us = self.order.next_time_us.unwrap_or_default().saturating_add(offset_ms * 1000);
        Duration::from_micros(u64::try_from(due_us - now_us()).unwrap_or_default()).min(MOST_WAIT)
    }

    /// Until just around the order's timer, or for a random time. False where nothing new is to be started.
    async fn wait(&mut self) -> bool {
        let wait = if !self.is_ride() && self.rng.random_bool(AT_THE_TIMER) {
            self.look().await;
            self.until_the_timer()
        } else {
            Duration::from_millis(self.rng.random_range(0..=self.clients.settings.order_life_ms))
        };
        self.clients.pause(wait).await
    }

    /// Its timer is not its next step, but what comes where there is no courier.
    fn is_ride(&self) -> bool {
        self.order.workflow == content::RIDE
    }

    async fn look(&mut self) {
        if let Some(Answer::Order { order }) = reads::get(&self.clients, &self.name, &self.order, &mut self.rng).await {
            self.order = order;
        }
    }

    /// False once the order has ended.
    async fn move_once(&mut self) -> bool {
        let command = Command::draw(&self.order, &mut self.rng);
        let has_request_id = command.request_id.is_some();
        let is_twin = has_request_id && self.rng.random_bool(TWINS);
        let mut attempt = if is_twin { self.twins(&command).await } else { self.send(&command).await };
        let mut tries = Tries::default();
        while attempt.may_be_repeated(has_request_id) && tries.next(&mut self.rng).await {
            attempt = self.send(&command).await;
        }
        if attempt.is_ok() && has_request_id && self.rng.random_bool(REPEATS) {
            self.send(&command).await;
        }
        if attempt.is_ok() && has_request_id && self.rng.random_bool(OTHERS_UNDER_ITS_ID) {
            let other = command.other(&mut self.rng);
            self.send(&other).await;
        }
        self.learn(&attempt);
        self.order.phase == "active" && attempt.reason.as_deref() != Some("ORDER_ENDED")
    }

    fn learn(&mut self, attempt: &Attempt) {
        if let Some(Answer::Moved { transition, .. }) = &attempt.answer
            && transition.version > self.order.version
        {
            self.order.version = transition.version;
            self.order.phase.clone_from(&transition.phase);
            self.order.next_time_us = transition.next_time_us;
        }
    }

    async fn twins(&mut self, command: &Command) -> Attempt {
        let (clients, name) = (self.clients.clone(), self.name.clone());
        let (mut one, mut other) = (StdRng::from_rng(&mut self.rng), StdRng::from_rng(&mut self.rng));
        let (one, other) =
            tokio::join!(send(&clients, &name, command, &mut one), send(&clients, &name, command, &mut other));
        if other.is_ok() { other } else { one }
    }

    async fn send(&mut self, command: &Command) -> Attempt {
        send(&self.clients, &self.name, command, &mut self.rng).await
    }
}

async fn send(clients: &Clients, name: &str, command: &Command, rng: &mut StdRng) -> Attempt {
    let way = clients.replicas.any(Role::StateMachine, rng);
    let mut client = way.lifecycle();
    let Command { trigger, order_id, request_id, expected_version, to_status } = command.clone();
    let op = Op::Move {
        trigger: trigger.into(),
        order_id: order_id.clone(),
        request_id: request_id.clone(),
        expected_version,
        to_status: to_status.clone(),
    };
    let (request_id, expected_version) = (request_id.unwrap_or_default(), expected_version.unwrap_or_default());
    let reason = format!("a trial: {name}");
    let call = async {
        match trigger {
            "cancel" => {
                let request = CancelOrderRequest { order_id, request_id, expected_version, reason };
                let response = client.cancel_order(request).await?.into_inner();
                moved(response.transition, response.replayed)
            }
            "reject" => {
                let request = RejectOrderRequest { order_id, request_id, expected_version, reason };
                let response = client.reject_order(request).await?.into_inner();
                moved(response.transition, response.replayed)
            }
            _ => {
                let to_status = to_status.unwrap_or_default();
                let request = AdvanceOrderRequest { order_id, request_id, expected_version, to_status, reason };
                let response = client.advance_order(request).await?.into_inner();
                moved(response.transition, response.replayed)
            }
        }
    };
    clients.call(name, &way.replica, op, Patience::draw(&clients.settings, rng), call).await
}

/// Asks for a step ahead, into a status.
pub(super) async fn advance(
    clients: &Clients,
    name: &str,
    order_id: &str,
    request_id: &str,
    to_status: &str,
    rng: &mut StdRng,
) -> Attempt {
    let command = Command {
        trigger: "advance",
        order_id: order_id.into(),
        request_id: Some(request_id.into()),
        expected_version: None,
        to_status: Some(to_status.into()),
    };
    send(clients, name, &command, rng).await
}

fn moved(transition: Option<OrderTransition>, replayed: bool) -> Result<Answer, Status> {
    let transition = transition.ok_or_else(|| Status::internal("OK without a transition"))?;
    Ok(Answer::Moved { transition: shown::transition(&transition), replayed })
}

impl Command {
    fn draw(order: &Order, rng: &mut StdRng) -> Self {
        // Of a ride, all other steps are those of its courier.
        let is_ride = order.workflow == content::RIDE;
        let trigger = if is_ride { "cancel" } else { *TRIGGERS.choose(rng).expect("there are some") };
        let is_advance = trigger == "advance";
        let expected_version = rng.random_bool(0.3).then_some(order.version);
        let to_status = (is_advance && rng.random_bool(0.25)).then(|| STATUSES.choose(rng).expect("some").to_string());
        // An advance that nothing makes repeatable is refused; that is for others to try.
        let needs_id = is_advance && expected_version.is_none() && to_status.is_none();
        let request_id = (needs_id || rng.random_bool(0.8)).then(|| content::uuid(rng));
        Self { trigger, order_id: order.order_id.clone(), request_id, expected_version, to_status }
    }
}

impl Command {
    /// Another command under the same request id: another trigger, or another status.
    fn other(&self, rng: &mut StdRng) -> Self {
        let to_status = STATUSES.iter().filter(|status| self.to_status.as_deref() != Some(**status));
        let to_status = to_status.copied().collect::<Vec<_>>().choose(rng).map(|status| (*status).to_owned());
        match self.trigger {
            "advance" if rng.random_bool(0.5) => Self { to_status, ..self.clone() },
            "cancel" => Self { trigger: "reject", ..self.clone() },
            _ => Self { trigger: "cancel", to_status: None, ..self.clone() },
        }
    }
}

/// Microseconds since 1970; the database's clock is that of this machine.
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advance_can_always_be_told_from_another() {
        let order = Order { order_id: "o".into(), version: 2, ..order() };
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..1000 {
            let command = Command::draw(&order, &mut rng);
            let is_repeatable =
                command.request_id.is_some() || command.expected_version.is_some() || command.to_status.is_some();
            assert!(command.trigger != "advance" || is_repeatable, "{command:?}");
            assert!(command.trigger == "advance" || command.to_status.is_none(), "{command:?}");
        }
    }

    #[test]
    fn another_command_under_the_same_id_differs_from_the_first() {
        let order = Order { order_id: "o".into(), version: 2, ..order() };
        let mut rng = StdRng::seed_from_u64(2);
        for _ in 0..1000 {
            let command = Command::draw(&order, &mut rng);
            let other = command.other(&mut rng);
            assert_eq!(other.request_id, command.request_id);
            assert_ne!((other.trigger, &other.to_status), (command.trigger, &command.to_status));
        }
    }

    fn order() -> Order {
        shown::order(&comanda_proto::v1::Order::default())
    }
}
