//! The courier of an order, as its watchers see it.

use std::time::{Duration, Instant};

use comanda_kit::{
    access::{DEFAULT_TENANT, Scope},
    testing::Replica,
};
use comanda_proto::{access::Role, v1::CourierUpdate};
use tonic::Code;
use uuid::Uuid;

use crate::{
    fixture::{Said::*, *},
    rides::Rides,
};

/// A confirmed ride that luz has, with a watch that has told so.
async fn confirmed(rides: &Rides, replica: &Replica) -> (Uuid, OneOrder, CourierUpdate) {
    let ride = rides.ride().await;
    let mut stream = watch(&mut client(replica).await, ride, 0).await.expect("opened");
    assert_eq!([said(&mut stream).await, said(&mut stream).await], [Moved(1), Current(1)]);
    rides.allot(ride, 1, "luz").await;
    rides.enter(ride, "confirmed").await;
    assert_eq!(said(&mut stream).await, Moved(2));
    let courier = courier(&mut stream).await;
    (ride, stream, courier)
}

/// The next response, which is about the courier.
async fn courier(stream: &mut OneOrder) -> CourierUpdate {
    match said_but_heartbeats(stream).await {
        Courier(update) => *update,
        other => panic!("{other:?}"),
    }
}

/// The latitude that a courier is told to be at, as soon as there is one.
async fn latitude(stream: &mut OneOrder) -> f64 {
    loop {
        if let Some(position) = courier(stream).await.position {
            return position.latitude;
        }
    }
}

/// Everything up to the end of the stream.
async fn rest(stream: &mut OneOrder) -> Vec<Said> {
    let mut all = Vec::new();
    while all.last() != Some(&Ended) {
        all.push(said_but_heartbeats(stream).await);
    }
    all
}

fn quick() -> comanda_notification::watch::Config {
    let mut config = config();
    config.watch_courier_ms = 100;
    config
}

#[tokio::test]
async fn a_confirmed_ride_shows_its_courier_who_moves_until_the_end_and_not_afterwards() {
    let rides = Rides::new().await;
    let replica = rides.world.replica(quick()).await;
    let (ride, mut stream, first) = confirmed(&rides, &replica).await;
    assert_eq!((first.attempt, &*first.name, &*first.vehicle, &*first.plate), (1, "LUZ", "white Corolla", "ABCD-12"));
    assert!(first.promised_pickup_time.is_some() && first.expected_pickup_time.is_some() && first.position.is_none());
    let _moving = rides.moving(DEFAULT_TENANT, "luz", -33.45);
    let (one, other) = (latitude(&mut stream).await, latitude(&mut stream).await);
    assert!(one < other, "{one} {other}");
    for degrees in [one, other] {
        assert!((degrees * 10_000.0 - (degrees * 10_000.0).round()).abs() < 1e-6, "{degrees} has more than 4 decimals");
    }
    rides.enter(ride, "on_trip").await;
    // The job is done a moment before the order says so: that is no withdrawal.
    rides.release(ride).await;
    rides.enter(ride, "completed").await;
    let all = rest(&mut stream).await;
    assert_eq!(versions(&all), [3, 4]);
    assert_eq!(all[all.len() - 2..], [Moved(4), Ended]);
    assert!(all.iter().all(|said| !matches!(said, Courier(update) if update.attempt == 0)), "{all:?}");

    let mut again = watch(&mut client(&replica).await, ride, 3).await.expect("opened");
    assert_eq!(rest(&mut again).await, [Moved(4), Current(4), Ended]);
}

#[tokio::test]
async fn an_assignment_that_is_not_confirmed_is_not_shown() {
    let rides = Rides::new().await;
    let replica = rides.world.replica(quick()).await;
    let (_, mut other, _) = confirmed(&rides, &replica).await;
    let waiting = rides.ride().await;
    let mut stream = watch(&mut client(&replica).await, waiting, 0).await.expect("opened");
    rides.allot(waiting, 1, "luz").await;
    let _moving = rides.moving(DEFAULT_TENANT, "luz", 10.0);
    // Where luz is has reached this replica, several times.
    for _ in 0..3 {
        latitude(&mut other).await;
    }
    rides.enter(waiting, "confirmed").await;
    assert_eq!(
        [said(&mut stream).await, said(&mut stream).await, said(&mut stream).await],
        [Moved(1), Current(1), Moved(2)]
    );
    assert_eq!(courier(&mut stream).await.attempt, 1);
}

#[tokio::test]
async fn a_watch_that_begins_later_or_resumes_shows_the_courier_after_the_order_as_it_is() {
    let rides = Rides::new().await;
    let replicas = [rides.world.replica(quick()).await, rides.world.replica(quick()).await];
    let (ride, mut stream, _) = confirmed(&rides, &replicas[0]).await;
    let _moving = rides.moving(DEFAULT_TENANT, "luz", 10.0);
    for (replica, after_version) in [(&replicas[0], 2), (&replicas[1], 0), (&replicas[1], 2)] {
        let mut later = watch(&mut client(replica).await, ride, after_version).await.expect("opened");
        for version in after_version + 1..=2 {
            assert_eq!(said(&mut later).await, Moved(version));
        }
        assert_eq!(said(&mut later).await, Current(2));
        assert_eq!(courier(&mut later).await.name, "LUZ");
        assert!(latitude(&mut later).await > 9.9);
    }
    assert!(latitude(&mut stream).await > 9.9);
}

