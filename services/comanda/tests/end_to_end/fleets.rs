//! Couriers of two tenants on one database and one Kafka: none is shown, offered or given an order of the other.

use anyhow::{Context, Result};
use comanda_kit::testing::{Environment, eventually};
use comanda_proto::{
    LatLng,
    v1::{
        AcceptOfferRequest, AssignOrderRequest, CompleteAssignmentRequest, Courier, CourierStatus, CreateOrderRequest,
        DeclineOfferRequest, GetAssignmentRequest, GetOrderRequest, ListAssignmentsRequest, ListCouriersRequest,
        Location, MarkArrivedRequest, MarkPickedUpRequest, Place, RegisterCourierRequest, ReportLocationRequest,
        SetCourierStatusRequest, Trip, WatchCourierRequest, WithdrawAssignmentRequest,
        dispatch_service_client::DispatchServiceClient, get_order_request::Key,
    },
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::tenants::{Tenant, environment, first, new_order, told};

const PLACE: LatLng = LatLng { latitude: -33.437, longitude: -70.651 };

impl Tenant {
    fn dispatch(&self) -> DispatchServiceClient<Channel> {
        DispatchServiceClient::new(self.channel.clone())
    }

    /// A courier that takes jobs, just where every ride begins.
    async fn courier_online(&self, courier_id: &str) -> Result<()> {
        let courier = Courier { courier_id: courier_id.into(), name: "Ana".into(), ..Default::default() };
        let mut dispatch = self.dispatch();
        dispatch.register_courier(RegisterCourierRequest { courier: Some(courier) }).await?;
        let (courier_id, status) = (courier_id.to_owned(), CourierStatus::Available.into());
        let online = SetCourierStatusRequest { courier_id: courier_id.clone(), status, shift_end_time: None };
        dispatch.set_courier_status(online).await?;
        let location = Some(Location { position: Some(PLACE), ..Default::default() });
        assert!(dispatch.report_location(ReportLocationRequest { courier_id, location }).await?.into_inner().taken);
        Ok(())
    }

    async fn ride(&self) -> Result<String> {
        let place = || Some(Place { position: Some(PLACE), ..Default::default() });
        let trip = Some(Trip { pickup: place(), dropoff: place(), ..Default::default() });
        let ride = CreateOrderRequest { workflow: "ride".into(), trip, ..new_order(Uuid::new_v4()) };
        Ok(self.orders().create_order(ride).await?.into_inner().order.context("an order")?.order_id)
    }

    /// Waits until an order has a status.
    async fn is(&self, order_id: &str, status: &str) {
        eventually(&format!("the order is {status}"), || async {
            let get = GetOrderRequest { key: Some(Key::OrderId(order_id.into())), ..Default::default() };
            let order = self.orders().get_order(get).await.ok()?.into_inner().order?;
            (order.status == status).then_some(())
        })
        .await;
    }
}

/// Two tenants, whose rides wait for a driver as long as they do outside of tests.
async fn tenants(environment: &Environment) -> Result<(Tenant, Tenant)> {
    let acme = Tenant::at_pace(environment, "acme", None).await?;
    Ok((acme, Tenant::at_pace(environment, "bistro", None).await?))
}

/// What every call that names an order, or a courier, answers to `caller`.
async fn answers(caller: &Tenant, order_id: &str, courier_id: &str) -> Vec<String> {
    let (id, courier, attempt, reason) = (|| order_id.to_owned(), || courier_id.to_owned(), 1, String::new());
    let mut dispatch = caller.dispatch();
    let get = GetAssignmentRequest { order_id: id(), ..Default::default() };
    let assign = AssignOrderRequest { order_id: id(), courier_id: "own".into(), ..Default::default() };
    let decline = DeclineOfferRequest { order_id: id(), attempt, reason: reason.clone() };
    let withdraw = WithdrawAssignmentRequest { order_id: id(), attempt, reason };
    let status =
        SetCourierStatusRequest { courier_id: courier(), status: CourierStatus::Paused.into(), shift_end_time: None };
    let location = Some(Location { position: Some(PLACE), ..Default::default() });
    let all = vec![
        told(dispatch.get_assignment(get).await, order_id),
        told(dispatch.assign_order(assign).await, order_id),
        told(dispatch.accept_offer(AcceptOfferRequest { order_id: id(), attempt }).await, order_id),
        told(dispatch.decline_offer(decline).await, order_id),
        told(dispatch.withdraw_assignment(withdraw).await, order_id),
        told(dispatch.mark_arrived(MarkArrivedRequest { order_id: id(), attempt }).await, order_id),
        told(dispatch.mark_picked_up(MarkPickedUpRequest { order_id: id(), attempt }).await, order_id),
        told(dispatch.complete_assignment(CompleteAssignmentRequest { order_id: id(), attempt }).await, order_id),
        told(dispatch.set_courier_status(status).await, courier_id),
        told(dispatch.report_location(ReportLocationRequest { courier_id: courier(), location }).await, courier_id),
        told(first(dispatch.watch_courier(WatchCourierRequest { courier_id: courier() }).await).await, courier_id),
    ];
    all.into_iter().map(|text| text.replace(courier_id, "COURIER")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_never_meets_an_order_of_another_tenant() -> Result<()> {
    let environment = environment().await?;
    let (acme, bistro) = tenants(&environment).await?;
    bistro.courier_online("own").await?;
    let waiting = acme.ride().await?;
    // A ride that came later, at the same place: when it is confirmed, the first one had its chance.
    let theirs = bistro.ride().await?;
    bistro.is(&theirs, "confirmed").await;
    acme.is(&waiting, "requested").await;

    acme.courier_online("maria").await?;
    acme.is(&waiting, "confirmed").await;
    let never = answers(&bistro, &Uuid::now_v7().to_string(), "nobody").await;
    assert_eq!(answers(&bistro, &waiting, "maria").await, never);
    let couriers = bistro.dispatch().list_couriers(ListCouriersRequest::default()).await?.into_inner().couriers;
    assert_eq!(couriers.len(), 1);
    for filter in [
        ListAssignmentsRequest { order_id: waiting.clone(), ..Default::default() },
        ListAssignmentsRequest { courier_id: "maria".into(), ..Default::default() },
    ] {
        let found = bistro.dispatch().list_assignments(filter).await?.into_inner().assignments;
        assert_eq!(found, []);
    }
    let all = bistro.dispatch().list_assignments(ListAssignmentsRequest::default()).await?.into_inner().assignments;
    assert_eq!(all.iter().map(|assignment| &assignment.order_id).collect::<Vec<_>>(), [&theirs]);
    acme.stop().await?;
    bistro.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn couriers_of_two_tenants_may_have_the_same_key() -> Result<()> {
    let environment = environment().await?;
    let (acme, bistro) = tenants(&environment).await?;
    acme.courier_online("maria").await?;
    bistro.courier_online("maria").await?;
    let (mine, theirs) = (acme.ride().await?, bistro.ride().await?);
    acme.is(&mine, "confirmed").await;
    bistro.is(&theirs, "confirmed").await;
    let watch = WatchCourierRequest { courier_id: "maria".into() };
    let shown = first(acme.dispatch().watch_courier(watch).await).await?.context("a response")?;
    assert!(shown.assignments.iter().all(|assignment| assignment.order_id == mine), "{shown:?}");
    acme.stop().await?;
    bistro.stop().await
}
