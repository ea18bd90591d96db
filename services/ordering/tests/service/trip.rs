//! Orders that somebody is to drive.

use anyhow::Result;
use comanda_ordering::operator;
use comanda_proto::{
    LatLng, topics,
    v1::{
        BatchCreateOrdersRequest, BatchGetOrdersRequest, CreateOrderRequest, EraseCustomerRequest, GetOrderRequest,
        ListOrdersRequest, Order, OrderView, Phase, Place, Trip, Workflow, WorkflowDispatch, WorkflowStatus,
        batch_create_orders_response::result::Outcome, get_order_request::Key,
    },
    views::{TripRow, timestamp},
};
use prost::Message;
use time::{Duration, OffsetDateTime};
use tonic::Code;
use tonic_types::RpcStatusExt;
use uuid::Uuid;

use crate::fixture::{
    Client, Fixture, acme, create, fields, id, item, reason, request, request_of, request_with_id, run,
};

/// What must be nowhere but in schema `ordering`.
const ADDRESSES: [&str; 2] = ["Av. Italia 1234", "Plaza Ñuñoa"];

fn place(latitude: f64, longitude: f64, address: &str) -> Option<Place> {
    Some(Place { position: Some(LatLng { latitude, longitude }), address: address.into() })
}

/// A valid trip that is wanted at once.
pub fn trip() -> Trip {
    Trip {
        pickup: place(-33.451_234_5, -70.661_234_5, ADDRESSES[0]),
        dropoff: place(-33.421_234_5, -70.611_234_5, ADDRESSES[1]),
        pickup_time: None,
        load: 2,
        vehicle_kind: "car".into(),
        zone: "centro".into(),
    }
}

/// A trip that is wanted so long from now.
fn trip_in(delay: Duration) -> Trip {
    Trip { pickup_time: Some(timestamp(OffsetDateTime::now_utc() + delay)), ..trip() }
}

fn with_trip(trip: Trip, request: CreateOrderRequest) -> CreateOrderRequest {
    CreateOrderRequest { trip: Some(trip), ..request }
}

/// A fixture that also knows a workflow with couriers.
async fn with_rides(fixture: Fixture) -> Result<Fixture> {
    let requested =
        WorkflowStatus { name: "requested".into(), phase: Phase::Active.into(), ..WorkflowStatus::default() };
    let dispatch = WorkflowDispatch { wanted_in: vec!["requested".into()], ..WorkflowDispatch::default() };
    let definition = Workflow { statuses: vec![requested], dispatch: Some(dispatch), ..Workflow::default() };
    sqlx::query("INSERT INTO state_machine.workflows (name, revision, definition) VALUES ('ride', 1, $1)")
        .bind(definition.encode_to_vec())
        .execute(&fixture.sql)
        .await?;
    let choose = "INSERT INTO state_machine.current_workflows (name, revision, chosen_by) VALUES ('ride', 1, 'test')";
    run(&fixture.sql, choose).await?;
    Ok(fixture)
}

/// The trips as dispatch reads them, by order.
async fn stored(fixture: &Fixture) -> Result<Vec<TripRow>> {
    let query = "SELECT order_id, tenant, pickup_latitude, pickup_longitude, dropoff_latitude, dropoff_longitude, load, vehicle_kind,
                        zone, start_time
                 FROM ordering.order_trips ORDER BY order_id";
    Ok(sqlx::query_as(query).fetch_all(&fixture.sql).await?)
}

async fn start_time(fixture: &Fixture, order: &Order) -> Result<Option<OffsetDateTime>> {
    let query = "SELECT start_time FROM ordering.orders WHERE order_id = $1";
    Ok(sqlx::query_scalar(query).bind(id(order)).fetch_one(&fixture.sql).await?)
}