#[tokio::test]
async fn a_courier_that_is_withdrawn_leaves_an_empty_update_and_another_one_replaces_it() {
    let rides = Rides::new().await;
    let replica = rides.world.replica(config()).await;
    let (ride, mut stream, _) = confirmed(&rides, &replica).await;
    rides.release(ride).await;
    assert_eq!(courier(&mut stream).await, CourierUpdate::default());
    rides.enter(ride, "requested").await;
    assert_eq!(said_but_heartbeats(&mut stream).await, Moved(3));
    rides.allot(ride, 2, "eva").await;
    rides.enter(ride, "confirmed").await;
    assert_eq!(said_but_heartbeats(&mut stream).await, Moved(4));
    let next = courier(&mut stream).await;
    assert_eq!((next.attempt, &*next.name), (2, "EVA"));
    // The order tells it first.
    rides.enter(ride, "requested").await;
    assert_eq!(said_but_heartbeats(&mut stream).await, Moved(5));
    assert_eq!(courier(&mut stream).await, CourierUpdate::default());
}

#[tokio::test]
async fn a_courier_that_moves_all_the_time_is_told_once_in_an_interval_and_the_latest_place_wins() {
    let rides = Rides::new().await;
    let interval = Duration::from_millis(500);
    let mut config = config();
    config.watch_courier_ms = 500;
    let replica = rides.world.replica(config).await;
    let (_, mut stream, _) = confirmed(&rides, &replica).await;
    let moving = rides.moving(DEFAULT_TENANT, "luz", 10.0);
    latitude(&mut stream).await;
    let (since, mut last) = (Instant::now(), 0.0);
    for _ in 0..4 {
        let now = latitude(&mut stream).await;
        assert!(now > last, "{now} after {last}");
        last = now;
    }
    // The first one may have come late.
    assert!(since.elapsed() > 3 * interval, "5 updates in {:?}", since.elapsed());
    drop(moving);
    rides.locate(DEFAULT_TENANT, "luz", 77.0).await;
    while latitude(&mut stream).await < 77.0 {}
}

#[tokio::test]
async fn a_changed_expectation_and_a_broken_promise_are_told() {
    let rides = Rides::new().await;
    let replica = rides.world.replica(quick()).await;
    let (ride, mut stream, first) = confirmed(&rides, &replica).await;
    rides.expect(ride, 420.0, 600.0).await;
    let later = courier(&mut stream).await;
    assert!(later.expected_pickup_time.map(|time| time.seconds) > first.expected_pickup_time.map(|time| time.seconds));
    assert_eq!(later.delay_duration, None);
    rides.expect(ride, -61.0, 600.0).await;
    assert_eq!(courier(&mut stream).await.delay_duration.map(|delay| delay.seconds), Some(120));
}

#[tokio::test]
async fn the_courier_of_another_tenant_never_shows() {
    let rides = Rides::new().await;
    let ours = rides.world.replica(quick()).await;
    let theirs = rides.world.replica_for(Scope::new("acme", "owner", Role::Owner), quick()).await;
    let (ride, mut stream, _) = confirmed(&rides, &ours).await;
    let foreign = rides.ride_of("acme").await;
    rides.allot(foreign, 1, "luz").await;
    rides.enter(foreign, "confirmed").await;
    // Both have a courier of this name.
    let _moving = [rides.moving(DEFAULT_TENANT, "luz", 10.0), rides.moving("acme", "luz", 50.0)];
    let mut their_stream = watch(&mut client(&theirs).await, foreign, 2).await.expect("their own");
    assert_eq!(said(&mut their_stream).await, Current(2));
    for _ in 0..5 {
        assert!((10.0..50.0).contains(&latitude(&mut stream).await));
        assert!(latitude(&mut their_stream).await >= 50.0);
    }
    let refusal = watch(&mut client(&theirs).await, ride, 0).await.expect_err("another tenant's ride");
    assert_eq!(error(&refusal), refused(Code::NotFound, "ORDER_NOT_FOUND", None));
}

#[tokio::test]
async fn where_the_topics_of_dispatch_are_missing_a_watch_works_and_goes_on_once_they_are_there() {
    let rides = Rides::without_topics().await;
    let replica = rides.world.replica(quick()).await;
    let ride = rides.ride().await;
    let mut stream = watch(&mut client(&replica).await, ride, 0).await.expect("opened");
    // Nobody has it: somebody moved it by hand.
    rides.enter(ride, "confirmed").await;
    rides.enter(ride, "requested").await;
    for expected in [Moved(1), Current(1), Moved(2), Moved(3)] {
        assert_eq!(said(&mut stream).await, expected);
    }
    rides.allot_silently(ride, 1, "luz").await;
    rides.enter(ride, "confirmed").await;
    assert_eq!(said(&mut stream).await, Moved(4));
    assert_eq!(courier(&mut stream).await.name, "LUZ");
    rides.create_topics().await;
    let _moving = rides.moving(DEFAULT_TENANT, "luz", 10.0);
    assert!(latitude(&mut stream).await > 9.9);
}
