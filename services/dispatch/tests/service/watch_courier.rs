//! WatchCourier on two replicas.

use std::time::Duration;

use anyhow::Result;
use comanda_kit::{access::Scope, testing::PATIENCE};
use comanda_proto::{
    access::Role,
    errors::reason,
    v1::{AssignmentState, CourierStatus, WatchCourierRequest, WatchCourierResponse},
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::fixture::{Client, Fixture, TENANT, refusal};

async fn watch(client: &mut Client, courier_id: &str) -> Result<Streaming<WatchCourierResponse>, Status> {
    Ok(client.watch_courier(WatchCourierRequest { courier_id: courier_id.into() }).await?.into_inner())
}

async fn next(stream: &mut Streaming<WatchCourierResponse>) -> Result<WatchCourierResponse> {
    Ok(timeout(PATIENCE, stream.message()).await??.expect("no end"))
}

/// The orders of a response, and whether each is only offered.
fn jobs(response: &WatchCourierResponse) -> Vec<(Uuid, bool)> {
    let job = |assignment: &comanda_proto::v1::Assignment| {
        let order_id = Uuid::try_parse(&assignment.order_id).expect("an order id");
        (order_id, assignment.state() == AssignmentState::Offered)
    };
    response.assignments.iter().map(job).collect()
}

/// Changes an assignment as the service does, with its courier's revision in the same statement.
async fn change(fixture: &Fixture, order_id: Uuid, set: &'static str) -> Result<()> {
    let statement = format!(
        "WITH a AS (UPDATE dispatch.assignments SET {set} WHERE order_id = $1 RETURNING tenant, courier_id)
         UPDATE dispatch.couriers c SET revision = revision + 1 FROM a WHERE c.tenant = a.tenant AND c.courier_id = a.courier_id"
    );
    sqlx::query(sqlx::AssertSqlSafe(statement)).bind(order_id).execute(&fixture.sql).await?;
    Ok(())
}

#[tokio::test]
async fn a_courier_sees_offers_and_confirmed_work_on_every_replica_until_it_is_over() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    let replicas = [fixture.start().await?, fixture.start().await?];
    let (mut one, mut other) = (fixture.client(&replicas[0]).await?, fixture.client(&replicas[1]).await?);
    let mut streams = [watch(&mut one, "c-1").await?, watch(&mut other, "c-1").await?];
    for stream in &mut streams {
        let first = next(stream).await?;
        assert_eq!((first.status(), jobs(&first)), (CourierStatus::Available, Vec::new()));
    }

    // What is allotted is shown only when the order's status says so.
    let allotted = fixture.assign("c-1", 1, AssignmentState::Active).await?;
    let offered = fixture.assign("c-1", 2, AssignmentState::Offered).await?;
    let mut revisions = Vec::new();
    for stream in &mut streams {
        let mut response = next(stream).await?;
        while jobs(&response).is_empty() {
            response = next(stream).await?;
        }
        assert_eq!(jobs(&response), [(offered, true)]);
        let job = &response.assignments[0];
        assert_eq!((job.number, job.items.len(), job.trip.as_ref().map(|trip| trip.load)), (17, 1, Some(2)));
        assert_eq!(job.courier.as_ref().map(|courier| courier.plate.as_str()), Some("1234 ABC"));
        revisions.push(response.revision);
    }
    change(&fixture, allotted, "confirm_time = now()").await?;
    for (stream, revision) in streams.iter_mut().zip(revisions) {
        let response = next(stream).await?;
        assert_eq!(jobs(&response), [(allotted, false), (offered, true)]);
        assert!(response.assignments[0].confirmed && response.revision > revision);
    }

    // What was withdrawn disappears.
    change(&fixture, allotted, "state = 3, outcome = 4, ended_at = now()").await?;
    for stream in &mut streams {
        assert_eq!(jobs(&next(stream).await?), [(offered, true)]);
    }
    // A stream that is opened again begins with the present.
    assert_eq!(jobs(&next(&mut watch(&mut one, "c-1").await?).await?), [(offered, true)]);
    for replica in replicas {
        replica.stop().await?;
    }
    let end = timeout(PATIENCE, streams[0].message()).await?.expect_err("the server stopped");
    assert_eq!(refusal(end), (Code::Unavailable, reason::SHUTTING_DOWN.into()));
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_while_nothing_changes_and_a_change_of_another_courier_is_none() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    fixture.register(TENANT, "c-2").await?;
    let replica = fixture.start().await?;
    let mut client = fixture.client(&replica).await?;
    let (mut watched, mut changed) = (watch(&mut client, "c-1").await?, watch(&mut client, "c-2").await?);
    next(&mut watched).await?;
    next(&mut changed).await?;
    fixture.assign("c-2", 1, AssignmentState::Offered).await?;
    assert_eq!(jobs(&next(&mut changed).await?).len(), 1);
    assert!(timeout(Duration::from_millis(600), watched.message()).await.is_err());
    replica.stop().await
}

#[tokio::test]
async fn a_courier_watches_itself_alone() -> Result<()> {
    let fixture = Fixture::new().await?;
    fixture.register(TENANT, "c-1").await?;
    let not_found = Some((Code::NotFound, reason::COURIER_NOT_FOUND.to_owned()));
    for (caller, courier_id, refused) in [
        (Scope::new(TENANT, "c-1", Role::Courier), "c-1", None),
        (Scope::new(TENANT, "c-2", Role::Courier), "c-1", not_found.clone()),
        (Scope::new(TENANT, "c-2", Role::Courier), "c-2", not_found.clone()),
        (Scope::new("other", "staff", Role::Staff), "c-1", not_found),
    ] {
        let replica = fixture.start_for(caller.clone()).await?;
        let opened = watch(&mut fixture.client(&replica).await?, courier_id).await;
        assert_eq!(opened.err().map(refusal), refused, "{caller:?} {courier_id}");
        replica.stop().await?;
    }
    Ok(())
}