async fn get(client: &Client, order: &Order, view: OrderView) -> Result<Order> {
    let key = Some(Key::OrderId(order.order_id.clone()));
    let response = client.clone().get_order(GetOrderRequest { key, view: view.into() }).await?.into_inner();
    Ok(response.order.expect("an answer has its order"))
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_trip_is_stored_with_its_order_and_its_places_are_not_published() -> Result<()> {
    let fixture = with_rides(Fixture::new().await?).await?;
    let (replica, client) = fixture.serve().await?;
    let asked = CreateOrderRequest { workflow: "ride".into(), ..with_trip(trip_in(Duration::DAY), request()) };
    let order = create(&client, asked.clone()).await?;
    assert_eq!((&order.trip, &*order.status), (&asked.trip, "requested"));
    assert_eq!(get(&client, &order, OrderView::Full).await?, order);

    let rows = stored(&fixture).await?;
    let [row] = rows.as_slice() else { panic!("one trip, not {}", rows.len()) };
    assert_eq!((row.order_id, row.tenant.as_str()), (id(&order), "default"));
    assert_eq!((row.pickup_latitude, row.pickup_longitude), (-33.451_234_5, -70.661_234_5));
    assert_eq!((row.dropoff_latitude, row.dropoff_longitude), (-33.421_234_5, -70.611_234_5));
    assert_eq!((row.load, row.vehicle_kind.as_str(), row.zone.as_str()), (2, "car", "centro"));
    let wanted = asked.trip.expect("has one").pickup_time.expect("has one");
    let start = start_time(&fixture, &order).await?.expect("has one");
    assert_eq!(row.start_time, Some(start));
    // Postgres keeps microseconds.
    assert_eq!((start.unix_timestamp(), start.microsecond()), (wanted.seconds, wanted.nanos as u32 / 1000));

    fixture.drained().await;
    let published = fixture.published().await?;
    let [(record, event)] = published.as_slice() else { panic!("one record, not {}", published.len()) };
    assert_eq!(event.start_time, Some(timestamp(start)));
    for address in ADDRESSES {
        assert!(!holds(&record.payload, address.as_bytes()));
    }
    for degrees in [row.pickup_latitude, row.pickup_longitude, row.dropoff_latitude, row.dropoff_longitude] {
        assert!(!holds(&record.payload, &degrees.to_le_bytes()));
    }
    assert_eq!(fixture.environment.records(topics::ORDERS).await?.len(), 1);
    replica.stop().await
}

#[tokio::test]
async fn only_the_full_view_shows_the_places_of_a_trip() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let full = create(&client, with_trip(trip_in(Duration::HOUR), request())).await?;
    let trip = full.trip.clone().map(|trip| Trip { pickup: None, dropoff: None, ..trip });
    for (view, single, many) in [
        (OrderView::Unspecified, &full.trip, &trip),
        (OrderView::Basic, &trip, &trip),
        (OrderView::Full, &full.trip, &full.trip),
    ] {
        assert_eq!(get(&client, &full, view).await?.trip, *single, "{view:?}");
        let batch = BatchGetOrdersRequest { order_ids: vec![full.order_id.clone()], view: view.into() };
        assert_eq!(client.batch_get_orders(batch).await?.into_inner().orders[0].trip, *single, "{view:?}");
        let list = ListOrdersRequest { view: view.into(), ..Default::default() };
        assert_eq!(client.list_orders(list).await?.into_inner().orders[0].trip, *many, "{view:?}");
    }
    replica.stop().await
}

#[tokio::test]
async fn an_order_without_a_trip_has_no_row_and_starts_at_once() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let plain = create(&client, request()).await?;
    let past = create(&client, with_trip(trip_in(-Duration::HOUR), request())).await?;
    let now = create(&client, with_trip(trip(), request())).await?;
    for order in [&plain, &past, &now] {
        assert_eq!(start_time(&fixture, order).await?, None);
    }
    let trips: Vec<_> = stored(&fixture).await?.into_iter().map(|row| row.order_id).collect();
    assert_eq!((trips, plain.trip), (vec![id(&past), id(&now)], None));
    replica.stop().await
}

#[tokio::test]
async fn a_workflow_with_couriers_needs_a_trip_and_every_wrong_part_is_named() -> Result<()> {
    let fixture = with_rides(Fixture::without_topics().await?).await?;
    let (replica, client) = fixture.serve().await?;
    let ride = |trip: Option<Trip>| CreateOrderRequest { workflow: "ride".into(), trip, ..request() };
    let worst = Trip {
        pickup: place(f64::NAN, -180.5, &"ñ".repeat(257)),
        dropoff: Some(Place { position: None, address: "a\nb".into() }),
        pickup_time: Some(timestamp(OffsetDateTime::now_utc() + Duration::days(31))),
        load: 1_001,
        vehicle_kind: "a b".into(),
        zone: "z".repeat(33),
    };
    let all = vec![
        "trip.pickup.position.latitude",
        "trip.pickup.position.longitude",
        "trip.pickup.address",
        "trip.dropoff.position",
        "trip.dropoff.address",
        "trip.pickup_time",
        "trip.load",
        "trip.vehicle_kind",
        "trip.zone",
    ];
    let cases = [
        (ride(None), vec!["trip"]),
        (ride(Some(Trip::default())), vec!["trip.pickup", "trip.dropoff"]),
        (ride(Some(worst.clone())), all.clone()),
        (with_trip(worst, request()), all),
        (CreateOrderRequest { items: vec![item("", 1, 1)], ..ride(None) }, vec!["items[0].name", "trip"]),
    ];
    for (request, expected) in cases {
        let refused = create(&client, request).await.expect_err(&format!("{expected:?} must be refused"));
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_FIELDS"));
        assert_eq!(fields(&refused), expected);
    }
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, 0);
    assert_eq!(stored(&fixture).await?.len(), 0);
    replica.stop().await
}

