//! ReportLocation and StreamLocations.

use std::time::Duration;

use anyhow::Result;
use comanda_dispatch::last_positions::LastPositions;
use comanda_kit::{access::Scope, shutdown::Tasks, testing::Logs};
use comanda_proto::{
    access::Role,
    errors::reason,
    events::CourierLocation,
    topics,
    v1::{Location, StreamLocationsRequest, StreamLocationsResponse},
};
use time::OffsetDateTime;
use tokio::time::Instant;
use tonic::Code;

use crate::fixture::{Client, Fixture, TENANT, location, refusal, report, seen};

/// Sends all of it as one stream.
async fn stream(client: &mut Client, courier_id: &str, locations: Vec<Location>) -> Result<StreamLocationsResponse> {
    let requests = locations.into_iter().enumerate().map(|(index, location)| StreamLocationsRequest {
        // Needed in the first message only.
        courier_id: if index == 0 { courier_id.to_owned() } else { String::new() },
        location: Some(location),
    });
    let requests: Vec<_> = requests.collect();
    Ok(client.stream_locations(futures::stream::iter(requests)).await?.into_inner())
}

#[tokio::test]
async fn positions_of_use_are_published_in_order_and_the_others_dropped() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    let replica = fixture.start().await?;
    let (mut client, now) = (fixture.client(&replica).await?, OffsetDateTime::now_utc());
    let at =
        |seconds: i64, north: f64| location(40.0 + north / 111_195.0, -3.7, now + time::Duration::seconds(seconds));
    let inaccurate = Location { accuracy_meters: 201.0, ..at(5, 0.0) };
    let sent = vec![at(-9, 0.0), at(-8, 20.0), at(-8, 25.0), at(-7, 5000.0), inaccurate, at(61, 0.0), at(-6, 30.0)];
    let counts = stream(&mut client, "c-1", sent).await?;
    assert_eq!((counts.taken_count, counts.dropped_count), (3, 4));
    // The filter is the courier's, not the stream's.
    assert!(!report(&mut client, "c-1", at(-6, 30.0)).await?);
    assert!(report(&mut client, "c-1", at(-5, 30.0)).await?);

    let records = fixture.locations(4).await?;
    let positions = records.iter().map(|record| record.event::<CourierLocation>());
    let seconds: Vec<_> =
        positions.map(|event| event.record_time.expect("a time").seconds - now.unix_timestamp()).collect();
    assert_eq!(seconds, [-9, -8, -6, -5]);
    for record in &records {
        assert_eq!((record.key.as_str(), record.headers["ce_tenant"].as_str()), ("c-1", TENANT));
        assert_eq!(record.headers["ce_id"], format!("c-1/{}", record.headers["ce_time"]));
        assert_eq!(record.partition, records[0].partition);
    }
    replica.stop().await
}

#[tokio::test]
async fn nobody_reports_for_a_courier_of_another_tenant_or_in_another_ones_name() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    let now = OffsetDateTime::now_utc();
    let not_found = Err((Code::NotFound, reason::COURIER_NOT_FOUND.to_owned()));
    for (caller, courier_id, expected) in [
        (Scope::new(TENANT, "staff", Role::Staff), "c-1", Ok(true)),
        (Scope::new(TENANT, "staff", Role::Staff), "c-2", not_found.clone()),
        (Scope::new("other", "staff", Role::Staff), "c-1", not_found.clone()),
        (Scope::new(TENANT, "c-1", Role::Courier), "c-1", Ok(true)),
        (Scope::new(TENANT, "c-2", Role::Courier), "c-1", not_found),
    ] {
        let replica = fixture.start_for(caller.clone()).await?;
        let mut client = fixture.client(&replica).await?;
        let reported = report(&mut client, courier_id, location(40.0, -3.7, now)).await;
        assert_eq!(reported.map_err(refusal), expected, "{caller:?} {courier_id}");
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn streams_that_open_at_once_are_all_answered_rightly() -> Result<()> {
    let fixture = Fixture::new().await?;
    for number in 0..100 {
        fixture.register(TENANT, &format!("c-{number}")).await?;
        fixture.register("other", &format!("c-{}", number + 100)).await?;
    }
    let replica = fixture.start().await?;
    let (client, now) = (fixture.client(&replica).await?, OffsetDateTime::now_utc());
    let opened = (0..200).map(|number| {
        let mut client = client.clone();
        async move { stream(&mut client, &format!("c-{number}"), vec![location(40.0, -3.7, now)]).await }
    });
    let answers = futures::future::join_all(opened).await;
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(counts) => assert_eq!((number < 100, counts.taken_count), (true, 1), "c-{number}"),
            Err(error) => {
                let expected = (Code::NotFound, reason::COURIER_NOT_FOUND.to_owned());
                assert_eq!((number >= 100, refusal(error.downcast()?)), (true, expected), "c-{number}");
            }
        }
    }
    replica.stop().await
}

