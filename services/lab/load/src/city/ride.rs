//! Somebody who asks for a ride, watches it, and sometimes cancels it.

use std::{sync::Arc, time::Duration};

use comanda_client::{Client, Error, OrderWatch, Update, is_terminal};
use comanda_proto::{
    Money,
    v1::{
        CancelOrderRequest, CourierUpdate, CreateOrderRequest, Customer, Item, OrderTransition, Trip,
        WatchOrderRequest, WatchOrderResponse, watch_order_response::Event,
    },
};
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    book::{ASKED, Book},
    life::Life,
    link::insist,
};
use crate::map::Place;

const KIND: u64 = 2;
/// Nobody waits so long to cancel.
const NEVER: Duration = Duration::from_secs(30 * 24 * 3600);
const FARE_PER_KM: f64 = 1.2;

/// A ride.
pub(super) struct Ride {
    life: Arc<Life>,
    client: Client,
    n: u64,
    trip: (Place, Place),
    cancels_after: Option<Duration>,
}

impl Ride {
    pub fn new(life: &Arc<Life>, n: u64) -> Self {
        let mut random: StdRng = life.chance(KIND, n);
        let trip = life.demand.trip(n, &mut random);
        let cancels_after = life.manners.cancels_after(&mut random);
        Self { life: life.clone(), client: life.links.of(n), n, trip, cancels_after }
    }

    /// From asking to its end.
    pub async fn run(self) {
        if let Err(error) = self.follow().await {
            self.life.book.wrong(format!("a ride failed: {} ({})", error.message, error.label()));
        }
    }

    async fn follow(&self) -> Result<(), Error> {
        let (book, asked) = (&self.life.book, Instant::now());
        book.moved("", ASKED);
        let request = self.request();
        let created = insist(|| self.client.create_order(request.clone())).await?;
        let order_id = created.order.unwrap_or_default().order_id;
        let mut watch = self.watch(&order_id).await?;
        let mut seen = Seen { book, asked, status: ASKED.into(), has_ended: false, courier: false };
        let cancelling = sleep_until(asked + self.cancels_after.unwrap_or(NEVER));
        tokio::pin!(cancelling);
        let mut is_cancelled = false;
        loop {
            tokio::select! {
                update = watch.next() => match update? {
                    Some(Update::Event(response)) => seen.take(response),
                    Some(Update::Interrupted(_)) => {}
                    None => break,
                },
                () = &mut cancelling, if !is_cancelled => {
                    is_cancelled = true;
                    self.cancel(&order_id).await;
                }
            }
        }
        seen.end();
        Ok(())
    }

    async fn watch(&self, order_id: &str) -> Result<OrderWatch, Error> {
        let request = WatchOrderRequest { order_id: order_id.into(), ..Default::default() };
        insist(|| self.client.watch_order(request.clone())).await
    }

    /// It may be too late; the watch tells.
    async fn cancel(&self, order_id: &str) {
        let request = CancelOrderRequest {
            order_id: order_id.into(),
            reason: "changed my mind".into(),
            request_id: Uuid::new_v4().to_string(),
            ..Default::default()
        };
        let done = insist(|| self.client.cancel_order(request.clone())).await;
        self.life.book.count(if done.is_ok() { "rides cancelled" } else { "rides that were to be cancelled too late" });
    }

    fn request(&self) -> CreateOrderRequest {
        let (from, to) = self.trip;
        let cents = (200.0 + from.metres_to(to) / 10.0 * FARE_PER_KM) as i64;
        let unit_price =
            Money { currency_code: "EUR".into(), units: cents / 100, nanos: (cents % 100) as i32 * 10_000_000 };
        CreateOrderRequest {
            request_id: Uuid::new_v4().to_string(),
            customer: Some(Customer {
                customer_id: format!("{}-c{}", self.life.names, self.n),
                name: "Ana Pérez".into(),
                email: format!("ana.{}@example.com", self.n),
                locale: if self.n.is_multiple_of(2) { "es" } else { "en" }.into(),
            }),
            items: vec![Item { sku: "RIDE".into(), name: "Ride".into(), quantity: 1, unit_price: Some(unit_price) }],
            workflow: self.life.workflow.clone(),
            trip: Some(Trip {
                pickup: Some(from.of_trip("")),
                dropoff: Some(to.of_trip("")),
                load: 1,
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// What the watcher of a ride has seen.
struct Seen<'a> {
    book: &'a Book,
    asked: Instant,
    status: String,
    has_ended: bool,
    /// Whether it knows who comes.
    courier: bool,
}

impl Seen<'_> {
    fn take(&mut self, response: WatchOrderResponse) {
        match response.event {
            Some(Event::Transition(transition)) => self.moved(&transition),
            Some(Event::Courier(courier)) => self.told(&courier),
            _ => {}
        }
    }

    fn moved(&mut self, transition: &OrderTransition) {
        self.book.moved(&self.status, &transition.to_status);
        match transition.to_status.as_str() {
            "confirmed" => self.book.confirmed.record(self.asked.elapsed()),
            "on_trip" => self.book.picked_up.record(self.asked.elapsed()),
            _ => {}
        }
        self.status.clone_from(&transition.to_status);
        self.has_ended = is_terminal(transition.phase());
    }

    /// A courier is shown from confirmed to the end.
    fn told(&mut self, courier: &CourierUpdate) {
        if courier.attempt == 0 {
            return;
        }
        if self.has_ended {
            self.book.wrong("a ride that had ended was shown a courier");
        } else if self.status == "requested" {
            self.book.wrong("a ride that was not confirmed was shown a courier");
        }
        self.courier = true;
    }

    fn end(&self) {
        if self.courier {
            self.book.count("rides that were shown their courier");
        }
        if !self.has_ended {
            self.book.wrong("a watch ended before its ride");
        }
        if self.status == "completed" && !self.courier {
            self.book.wrong("a ride was completed by a courier whom its watcher was never shown");
        }
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::Phase;

    use super::*;

    fn seen(book: &Book, statuses: &[(&str, Phase)], courier_after: usize) -> Vec<String> {
        let mut seen = Seen { book, asked: Instant::now(), status: ASKED.into(), has_ended: false, courier: false };
        for (n, (status, phase)) in statuses.iter().enumerate() {
            let transition =
                OrderTransition { to_status: (*status).into(), phase: (*phase).into(), ..Default::default() };
            seen.take(WatchOrderResponse { event: Some(Event::Transition(transition)) });
            if n == courier_after {
                let courier = CourierUpdate { attempt: 1, ..Default::default() };
                seen.take(WatchOrderResponse { event: Some(Event::Courier(courier)) });
            }
        }
        seen.end();
        book.summary().wrong.into_keys().collect()
    }

    #[tokio::test]
    async fn a_courier_before_confirmed_or_after_the_end_is_wrong() {
        let ride = [("requested", Phase::Active), ("confirmed", Phase::Active), ("completed", Phase::Succeeded)];
        assert_eq!(seen(&Book::new(1), &ride, 1), [""; 0]);
        assert_eq!(seen(&Book::new(1), &ride, 0), ["a ride that was not confirmed was shown a courier"]);
        assert_eq!(seen(&Book::new(1), &ride, 2), ["a ride that had ended was shown a courier"]);
        assert!(seen(&Book::new(1), &ride, 9)[0].contains("never shown"));
    }

    #[tokio::test]
    async fn a_watch_that_ends_before_the_ride_is_wrong() {
        assert_eq!(seen(&Book::new(1), &[("requested", Phase::Active)], 9), ["a watch ended before its ride"]);
    }
}
