//! A request id is bound to one command.

use anyhow::Result;
use comanda_proto::v1::{AdvanceOrderRequest, CancelOrderRequest, OrderTransition, RejectOrderRequest};
use comanda_state_machine::operator;
use futures::future::join_all;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::fixture::{Client, Fixture, reason};

/// A command with its request id.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Command {
    Advance(&'static str),
    Cancel,
    Reject,
}

/// Gives the command; its answer.
async fn give(
    client: &Client,
    id: Uuid,
    request_id: Uuid,
    command: Command,
) -> Result<(OrderTransition, bool), Status> {
    let mut client = client.clone();
    let (order_id, request_id) = (id.to_string(), request_id.to_string());
    let (transition, replayed) = match command {
        Command::Advance(to_status) => {
            let request =
                AdvanceOrderRequest { order_id, request_id, to_status: to_status.into(), ..Default::default() };
            let answer = client.advance_order(request).await?.into_inner();
            (answer.transition, answer.replayed)
        }
        Command::Cancel => {
            let request = CancelOrderRequest { order_id, request_id, ..Default::default() };
            let answer = client.cancel_order(request).await?.into_inner();
            (answer.transition, answer.replayed)
        }
        Command::Reject => {
            let request = RejectOrderRequest { order_id, request_id, ..Default::default() };
            let answer = client.reject_order(request).await?.into_inner();
            (answer.transition, answer.replayed)
        }
    };
    Ok((transition.expect("every answer has one"), replayed))
}

fn is_mismatch(refused: &Status) -> bool {
    (refused.code(), reason(refused).as_str()) == (Code::InvalidArgument, "IDEMPOTENCY_MISMATCH")
}

const ALL: [Command; 6] = [
    Command::Advance(""),
    Command::Advance("preparing"),
    Command::Advance("dispatched"),
    Command::Advance("nowhere"),
    Command::Cancel,
    Command::Reject,
];

#[tokio::test]
async fn another_command_or_target_with_the_same_id_is_refused_and_changes_nothing() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    for first in [Command::Advance(""), Command::Advance("preparing"), Command::Cancel, Command::Reject] {
        let (id, request_id) = (fixture.place_one().await?, Uuid::new_v4());
        let (transition, replayed) = give(&client, id, request_id, first).await?;
        assert!(!replayed);
        for other in ALL.into_iter().filter(|other| *other != first) {
            let refused = give(&client, id, request_id, other).await.expect_err("bound to the first");
            assert!(is_mismatch(&refused), "{other:?} after {first:?}: {refused:?}");
            let info = refused.get_details_error_info().expect("has one");
            assert_eq!(
                (info.metadata["request_id"].clone(), info.metadata["version"].as_str()),
                (request_id.to_string(), "2")
            );
        }
        assert_eq!(give(&client, id, request_id, first).await?, (transition, true));
        assert_eq!(fixture.history(id).await?.len(), 2);
    }
    replica.stop().await
}

#[tokio::test]
async fn another_reason_or_expected_version_is_the_same_command() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, mut client) = fixture.serve().await?;
    let id = fixture.place_one().await?;
    let request = AdvanceOrderRequest {
        order_id: id.to_string(),
        request_id: Uuid::new_v4().to_string(),
        expected_version: 1,
        reason: "early".into(),
        ..Default::default()
    };
    let first = client.advance_order(request.clone()).await?.into_inner();
    for (expected_version, reason) in [(1, "early"), (2, "early"), (0, "again"), (7, "")] {
        let request = AdvanceOrderRequest { expected_version, reason: reason.into(), ..request.clone() };
        let again = client.advance_order(request).await?.into_inner();
        assert_eq!((again.transition, again.replayed), (first.transition.clone(), true));
    }
    replica.stop().await
}

#[tokio::test]
async fn a_refused_command_binds_nothing_and_another_order_has_ids_of_its_own() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    let (ids, request_id) = (fixture.place(2).await?, Uuid::new_v4());
    let refused = give(&client, ids[0], request_id, Command::Advance("delivered")).await.expect_err("too far");
    assert_eq!(reason(&refused), "TRANSITION_NOT_ALLOWED");
    let (advanced, replayed) = give(&client, ids[0], request_id, Command::Advance("preparing")).await?;
    assert_eq!((advanced.version, replayed), (2, false));
    let (cancelled, replayed) = give(&client, ids[1], request_id, Command::Cancel).await?;
    assert_eq!((cancelled.to_status.as_str(), replayed), ("cancelled", false));
    replica.stop().await
}

#[tokio::test]
async fn of_different_commands_with_one_id_at_once_one_is_carried_out() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (first, client) = fixture.serve().await?;
    let (second, other_client) = fixture.serve().await?;
    for id in fixture.place(10).await? {
        let request_id = Uuid::new_v4();
        // The third has nothing to do once the first was applied, and binds the id all the same.
        let commands = [Command::Advance(""), Command::Cancel, Command::Advance("received"), Command::Reject];
        let calls = commands.into_iter().enumerate().map(|(index, command)| {
            let client = if index % 2 == 0 { &client } else { &other_client };
            async move { (command, give(client, id, request_id, command).await) }
        });
        let answers = join_all(calls).await;
        let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.is_ok());
        assert_eq!(done.len(), 1, "{done:?}");
        assert!(
            refused.iter().all(|(_, answer)| is_mismatch(answer.as_ref().expect_err("partitioned"))),
            "{refused:?}"
        );
        let moved = if done[0].0 == Command::Advance("received") { 1 } else { 2 };
        assert_eq!(fixture.history(id).await?.len(), moved);
    }
    first.stop().await?;
    second.stop().await
}

#[tokio::test]
async fn an_order_that_is_removed_takes_its_request_ids_with_it() -> Result<()> {
    let fixture = Fixture::new().await?;
    let (replica, client) = fixture.serve().await?;
    let ids = fixture.place(2).await?;
    for id in &ids {
        give(&client, *id, Uuid::new_v4(), Command::Cancel).await?;
    }
    operator::remove(&mut *fixture.sql.acquire().await?, &ids[..1]).await?;
    let left: Vec<Uuid> =
        sqlx::query_scalar("SELECT order_id FROM state_machine.requests").fetch_all(&fixture.sql).await?;
    assert_eq!(left, ids[1..]);
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.states").await, 1);
    replica.stop().await
}
