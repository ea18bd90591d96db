//! What dispatch publishes, as the tests of steps make it up.

use anyhow::Result;
use comanda_kit::{kafka::Record, postgres, testing::eventually, workflows::Workflows};
use comanda_proto::{
    events::{AssignmentEvent, AssignmentEventType, Step},
    topics,
};
use comanda_state_machine::{
    steps::Steps,
    store::{SCHEMA, Store},
};
use prost::Message;
use uuid::Uuid;

use crate::fixture::{Fixture, TENANT};

/// Rides as ordering stores them.
pub async fn rides(fixture: &Fixture, count: usize) -> Result<Vec<Uuid>> {
    let ids = fixture.place_of(TENANT, "ride", count).await?;
    let statement = "UPDATE ordering.orders SET first_status = 'requested' WHERE order_id = ANY ($1)";
    sqlx::query(statement).bind(&ids).execute(&fixture.sql).await?;
    Ok(ids)
}

/// An event of dispatch that asks for a step.
pub fn step(order_id: Uuid, version: i64, expected_version: i64, to_status: &str) -> AssignmentEvent {
    let request_id = Uuid::new_v5(&order_id, version.to_string().as_bytes()).to_string();
    AssignmentEvent {
        order_id: order_id.to_string(),
        version,
        tenant: TENANT.into(),
        r#type: AssignmentEventType::Allotted.into(),
        attempt: 1,
        courier_id: "courier-7".into(),
        workflow: "ride".into(),
        actor: "system:dispatch".into(),
        reason: "allotted".into(),
        step: Some(Step { to_status: to_status.into(), expected_version, request_id }),
        ..AssignmentEvent::default()
    }
}

/// The event as a consumer gets it.
pub fn record(event: &AssignmentEvent) -> Record {
    let (key, payload) = (event.order_id.clone().into_bytes(), event.encode_to_vec());
    Record { topic: topics::ASSIGNMENTS.into(), key, payload, ..Record::default() }
}

/// Publishes events as dispatch's relay does.
pub async fn publish(fixture: &Fixture, events: &[AssignmentEvent]) -> Result<()> {
    let records: Vec<_> = events.iter().map(|event| (event.order_id.clone(), event.encode_to_vec())).collect();
    fixture.environment.produce(topics::ASSIGNMENTS, &records).await
}

/// Waits until every record of the topic so far was consumed: rides behind them, in every partition, are confirmed.
pub async fn consumed(fixture: &Fixture) -> Result<()> {
    let behind = rides(fixture, 40).await?;
    crate::fixture::Stepper::new(fixture)?.adopt(&behind).await?;
    publish(fixture, &behind.iter().map(|id| step(*id, 1, 1, "confirmed")).collect::<Vec<_>>()).await?;
    eventually("the steps behind are taken", || async {
        let query = "SELECT count(*) FROM state_machine.states WHERE order_id = ANY ($1) AND status = 'confirmed'";
        let taken: i64 = sqlx::query_scalar(query).bind(&behind).fetch_one(&fixture.sql).await.ok()?;
        (taken == behind.len() as i64).then_some(())
    })
    .await;
    Ok(())
}

/// A replica's handler of steps, to be given records by hand.
pub fn handler(fixture: &Fixture) -> Result<Steps> {
    let pool = postgres::pool(&fixture.environment.postgres, SCHEMA)?;
    Ok(Steps::new(Store::new(pool.clone(), None), Workflows::new(pool), Default::default()))
}
