use anyhow::Result;
use comanda_kit::{access::Scope, testing::eventually};
use comanda_proto::{
    LatLng,
    access::Role,
    events::{AssignmentEvent, OrderTransition},
    topics,
    v1::{
        Assignment, Courier, CourierStatus, GetAssignmentRequest, ListAssignmentsRequest, ListCouriersRequest,
        Location, MarkArrivedRequest, OrderView, RegisterCourierRequest, ReportLocationRequest,
        SetCourierStatusRequest,
    },
};
use prost::Message;
use uuid::Uuid;

use super::{
    fixture::{Client, Fixture, PICKUP, RIDE, config, reason},
    stepper::Stepper,
};

/// Publishes an order's present version as the state machine's relay does.
async fn announce(fixture: &Fixture, order_id: Uuid) -> Result<()> {
    let (version, status) = fixture.status(order_id).await?;
    let event = OrderTransition {
        order_id: order_id.to_string(),
        version,
        number: 1042,
        workflow: "ride".into(),
        workflow_revision: 1,
        to_status: status,
        tenant: "default".into(),
        ..OrderTransition::default()
    };
    fixture.environment.produce(topics::ORDER_TRANSITIONS, &[(order_id.to_string(), event.encode_to_vec())]).await
}

async fn online(client: &mut Client, courier_id: &str) -> Result<()> {
    let courier = Courier { courier_id: courier_id.into(), name: "Ana".into(), ..Courier::default() };
    client.register_courier(RegisterCourierRequest { courier: Some(courier) }).await?;
    let status = CourierStatus::Available.into();
    client
        .set_courier_status(SetCourierStatusRequest { courier_id: courier_id.into(), status, shift_end_time: None })
        .await?;
    let position = Some(LatLng { latitude: PICKUP.0, longitude: PICKUP.1 });
    let location = Some(Location { position, ..Location::default() });
    client.report_location(ReportLocationRequest { courier_id: courier_id.into(), location }).await?;
    Ok(())
}

async fn assignment(client: &Client, order_id: Uuid, holds: impl Fn(&Assignment) -> bool) -> Assignment {
    eventually("the assignment is there", || async {
        let view = OrderView::Full.into();
        let request = GetAssignmentRequest { order_id: order_id.to_string(), attempt: 0, view };
        let answer = client.clone().get_assignment(request).await.ok()?.into_inner();
        answer.assignment.filter(&holds)
    })
    .await
}

/// The whole service on real parts, from the record of a ride to the record of its assignment.
#[tokio::test]
async fn a_ride_comes_in_from_the_topic_and_its_assignment_goes_out_to_the_topic() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.start(Scope::built_in(), config()).await?;
    online(&mut client, "c-1").await?;
    let ride = fixture.place(RIDE).await?;
    announce(&fixture, ride).await?;
    let allotted = assignment(&client, ride, |_| true).await;
    assert_eq!((allotted.courier_id.as_str(), allotted.confirmed, allotted.number), ("c-1", false, 1042));
    assert!(allotted.trip.is_some() && allotted.items.len() == 1, "the full view");
    let record = eventually("it is published", || async {
        fixture.environment.records(topics::ASSIGNMENTS).await.ok()?.into_iter().next()
    })
    .await;
    let step = record.event::<AssignmentEvent>().step.expect("asks for a step");
    fixture.advance(ride, &step.to_status, comanda_proto::v1::Phase::Active).await?;
    announce(&fixture, ride).await?;
    assignment(&client, ride, |assignment| assignment.confirmed).await;
    let arrived = MarkArrivedRequest { order_id: ride.to_string(), attempt: 1 };
    let arrived = client.mark_arrived(arrived).await?.into_inner().assignment.expect("answered");
    assert!(arrived.arrive_time.is_some() && arrived.trip.is_none(), "the basic view");
    replica.stop().await
}