#[tokio::test]
async fn a_stream_is_of_one_courier_and_names_what_is_wrong() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    let replica = fixture.start().await?;
    let (mut client, now) = (fixture.client(&replica).await?, OffsetDateTime::now_utc());
    let request = |courier_id: &str, location| StreamLocationsRequest { courier_id: courier_id.into(), location };
    let right = || Some(location(40.0, -3.7, now));
    for requests in [
        vec![request("", right())],
        vec![request("c-1", right()), request("c-2", right())],
        vec![request("c-1", None)],
        vec![request("c-1", Some(location(91.0, -3.7, now)))],
    ] {
        let refused = client.stream_locations(futures::stream::iter(requests)).await.expect_err("it is wrong");
        assert_eq!(refusal(refused), (Code::InvalidArgument, reason::INVALID_FIELDS.into()));
    }
    let nothing = client.stream_locations(futures::stream::empty()).await?.into_inner();
    assert_eq!(nothing, StreamLocationsResponse::default());
    replica.stop().await
}

#[tokio::test]
async fn a_stop_ends_streams_and_says_so() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    let replica = fixture.start().await?;
    let mut client = fixture.client(&replica).await?;
    let first = StreamLocationsRequest {
        courier_id: "c-1".into(),
        location: Some(location(40.0, -3.7, OffsetDateTime::now_utc())),
    };
    let endless = futures::StreamExt::chain(futures::stream::iter([first]), futures::stream::pending());
    let open = tokio::spawn(async move { client.stream_locations(endless).await });
    // It is open once its first position is there.
    fixture.locations(1).await?;
    replica.stop().await?;
    let end = open.await?.expect_err("it never ended by itself");
    assert_eq!(refusal(end), (Code::Unavailable, reason::SHUTTING_DOWN.into()));
    Ok(())
}

#[tokio::test]
async fn without_kafka_callers_do_not_wait_and_what_does_not_fit_is_dropped() -> Result<()> {
    let mut fixture = Fixture::new().await?;
    fixture.environment.kafka.kafka_bootstrap_servers = "127.0.0.1:1".into();
    fixture.environment.kafka.kafka_config = vec!["queue.buffering.max.messages=2".parse().expect("a setting")];
    let couriers = ["c-1", "c-2", "c-3"];
    for courier_id in couriers {
        fixture.register(TENANT, courier_id).await?;
    }
    let replica = fixture.start().await?;
    let (mut client, now, began) = (fixture.client(&replica).await?, OffsetDateTime::now_utc(), Instant::now());
    let mut taken = Vec::new();
    for courier_id in couriers {
        taken.push(report(&mut client, courier_id, location(40.0, -3.7, now)).await?);
    }
    assert_eq!(taken, [true, true, false]);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    replica.stop().await
}

#[tokio::test]
async fn no_position_reaches_a_log() -> Result<()> {
    let (logs, _guard) = Logs::catch();
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    let replica = fixture.start().await?;
    let (mut client, now) = (fixture.client(&replica).await?, OffsetDateTime::now_utc());
    let right = location(41.987_654, -3.123_456, now);
    assert!(report(&mut client, "c-1", right).await?);
    assert!(!report(&mut client, "c-1", right).await?);
    report(&mut client, "c-9", right).await.expect_err("nobody");
    report(&mut client, "c-1", location(141.987_654, -3.123_456, now)).await.expect_err("not on earth");
    fixture.environment.produce(topics::COURIER_LOCATIONS, &[("c-1".into(), b"41.987654".to_vec())]).await?;
    let tasks = Tasks::new();
    let grid = fixture.grid(&tasks)?;
    seen(&grid, "c-1", |_| true).await;
    LastPositions::new(grid, fixture.store()?).write_next(fixture.lead().await?).await?;
    replica.stop().await?;
    tasks.stop_token().cancel();
    tasks.run().await?;
    assert!(logs.count("INFO") > 0, "something was logged");
    for part in ["41.98", "3.123", "Point { "] {
        assert_eq!(logs.count(part), 0, "{part}");
    }
    Ok(())
}
