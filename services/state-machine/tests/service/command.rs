//! Callers move orders.

use std::time::Duration;

use anyhow::Result;
use comanda_proto::v1::{
    AdvanceOrderRequest, CancelOrderRequest, CancelOrderResponse, OrderTransition, RejectOrderRequest, Trigger,
};
use futures::future::join_all;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::fixture::{Client, Fixture, Stepper, fields, reason, told};

fn advance(id: Uuid) -> AdvanceOrderRequest {
    AdvanceOrderRequest { order_id: id.to_string(), ..Default::default() }
}

fn advance_to(id: Uuid, status: &str) -> AdvanceOrderRequest {
    AdvanceOrderRequest { to_status: status.into(), ..advance(id) }
}

fn advance_once(id: Uuid) -> AdvanceOrderRequest {
    AdvanceOrderRequest { request_id: Uuid::new_v4().to_string(), ..advance(id) }
}

fn cancel(id: Uuid) -> CancelOrderRequest {
    CancelOrderRequest { order_id: id.to_string(), ..Default::default() }
}

fn reject(id: Uuid) -> RejectOrderRequest {
    RejectOrderRequest { order_id: id.to_string(), ..Default::default() }
}

/// The transition of an AdvanceOrder, and whether it was there before.
async fn advanced(client: &Client, request: AdvanceOrderRequest) -> Result<(OrderTransition, bool), Status> {
    let answer = client.clone().advance_order(request).await?.into_inner();
    Ok((answer.transition.expect("every answer has one"), answer.replayed))
}

fn of_cancel(answer: Response<CancelOrderResponse>) -> (OrderTransition, bool) {
    let answer = answer.into_inner();
    (answer.transition.expect("every answer has one"), answer.replayed)
}

#[tokio::test]
async fn commands_move_an_order_and_say_who_and_why() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let ids = fixture.place(2).await?;
    let request = AdvanceOrderRequest { reason: "cooked early".into(), ..advance_to(ids[0], "preparing") };
    let (step, replayed) = advanced(&client, request).await?;
    assert_eq!((step.version, step.trigger(), replayed), (2, Trigger::Advance, false));
    assert_eq!((step.actor.as_str(), step.reason.as_str()), ("owner", "cooked early"));
    let (cancelled, _) = of_cancel(client.cancel_order(cancel(ids[0])).await?);
    assert_eq!((cancelled.to_status.as_str(), cancelled.actor.as_str()), ("cancelled", "owner"));
    let rejected = client.reject_order(reject(ids[1])).await?.into_inner().transition.expect("has one");
    assert_eq!((rejected.version, rejected.to_status.as_str()), (2, "rejected"));

    let histories = fixture.histories().await?;
    let expected =
        [(1, Trigger::Create, "received"), (2, Trigger::Advance, "preparing"), (3, Trigger::Cancel, "cancelled")];
    assert_eq!(told(&histories[&ids[0]]), expected);
    assert_eq!(histories[&ids[0]][1..], [step, cancelled]);
    assert_eq!(histories[&ids[1]][1], rejected);
    replica.stop().await
}

#[tokio::test]
async fn a_command_with_a_request_id_happens_once() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (first, client) = fixture.serve().await?;
    let (second, other_client) = fixture.serve().await?;
    let id = fixture.place_one().await?;

    let request = advance_once(id);
    let calls = (0..16).map(|call| advanced(if call % 2 == 0 { &client } else { &other_client }, request.clone()));
    let answers = join_all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    assert!(answers.iter().all(|(step, _)| *step == answers[0].0 && step.version == 2));

    // Long after the order has moved on, the answer is still the first.
    advanced(&client, advance_once(id)).await?;
    advanced(&client, advance_once(id)).await?;
    assert_eq!(advanced(&other_client, request).await?, (answers[0].0.clone(), true));
    assert_eq!(fixture.history(id).await?.len(), 4);
    first.stop().await?;
    second.stop().await
}

#[tokio::test]
async fn an_expected_version_guards_a_command() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    let id = fixture.place_one().await?;
    let expecting = |expected_version: i64| AdvanceOrderRequest { expected_version, ..advance(id) };
    for wrong in [2, 7] {
        let refused = advanced(&client, expecting(wrong)).await.expect_err("another version");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "VERSION_MISMATCH"));
        assert_eq!(refused.get_details_error_info().expect("has one").metadata["version"], "1");
    }
    let answers = join_all((0..8).map(|_| advanced(&client, expecting(1)))).await;
    let (moved, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((moved.len(), refused.len()), (1, 7));
    assert!(refused.into_iter().all(|refused| reason(&refused.expect_err("partitioned")) == "VERSION_MISMATCH"));
    assert_eq!(fixture.history(id).await?.len(), 2);
    replica.stop().await
}

