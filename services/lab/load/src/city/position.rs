//! Where a courier is, and telling the server.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use comanda_client::{Client, Error};
use comanda_proto::v1::{Location, StreamLocationsRequest};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;

use super::link::{PAUSE, may_pass};
use crate::map::Place;

/// How often a device says where it is, while it moves.
const TICK: Duration = Duration::from_secs(1);
/// And while it stands.
const STANDING: Duration = Duration::from_secs(10);

/// Where somebody is who drives straight ahead from time to time.
#[derive(Clone, Debug)]
pub(super) struct Position(Arc<Mutex<Way>>);

#[derive(Clone, Copy, Debug)]
struct Way {
    from: Place,
    to: Place,
    start: Instant,
    duration: Duration,
}

impl Way {
    fn place(&self) -> Place {
        let share = self.start.elapsed().as_secs_f64() / self.duration.as_secs_f64();
        self.from.towards(self.to, if share.is_nan() { 1.0 } else { share })
    }
}

impl Position {
    /// Standing.
    pub fn at(place: Place) -> Self {
        let way = Way { from: place, to: place, start: Instant::now(), duration: Duration::ZERO };
        Self(Arc::new(Mutex::new(way)))
    }

    /// Now.
    pub fn place(&self) -> Place {
        self.0.lock().expect("no holder panics").place()
    }

    /// Drives, and returns on arrival. Where this is dropped, it stops: call [`stop`](Self::stop).
    pub async fn drive(&self, to: Place, speed: f64) {
        let from = self.place();
        let duration = Duration::from_secs_f64(from.metres_to(to) / speed);
        *self.0.lock().expect("no holder panics") = Way { from, to, start: Instant::now(), duration };
        sleep(duration).await;
    }

    /// Stands where it is now.
    pub fn stop(&self) {
        let mut way = self.0.lock().expect("no holder panics");
        let place = way.place();
        *way = Way { from: place, to: place, start: Instant::now(), duration: Duration::ZERO };
    }
}

/// Tells dispatch where a courier is, for ever, while `is_heard`. A stream that ends is opened again.
pub(super) async fn report(
    client: Client,
    courier_id: String,
    position: Position,
    mut is_heard: watch::Receiver<bool>,
) {
    loop {
        if is_heard.wait_for(|is_heard| *is_heard).await.is_err() {
            return;
        }
        let (sender, receiver) = mpsc::channel(1);
        let told = async {
            let mut dispatch = client.dispatch_service().await?;
            dispatch.stream_locations(ReceiverStream::new(receiver)).await?;
            Ok::<(), Error>(())
        };
        let result = tokio::select! {
            told = told => told,
            () = say(&courier_id, &position, &sender) => Ok(()),
            _ = is_heard.wait_for(|is_heard| !*is_heard) => Ok(()),
        };
        // Another stream is refused for the same reason; the courier's own calls tell it.
        if result.is_err_and(|error| !may_pass(error.code)) {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Says it until nobody listens.
async fn say(courier_id: &str, position: &Position, sender: &mpsc::Sender<StreamLocationsRequest>) {
    let (mut ticks, mut last) = (interval(TICK), None::<(Place, Instant)>);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let place = position.place();
        if last.is_some_and(|(before, at)| before == place && at.elapsed() < STANDING) {
            continue;
        }
        last = Some((place, Instant::now()));
        if sender.send(located(courier_id, place)).await.is_err() {
            return;
        }
    }
}

fn located(courier_id: &str, place: Place) -> StreamLocationsRequest {
    let record_time = Some(SystemTime::now().into());
    let location = Some(Location { position: Some(place.lat_lng()), record_time, accuracy_meters: 5.0 });
    StreamLocationsRequest { courier_id: courier_id.into(), location }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn somebody_on_the_way_is_between_the_ends_and_stops_there() {
        let from = Place { latitude: 40.0, longitude: -3.0 };
        let to = from.moved(100.0, 0.0);
        let position = Position::at(from);
        assert!(tokio::time::timeout(Duration::from_secs(4), position.drive(to, 10.0)).await.is_err());
        position.stop();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!((from.metres_to(position.place()) - 40.0).abs() < 0.1, "{:?}", position.place());
        position.drive(to, 10.0).await;
        assert!(position.place().metres_to(to) < 0.1);
    }
}