#[tokio::test]
async fn a_repeated_request_keeps_its_trip_and_another_trip_is_another_request() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let asked = with_trip(trip_in(Duration::HOUR), request_with_id());
    let order = create(&client, asked.clone()).await?;
    let again = client.create_order(asked.clone()).await?.into_inner();
    assert_eq!((again.order, again.replayed), (Some(order), true));
    let moved = |change: fn(&mut Trip)| {
        let mut other = asked.clone();
        change(other.trip.as_mut().expect("has one"));
        other
    };
    let others = [
        CreateOrderRequest { trip: None, ..asked.clone() },
        moved(|trip| trip.pickup_time = None),
        moved(|trip| trip.load = 3),
        moved(|trip| trip.zone.clear()),
        moved(|trip| trip.vehicle_kind.clear()),
        moved(|trip| trip.dropoff = trip.pickup.clone()),
        moved(|trip| trip.pickup = place(-33.451_234_6, -70.661_234_5, ADDRESSES[0])),
    ];
    for other in others {
        let refused = create(&client, other).await.expect_err("another trip");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "IDEMPOTENCY_MISMATCH"));
    }
    assert_eq!(stored(&fixture).await?.len(), 1);
    replica.stop().await
}

#[tokio::test]
async fn a_batch_stores_each_trip_with_its_own_order_and_a_bad_one_fails_alone() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let trip_of = |load: i32| Trip { load, ..trip_in(Duration::minutes(i64::from(load))) };
    let mut rows: Vec<_> = (1..=60).map(|load| with_trip(trip_of(load), request_with_id())).collect();
    rows.iter_mut().step_by(3).for_each(|row| row.trip = None);
    rows[1].trip = Some(Trip::default());
    let asked = rows.clone();
    let results = client.batch_create_orders(BatchCreateOrdersRequest { requests: rows }).await?.into_inner().results;

    let trips = stored(&fixture).await?;
    assert_eq!(trips.len(), 39);
    for (index, (asked, result)) in asked.iter().zip(results).enumerate() {
        match result.outcome.expect("each row has one") {
            Outcome::Created(created) => {
                let order = created.order.expect("has one");
                assert_eq!(order.trip, asked.trip);
                let row = trips.iter().find(|row| row.order_id == id(&order));
                assert_eq!(row.map(|row| row.load), asked.trip.as_ref().map(|trip| trip.load), "{index}");
                let start = start_time(&fixture, &order).await?.map(|start| start.unix_timestamp());
                let wanted = asked.trip.as_ref().and_then(|trip| trip.pickup_time).map(|time| time.seconds);
                assert_eq!(start, wanted, "{index}");
            }
            Outcome::Error(error) => {
                let wrong = error.get_details_bad_request().expect("names its fields").field_violations;
                let wrong: Vec<_> = wrong.into_iter().map(|violation| violation.field).collect();
                assert_eq!((index, wrong), (1, vec!["trip.pickup".to_owned(), "trip.dropoff".to_owned()]));
            }
        }
    }
    replica.stop().await
}

#[tokio::test]
async fn an_erased_customer_leaves_no_place_behind() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, mut client) = fixture.serve().await?;
    let (other_replica, other_client) = fixture.serve_for(acme()).await?;
    let mut orders = Vec::new();
    // More than one statement erases.
    for load in 0..70 {
        orders.push(create(&client, with_trip(Trip { load, ..trip_in(Duration::HOUR) }, request_of("ana"))).await?);
    }
    let other = create(&client, with_trip(trip(), request_of("eve"))).await?;
    let of_another = create(&other_client, with_trip(trip(), request_of("ana"))).await?;

    let request = EraseCustomerRequest { customer_id: "ana".into(), ..Default::default() };
    assert_eq!(client.erase_customer(request.clone()).await?.into_inner().erased_orders, 70);
    for order in &orders {
        let trip = order.trip.clone().map(|trip| Trip { pickup: None, dropoff: None, ..trip });
        assert_eq!(get(&client, order, OrderView::Full).await?.trip, trip);
        assert!(start_time(&fixture, order).await?.is_some(), "it stays");
    }
    let left: Vec<Uuid> = stored(&fixture).await?.into_iter().map(|row| row.order_id).collect();
    assert_eq!(left, [id(&other), id(&of_another)]);
    assert_eq!(get(&client, &other, OrderView::Full).await?.trip, other.trip);
    let places = "SELECT count(*) FROM ordering.orders
                  WHERE customer_id = 'ana' AND tenant = 'default'
                    AND (position('Italia'::bytea IN content) > 0 OR position(float8send(-33.4512345) IN content) > 0)";
    assert_eq!(fixture.number(places).await, 0);
    assert_eq!(client.erase_customer(request).await?.into_inner().erased_orders, 0, "nothing is left to erase");
    other_replica.stop().await?;
    replica.stop().await
}

#[tokio::test]
async fn an_order_is_removed_with_its_trip() -> Result<()> {
    let fixture = Fixture::without_topics().await?;
    let (replica, client) = fixture.serve().await?;
    let old = create(&client, with_trip(trip(), request())).await?;
    let new = create(&client, with_trip(trip(), request())).await?;
    operator::remove(&mut *fixture.sql.acquire().await?, &[id(&old)]).await?;
    let trips = "SELECT order_id FROM ordering.trips";
    assert_eq!(sqlx::query_scalar::<_, Uuid>(trips).fetch_all(&fixture.sql).await?, [id(&new)]);
    assert_eq!(fixture.number("SELECT count(*) FROM ordering.orders").await, 1);
    replica.stop().await
}