#[tokio::test]
async fn the_present_status_is_success_without_a_step_and_a_status_left_is_refused() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let ids = fixture.place(3).await?;
    let (preparing, _) = advanced(&client, advance_to(ids[0], "preparing")).await?;
    assert_eq!(advanced(&client, advance_to(ids[0], "preparing")).await?, (preparing, true));
    advanced(&client, advance_to(ids[0], "dispatched")).await?;
    let refused = advanced(&client, advance_to(ids[0], "preparing")).await.expect_err("the order has left it");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "TRANSITION_NOT_ALLOWED"));
    assert_eq!(refused.get_details_error_info().expect("has one").metadata["allowed"], "delivered");
    let (delivered, _) = advanced(&client, advance_to(ids[0], "delivered")).await?;
    assert_eq!(advanced(&client, advance_to(ids[0], "delivered")).await?, (delivered, true));
    let refused = advanced(&client, advance_to(ids[0], "preparing")).await.expect_err("the order has ended");
    assert_eq!(reason(&refused), "ORDER_ENDED");
    assert_eq!(fixture.history(ids[0]).await?.len(), 4);

    let first = of_cancel(client.cancel_order(cancel(ids[1])).await?);
    assert_eq!(of_cancel(client.cancel_order(cancel(ids[1])).await?), (first.0, true));
    let first = client.reject_order(reject(ids[2])).await?.into_inner();
    let again = client.reject_order(reject(ids[2])).await?.into_inner();
    assert_eq!((first.replayed, again.replayed, first.transition), (false, true, again.transition));
    replica.stop().await
}

#[tokio::test]
async fn a_step_that_the_workflow_does_not_allow_is_refused_naming_the_allowed_ones() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let id = fixture.place_one().await?;
    let info = |status: &Status| status.get_details_error_info().expect("has one");

    let refused = advanced(&client, advance_to(id, "delivered")).await.expect_err("two steps at once");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "TRANSITION_NOT_ALLOWED"));
    assert_eq!(
        (info(&refused).metadata["allowed"].as_str(), info(&refused).metadata["status"].as_str()),
        ("preparing", "received")
    );
    let refused = advanced(&client, advance_to(id, "nowhere")).await.expect_err("no such status");
    assert_eq!(reason(&refused), "TRANSITION_NOT_ALLOWED");

    advanced(&client, advance_to(id, "preparing")).await?;
    let refused = client.reject_order(reject(id)).await.expect_err("too late");
    assert_eq!(
        (reason(&refused).as_str(), info(&refused).metadata["allowed"].as_str()),
        ("TRANSITION_NOT_ALLOWED", "")
    );
    advanced(&client, advance_to(id, "dispatched")).await?;
    let refused = client.cancel_order(cancel(id)).await.expect_err("on its way");
    assert_eq!(reason(&refused), "TRANSITION_NOT_ALLOWED");
    advanced(&client, advance_to(id, "delivered")).await?;
    for refused in [
        client.cancel_order(cancel(id)).await.expect_err("ended"),
        client.reject_order(reject(id)).await.expect_err("ended"),
        advanced(&client, advance_once(id)).await.expect_err("ended"),
    ] {
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "ORDER_ENDED"));
        assert_eq!(info(&refused).metadata["version"], "4");
    }
    assert_eq!(fixture.history(id).await?.len(), 4);
    replica.stop().await
}

#[tokio::test]
async fn invalid_commands_are_refused_naming_every_wrong_field() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let id = fixture.place_one().await?;
    let long = "ñ".repeat(501);
    let cases = [
        (advance(id), vec!["request_id"]),
        (AdvanceOrderRequest { order_id: "7".into(), ..advance_to(id, "preparing") }, vec!["order_id"]),
        (
            AdvanceOrderRequest {
                request_id: "7".into(),
                expected_version: -1,
                reason: long.clone(),
                ..advance_to(id, &"s".repeat(64))
            },
            vec!["to_status", "request_id", "expected_version", "reason"],
        ),
        (AdvanceOrderRequest { request_id: Uuid::nil().to_string(), ..advance(id) }, vec!["request_id"]),
    ];
    for (request, expected) in cases {
        let refused = advanced(&client, request).await.expect_err("must be refused");
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, expected.into_iter().map(String::from).collect())
        );
    }
    let refused = client.cancel_order(CancelOrderRequest { reason: long, ..cancel(id) }).await.expect_err("too long");
    assert_eq!(fields(&refused), ["reason"]);

    let missing = Uuid::now_v7();
    for refused in [
        advanced(&client, advance_once(missing)).await.expect_err("no such order"),
        client.cancel_order(cancel(missing)).await.expect_err("no such order"),
        client.reject_order(reject(missing)).await.expect_err("no such order"),
    ] {
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "ORDER_NOT_FOUND"));
    }
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.states").await, 0);
    replica.stop().await
}

#[tokio::test]
async fn a_cancel_that_races_the_timer_has_one_outcome() -> Result<()> {
    let fixture = Fixture::new().await?;
    let adopter = Stepper::new(&fixture)?;
    let ids = fixture.place(200).await?;
    adopter.adopt(&ids).await?;
    fixture.make_due(Duration::ZERO).await?;
    let replica = fixture.start(Some(0)).await?;
    let client = Client::new(replica.connect().await?);
    let answers = join_all(ids.iter().map(|id| {
        let mut client = client.clone();
        async move { client.cancel_order(cancel(*id)).await }
    }))
    .await;
    fixture.all_ended().await;

    let histories = fixture.histories().await?;
    for (id, answer) in ids.iter().zip(answers) {
        let end = histories[id].last().expect("never empty");
        match answer {
            Ok(answer) => assert_eq!(*end, of_cancel(answer).0),
            Err(refused) => {
                let told = reason(&refused);
                assert!(
                    ["TRANSITION_NOT_ALLOWED", "ORDER_ENDED", "CONTENTION", "OVERLOADED"].contains(&told.as_str()),
                    "{refused:?}"
                );
                assert_eq!(end.to_status, "delivered");
            }
        }
    }
    assert_eq!(fixture.published_histories().await?, histories);
    replica.stop().await
}
