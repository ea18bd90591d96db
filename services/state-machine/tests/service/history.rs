//! What callers read.

use anyhow::Result;
use comanda_proto::v1::{
    AdvanceOrderRequest, GetWorkflowRequest, ListTransitionsRequest, ListWorkflowsRequest, OrderTransition, Trigger,
};
use comanda_state_machine::store::Chooser;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::fixture::{Client, Fixture, fields, reason, told};

/// A whole history, page by page.
async fn walk(client: &Client, id: Uuid, page_size: i32) -> Result<Vec<OrderTransition>, Status> {
    let mut request = ListTransitionsRequest { order_id: id.to_string(), page_size, ..Default::default() };
    let mut transitions = Vec::new();
    loop {
        let page = client.clone().list_transitions(request.clone()).await?.into_inner();
        assert!(page_size == 0 || page.transitions.len() <= page_size as usize);
        transitions.extend(page.transitions);
        if page.next_page_token.is_empty() {
            return Ok(transitions);
        }
        request.page_token = page.next_page_token;
    }
}

#[tokio::test]
async fn a_history_shows_from_the_first_moment_and_page_by_page() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let id = fixture.place_one().await?;
    let unseen = walk(&client, id, 0).await?;
    assert_eq!(told(&unseen), [(1, Trigger::Create, "received")]);
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.states").await, 0, "reading adopts nothing");

    for expected_version in 1..=3 {
        let request = AdvanceOrderRequest { order_id: id.to_string(), expected_version, ..Default::default() };
        client.advance_order(request).await?;
    }
    let history = fixture.history(id).await?;
    assert_eq!(history.len(), 4);
    for page_size in [0, 1, 2, 3, 4] {
        assert_eq!(walk(&client, id, page_size).await?, history);
    }
    // The adoption adds the timer to version 1 and changes nothing else.
    assert_eq!(OrderTransition { next_transition_time: None, ..history[0].clone() }, unseen[0]);

    let refused = walk(&client, Uuid::now_v7(), 0).await.expect_err("no such order");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "ORDER_NOT_FOUND"));
    assert_eq!(walk(&client, id, 501).await?, history, "more than the maximum is the maximum");
    let refused = walk(&client, id, -1).await.expect_err("negative");
    assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["page_size".to_string()]));
    let page = ListTransitionsRequest { order_id: id.to_string(), page_size: 1, ..Default::default() };
    let page_token = client.list_transitions(page).await?.into_inner().next_page_token;
    let other = ListTransitionsRequest { order_id: Uuid::now_v7().to_string(), page_token, ..Default::default() };
    let refused = client.list_transitions(other).await.expect_err("another order's token");
    assert_eq!(fields(&refused), ["page_token"]);
    replica.stop().await
}

#[tokio::test]
async fn workflows_are_listed_by_name_in_their_current_revision_and_found_in_each() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let shipped = comanda_state_machine::workflow::shipped()?.remove(0);
    let mut edited = shipped.clone();
    edited.statuses[0].labels.insert("fr".into(), "reçu".into());
    assert_eq!(fixture.store()?.store_workflow(&edited, Chooser::File).await?.revision, 2);

    let all = client.list_workflows(ListWorkflowsRequest::default()).await?.into_inner();
    let names: Vec<_> = all.workflows.iter().map(|workflow| (workflow.name.as_str(), workflow.revision)).collect();
    let expected = vec![("courier-delivery", 1), ("delivery", 2), ("delivery-finalizado", 1), ("ride", 1)];
    assert_eq!((names, all.next_page_token.as_str()), (expected, ""));
    assert_eq!(all.workflows[1].statuses, edited.statuses);

    let first = client.list_workflows(ListWorkflowsRequest { page_size: 3, ..Default::default() }).await?.into_inner();
    let request = ListWorkflowsRequest { page_size: 3, page_token: first.next_page_token };
    let second = client.list_workflows(request).await?.into_inner();
    assert_eq!([first.workflows, second.workflows].concat(), all.workflows);
    assert_eq!(second.next_page_token, "");

    for (revision, expected) in [(0, (2, edited.statuses)), (1, (1, shipped.statuses))] {
        let request = GetWorkflowRequest { name: "delivery".into(), revision };
        let workflow = client.get_workflow(request).await?.into_inner().workflow.expect("has one");
        assert_eq!((workflow.revision, workflow.statuses), expected);
    }
    for (name, revision) in [("delivery", 3), ("taxi", 0), ("taxi", 1)] {
        let request = GetWorkflowRequest { name: name.into(), revision };
        let refused = client.get_workflow(request).await.expect_err("there is none");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "WORKFLOW_NOT_FOUND"));
    }
    let refused = client.get_workflow(GetWorkflowRequest { revision: -1, ..Default::default() }).await;
    assert_eq!(fields(&refused.expect_err("says nothing")), ["name", "revision"]);
    replica.stop().await
}
