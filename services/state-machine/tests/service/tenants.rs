//! Nothing of one tenant can be reached from another.

use std::time::Duration;

use anyhow::Result;
use comanda_kit::access::{Access, Scope};
use comanda_proto::{
    access::Role,
    v1::{AdvanceOrderRequest, CancelOrderRequest, ListTransitionsRequest, ListWorkflowsRequest, RejectOrderRequest},
};
use comanda_state_machine::Config;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::fixture::{Client, Fixture, Stepper, fields, reason, run};

/// What a call about an order is answered with, its id left out.
fn answer<T>(result: Result<T, Status>, id: Uuid) -> (Code, String, String) {
    let refused = result.err().expect("must be refused");
    (refused.code(), reason(&refused), refused.message().replace(&id.to_string(), "ID"))
}

#[tokio::test]
async fn an_order_of_another_tenant_is_answered_like_one_that_does_not_exist() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (mine, mut my_client) = fixture.serve().await?;
    let stranger = Access::everyone_is(Scope::new("acme", "bob", Role::Owner));
    let theirs = fixture.start_with(Config::default(), stranger)?;
    let mut their_client = Client::new(theirs.connect().await?);
    let (new, moved) = (fixture.place_one().await?, fixture.place_one().await?);
    let request_id = Uuid::new_v4().to_string();
    let advance = |id: Uuid| AdvanceOrderRequest {
        order_id: id.to_string(),
        request_id: request_id.clone(),
        expected_version: 1,
        ..Default::default()
    };
    my_client.advance_order(advance(moved)).await?;
    let list = |id: Uuid| ListTransitionsRequest { order_id: id.to_string(), page_size: 1, ..Default::default() };
    let page_token = my_client.list_transitions(list(moved)).await?.into_inner().next_page_token;

    // Adopted or not, with a known request id or without: every answer is that of an order that was never placed.
    let missing = Uuid::now_v7();
    for id in [missing, new, moved] {
        let expected = (Code::NotFound, "ORDER_NOT_FOUND".to_string(), "there is no order ID".to_string());
        assert_eq!(answer(their_client.advance_order(advance(id)).await, id), expected);
        let cancel = CancelOrderRequest { order_id: id.to_string(), ..Default::default() };
        assert_eq!(answer(their_client.cancel_order(cancel).await, id), expected);
        let reject = RejectOrderRequest { order_id: id.to_string(), ..Default::default() };
        assert_eq!(answer(their_client.reject_order(reject).await, id), expected);
        assert_eq!(answer(their_client.list_transitions(list(id)).await, id), expected);
    }
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.states").await, 1, "asking adopts nothing");
    let request = ListTransitionsRequest { page_token, ..list(moved) };
    let refused = their_client.list_transitions(request).await.expect_err("another tenant's token");
    assert_eq!(fields(&refused), ["page_token"]);
    let page = ListWorkflowsRequest { page_size: 1, ..Default::default() };
    let page_token = my_client.list_workflows(page).await?.into_inner().next_page_token;
    let refused = their_client.list_workflows(ListWorkflowsRequest { page_token, ..Default::default() }).await;
    assert_eq!(fields(&refused.expect_err("another tenant's token")), ["page_token"]);
    assert_eq!(fixture.history(moved).await?.len(), 2);
    mine.stop().await?;
    theirs.stop().await
}

#[tokio::test]
async fn one_batch_moves_orders_of_several_tenants_and_each_event_names_its_own() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut leader = Stepper::new(&fixture)?;
    let mut orders = Vec::new();
    for tenant in ["acme", "default", "zeta"] {
        orders.extend(fixture.place_of(tenant, "delivery", 5).await?.into_iter().map(|id| (id, tenant)));
    }
    leader.adopt(&orders.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await?;
    fixture.make_due(Duration::ZERO).await?;
    assert_eq!(leader.fire().await?, 15);
    leader.publish_all().await?;
    let published = fixture.published().await?;
    assert_eq!(published.len(), 30);
    for (record, event) in published {
        let id: Uuid = event.order_id.parse()?;
        let (_, tenant) = orders.iter().find(|(order, _)| *order == id).expect("is one of them");
        assert_eq!((event.tenant.as_str(), record.headers["ce_tenant"].as_str()), (*tenant, *tenant));
    }
    let wrong = "SELECT count(*) FROM state_machine.transitions t JOIN ordering.orders o USING (order_id) WHERE t.tenant <> o.tenant";
    assert_eq!(fixture.number(wrong).await, 0);
    Ok(())
}

#[tokio::test]
async fn a_courier_moves_only_an_order_that_it_has_and_repeats_what_it_did() -> Result<()> {
    let fixture = Fixture::new().await?;
    let maria = Access::everyone_is(Scope::new("default", "maria", Role::Courier));
    let served = fixture.start_with(Config::default(), maria)?;
    let mut client = Client::new(served.connect().await?);
    let (hers, others, free, missing) =
        (fixture.place_one().await?, fixture.place_one().await?, fixture.place_one().await?, Uuid::now_v7());
    let sql = &fixture.sql;
    let courier = "INSERT INTO dispatch.couriers (tenant, courier_id, name, vehicle, plate, vehicle_kind, zone, capacity, max_load, status)
                   VALUES ('default', 'maria', '', '', '', '', '', 2, 9, 2), ('default', 'elena', '', '', '', '', '', 2, 9, 2),
                          ('acme', 'maria', '', '', '', '', '', 2, 9, 2)";
    run(sql, courier).await?;
    for (id, tenant, courier_id) in [(hers, "default", "maria"), (others, "default", "elena")] {
        let assign = format!(
            "INSERT INTO dispatch.assignments (order_id, attempt, tenant, courier_id, slot, state, promised_pickup_time)
             VALUES ('{id}', 1, '{tenant}', '{courier_id}', 1, 2, now())"
        );
        run(sql, &assign).await?;
    }
    let request_id = Uuid::new_v4().to_string();
    let advance = |id: Uuid| AdvanceOrderRequest {
        order_id: id.to_string(),
        request_id: request_id.clone(),
        ..Default::default()
    };
    for id in [others, free, missing] {
        let refused = client.advance_order(advance(id)).await.expect_err("not hers");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
        assert_eq!(refused.message(), "a courier may move only orders that are assigned to it, and this is none");
    }
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.states").await, 0, "asking moves nothing");
    let moved = client.advance_order(advance(hers)).await?.into_inner();
    assert_eq!(moved.transition.map(|transition| transition.actor), Some("maria".into()));
    run(sql, "UPDATE dispatch.assignments SET state = 3, outcome = 1, ended_at = now()").await?;
    assert!(client.advance_order(advance(hers)).await?.into_inner().replayed, "a repetition is answered after the job");
    let again = AdvanceOrderRequest { request_id: Uuid::new_v4().to_string(), ..advance(hers) };
    assert_eq!(client.advance_order(again).await.expect_err("the job is over").code(), Code::PermissionDenied);
    served.stop().await
}
