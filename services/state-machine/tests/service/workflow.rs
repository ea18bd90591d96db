//! Workflows are data that may be edited.

use std::time::Duration;

use anyhow::Result;
use comanda_proto::v1::{Trigger, Workflow};
use comanda_state_machine::{store::Chooser, workflow};
use futures::future::join_all;

use crate::fixture::{Fixture, Stepper, told};

fn delivery() -> Workflow {
    workflow::shipped().expect("the shipped workflows are valid").remove(0)
}

/// As delivery, but nothing is prepared, and a courier takes ten seconds.
fn fast() -> Workflow {
    let mut fast = delivery();
    fast.statuses.retain(|status| status.name != "preparing");
    fast.edges.retain(|edge| edge.from_status != "preparing" && edge.to_status != "preparing");
    let mut edge = fast.edges.iter().find(|edge| edge.trigger() == Trigger::Timer).expect("has timers").clone();
    edge.from_status = "received".into();
    edge.to_status = "dispatched".into();
    edge.delay_duration = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    fast.edges.push(edge);
    fast
}

#[tokio::test]
async fn an_edited_workflow_applies_to_new_orders_and_orders_under_way_keep_their_revision() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (store, mut leader) = (fixture.store()?, Stepper::new(&fixture)?);
    let old = fixture.place_one().await?;
    leader.adopt(&[old]).await?;
    assert_eq!(
        store.store_workflow(&delivery(), Chooser::File).await?.revision,
        1,
        "an equal definition keeps its revision"
    );
    assert_eq!(store.store_workflow(&fast(), Chooser::File).await?.revision, 2);
    let new = fixture.place_one().await?;
    leader.adopt(&[new]).await?;

    for _ in 0..3 {
        fixture.make_due(Duration::ZERO).await?;
        leader.fire().await?;
    }
    let histories = fixture.histories().await?;
    let statuses = |id| histories[&id].iter().map(|step| step.to_status.as_str()).collect::<Vec<_>>();
    assert_eq!(statuses(old), ["received", "preparing", "dispatched", "delivered"]);
    assert_eq!(statuses(new), ["received", "dispatched", "delivered"]);
    assert!(histories[&old].iter().all(|step| step.workflow_revision == 1));
    assert!(histories[&new].iter().all(|step| step.workflow_revision == 2));
    assert_eq!(told(&histories[&new])[1], (2, Trigger::Timer, "dispatched"));
    Ok(())
}

#[tokio::test]
async fn processes_that_store_different_definitions_at_once_all_succeed() -> Result<()> {
    let fixture = Fixture::new().await?;
    let stores = (0..4).map(|_| fixture.store()).collect::<Result<Vec<_>>>()?;
    // Each definition is stored by two processes.
    let calls = (0..8).map(|call| {
        let mut definition = fast();
        definition.statuses[0].labels.insert("xx".into(), (call / 2).to_string());
        let store = stores[call % 4].clone();
        async move { store.store_workflow(&definition, Chooser::File).await }
    });
    let stored = join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let revisions: Vec<_> = stored.iter().map(|stored| stored.revision).collect();
    for pair in revisions.chunks(2) {
        assert_eq!(pair[0], pair[1], "equal definitions have one revision: {revisions:?}");
    }
    let mut distinct = revisions.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct, [2, 3, 4, 5]);
    let current =
        fixture.number("SELECT revision::bigint FROM state_machine.current_workflows WHERE name = 'delivery'").await;
    assert!(revisions.contains(&i32::try_from(current)?));
    Ok(())
}
