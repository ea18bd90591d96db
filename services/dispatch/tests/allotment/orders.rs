use anyhow::Result;
use comanda_kit::consumer::Handler;
use comanda_kit::kafka::Record;
use comanda_proto::events::OrderTransition;
use prost::Message;
use uuid::Uuid;

use super::{
    fixture::{Fixture, Placed, RIDE, config},
    stepper::Stepper,
};

fn record(order_id: Uuid, workflow: &str, status: &str, version: i64) -> Record {
    let event = OrderTransition {
        order_id: order_id.to_string(),
        version,
        workflow: workflow.into(),
        workflow_revision: 1,
        to_status: status.into(),
        ..OrderTransition::default()
    };
    Record {
        topic: "order-transitions".into(),
        partition: 0,
        offset: 0,
        key: order_id.to_string().into_bytes(),
        payload: event.encode_to_vec(),
        ..Record::default()
    }
}

#[tokio::test]
async fn only_an_order_in_a_status_that_asks_for_a_courier_becomes_a_job() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stepper = Stepper::new(&fixture, &config())?;
    let received = fixture.place(Placed { workflow: "courier-delivery", status: "received", ..RIDE }).await?;
    let ride = fixture.place(RIDE).await?;
    let records = [record(received, "courier-delivery", "received", 1), record(ride, "ride", "requested", 1)];
    stepper.follower.apply(1, &records).await?;
    assert_eq!((fixture.job(received).await?, fixture.job(ride).await?), (None, Some(2)));
    fixture.advance(received, "preparing", comanda_proto::v1::Phase::Active).await?;
    stepper.follower.apply(1, &[record(received, "courier-delivery", "preparing", 2)]).await?;
    assert_eq!(fixture.job(received).await?, Some(2));
    Ok(())
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_looked_up_by_its_key() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stepper = Stepper::new(&fixture, &config())?;
    let ride = fixture.place(RIDE).await?;
    let broken = Record { payload: vec![0xff; 9], ..record(ride, "ride", "requested", 1) };
    stepper.follower.apply(1, &[broken]).await?;
    assert_eq!(fixture.job(ride).await?, Some(2));
    let unknown = record(Uuid::now_v7(), "no-such-workflow", "requested", 1);
    let error = stepper.follower.apply(1, &[unknown]).await.expect_err("there is no such order");
    assert!(!error.is_transient(), "it becomes a dead letter");
    Ok(())
}
