use anyhow::Result;
use comanda_kit::access::Scope;
use comanda_proto::{
    access::Role,
    v1::{GetAssignmentRequest, ListAssignmentsRequest, ListCouriersRequest, SetCourierStatusRequest},
};
use time::OffsetDateTime;

use super::{
    fixture::{Fixture, Placed, RIDE, config, reason},
    stepper::Stepper,
};

#[tokio::test]
async fn nobody_gets_an_order_of_another_tenant() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut stepper = Stepper::new(&fixture, &config())?;
    // Both tenants have a courier of the same key, who stand at the same place.
    for tenant in ["default", "acme"] {
        fixture.courier(tenant, "c-1", 1).await?;
    }
    stepper.heard_at("acme", "c-1", 10.0, OffsetDateTime::now_utc());
    let ours = fixture.place(RIDE).await?;
    stepper.see(&[ours]).await?;
    assert_eq!(stepper.round().await?, 0, "only the other tenant's courier is near");
    let theirs = fixture.place(Placed { tenant: "acme", ..RIDE }).await?;
    stepper.see(&[theirs]).await?;
    assert_eq!(stepper.round().await?, 1);
    let tenants = "SELECT count(*) FROM dispatch.assignments a JOIN ordering.orders o USING (order_id)
                   WHERE a.tenant = o.tenant AND a.tenant = 'acme'";
    assert_eq!(fixture.number(tenants).await, 1);
    stepper.heard("c-1", 10.0);
    assert_eq!(stepper.round().await?, 1, "the courier of the same key is free");
    Ok(())
}

#[tokio::test]
async fn couriers_and_assignments_of_another_tenant_do_not_exist() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stepper = Stepper::new(&fixture, &config())?;
    fixture.courier("default", "c-1", 1).await?;
    let ride = fixture.place(RIDE).await?;
    stepper.give(ride, "c-1", None).await?;
    let (replica, mut client) = fixture.start(Scope::new("acme", "owner", Role::Owner), config()).await?;
    assert!(client.list_couriers(ListCouriersRequest::default()).await?.into_inner().couriers.is_empty());
    assert!(client.list_assignments(ListAssignmentsRequest::default()).await?.into_inner().assignments.is_empty());
    let get = GetAssignmentRequest { order_id: ride.to_string(), ..GetAssignmentRequest::default() };
    assert_eq!(reason(&client.get_assignment(get).await.expect_err("not theirs")), "ASSIGNMENT_NOT_FOUND");
    let set = SetCourierStatusRequest { courier_id: "c-1".into(), status: 2, shift_end_time: None };
    assert_eq!(reason(&client.set_courier_status(set).await.expect_err("not theirs")), "COURIER_NOT_FOUND");
    replica.stop().await
}