#[tokio::test]
async fn lists_go_on_page_by_page_and_hold_what_their_filters_say() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stepper = Stepper::new(&fixture, &config())?;
    let (replica, mut client) = fixture.start(Scope::built_in(), config()).await?;
    let mut rides = Vec::new();
    for index in 0..5 {
        let courier = format!("c-{index}");
        fixture.courier("default", &courier, 1).await?;
        rides.push(fixture.place(RIDE).await?);
        stepper.give(rides[index], &courier, None).await?;
    }
    fixture.advance(rides[0], "cancelled", comanda_proto::v1::Phase::Cancelled).await?;
    stepper.see(&rides).await?;
    fixture.run("UPDATE dispatch.couriers SET zone = 'north' WHERE courier_id = 'c-3'").await?;

    let (mut couriers, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListCouriersRequest { page_size: 2, page_token: token, ..ListCouriersRequest::default() };
        let page = client.list_couriers(request).await?.into_inner();
        couriers.extend(
            page.couriers.into_iter().map(|state| (state.courier.expect("there").courier_id, state.open_assignments)),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let expected = [("c-0", 0), ("c-1", 1), ("c-2", 1), ("c-3", 1), ("c-4", 1)].map(|(id, open)| (id.to_owned(), open));
    assert_eq!(couriers, expected);
    let north = ListCouriersRequest { zone: "north".into(), statuses: vec![2], ..ListCouriersRequest::default() };
    assert_eq!(client.list_couriers(north).await?.into_inner().couriers.len(), 1);

    let mut listed = async |request: ListAssignmentsRequest| -> Result<Vec<String>> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let request = ListAssignmentsRequest { page_size: 2, page_token: token, ..request.clone() };
            let page = client.list_assignments(request).await?.into_inner();
            ids.extend(page.assignments.into_iter().map(|assignment| assignment.order_id));
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(ids);
            }
        }
    };
    let newest_first: Vec<_> = rides.iter().rev().map(ToString::to_string).collect();
    let all = ListAssignmentsRequest::default();
    assert_eq!(listed(all.clone()).await?, newest_first);
    assert_eq!(listed(ListAssignmentsRequest { open_only: true, ..all.clone() }).await?, newest_first[..4]);
    let of_courier = ListAssignmentsRequest { courier_id: "c-0".into(), ..all.clone() };
    assert_eq!(listed(of_courier.clone()).await?, newest_first[4..]);
    assert!(listed(ListAssignmentsRequest { open_only: true, ..of_courier }).await?.is_empty());
    let of_order = ListAssignmentsRequest { order_id: newest_first[1].clone(), ..all };
    assert_eq!(listed(of_order.clone()).await?, newest_first[1..2]);
    assert_eq!(listed(ListAssignmentsRequest { open_only: true, ..of_order }).await?, newest_first[1..2]);
    replica.stop().await
}

#[tokio::test]
async fn registering_again_replaces_what_is_stored_and_keeps_the_status() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.start(Scope::built_in(), config()).await?;
    let first =
        Courier { courier_id: "c-1".into(), name: "Ana".into(), plate: "1234 ABC".into(), ..Courier::default() };
    let registering = client.clone();
    let register = async |courier: &Courier| -> Result<_> {
        let request = RegisterCourierRequest { courier: Some(courier.clone()) };
        Ok(registering.clone().register_courier(request).await?.into_inner().courier.expect("answered"))
    };
    let new = register(&first).await?;
    let known = new.courier.clone().expect("there");
    assert_eq!((new.status(), known.capacity, known.max_load), (CourierStatus::Offline, 1, 1000));
    let set = SetCourierStatusRequest { courier_id: "c-1".into(), status: 2, shift_end_time: None };
    assert_eq!(
        client.set_courier_status(set).await?.into_inner().courier.expect("answered").status(),
        CourierStatus::Available
    );
    let revision = "SELECT revision FROM dispatch.couriers";
    let before = fixture.number(revision).await;
    register(&first).await?;
    assert_eq!(fixture.number(revision).await, before, "the same again changes nothing");
    let again = register(&Courier { plate: String::new(), ..first }).await?;
    assert_eq!((again.status(), again.courier.expect("there").plate.as_str()), (CourierStatus::Available, ""));
    assert_eq!(fixture.number(revision).await, before + 1);
    replica.stop().await
}

#[tokio::test]
async fn what_is_wrong_with_a_courier_is_told_field_by_field() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.start(Scope::built_in(), config()).await?;
    let courier = Courier {
        courier_id: "no spaces".into(),
        name: " ".into(),
        vehicle_kind: "Car".into(),
        capacity: 21,
        max_load: -1,
        ..Courier::default()
    };
    let error = client.register_courier(RegisterCourierRequest { courier: Some(courier) }).await.expect_err("wrong");
    let fields = comanda_kit::testing::outside::wrong_fields(error);
    let expected =
        ["courier_id", "name", "vehicle_kind", "capacity", "max_load"].map(|field| format!("courier.{field}"));
    assert_eq!(fields, expected);
    replica.stop().await
}

#[tokio::test]
async fn a_customer_sees_who_brings_its_own_order_alone() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.give(ride, "c-1", None).await?;
    let request = GetAssignmentRequest { order_id: ride.to_string(), ..GetAssignmentRequest::default() };
    for (customer, is_own) in [("c-1", true), ("somebody", false)] {
        let (replica, mut client) = fixture.start(Scope::new("default", customer, Role::Customer), config()).await?;
        let answer = client.get_assignment(request.clone()).await;
        match answer {
            Ok(answer) => {
                let courier = answer.into_inner().assignment.and_then(|assignment| assignment.courier).expect("shown");
                assert!(is_own && courier.name == "Ana" && courier.plate == "1234 ABC" && courier.capacity == 0);
            }
            Err(error) => assert!(!is_own && reason(&error) == "ASSIGNMENT_NOT_FOUND"),
        }
        replica.stop().await?;
    }
    Ok(())
}
