//! A workflow with a way back: an order can enter a status that it has left.

use std::time::Duration;

use anyhow::Result;
use comanda_proto::v1::{AdvanceOrderRequest, CancelOrderRequest, OrderTransition, Trigger};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::fixture::{Client, Fixture, reason, told};

/// A laundry: what is not clean goes back to the wash. Washing ends by a timer too.
const LAUNDRY: &str = r#"
name = "laundry"
[[status]]
name = "received"
phase = "active"
[[status]]
name = "washing"
phase = "active"
[[status]]
name = "inspection"
phase = "active"
[[status]]
name = "returned"
phase = "succeeded"
[[status]]
name = "withdrawn"
phase = "cancelled"
[[edge]]
from = ["received", "inspection"]
to = "washing"
on = ["advance"]
[[edge]]
from = ["washing"]
to = "inspection"
on = ["timer", "advance"]
delay_ms = 60_000
[[edge]]
from = ["inspection"]
to = "returned"
on = ["advance"]
[[edge]]
from = ["received", "washing"]
to = "withdrawn"
on = ["cancel"]
"#;

fn to(id: Uuid, status: &str) -> AdvanceOrderRequest {
    AdvanceOrderRequest { order_id: id.to_string(), to_status: status.into(), ..Default::default() }
}

async fn advanced(client: &Client, request: AdvanceOrderRequest) -> Result<(OrderTransition, bool), Status> {
    let answer = client.clone().advance_order(request).await?.into_inner();
    Ok((answer.transition.expect("every answer has one"), answer.replayed))
}

/// The reason of a refusal and the statuses that it names.
fn refusal(refused: &Status) -> (Code, String, String) {
    let info = refused.get_details_error_info().expect("has one");
    (refused.code(), reason(refused), info.metadata.get("allowed").cloned().unwrap_or_default())
}

#[tokio::test]
async fn a_status_that_was_left_is_entered_again_where_there_is_a_way_and_refused_elsewhere() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start_with_file(LAUNDRY).await?;
    let client = Client::new(replica.connect().await?);
    let id = fixture.place_of("default", "laundry", 1).await?[0];
    let not_allowed =
        |allowed: &str| (Code::FailedPrecondition, "TRANSITION_NOT_ALLOWED".to_string(), allowed.to_string());

    advanced(&client, to(id, "washing")).await?;
    advanced(&client, to(id, "inspection")).await?;
    for expected_version in [0, 3] {
        let request = AdvanceOrderRequest { expected_version, ..to(id, "received") };
        let refused = advanced(&client, request).await.expect_err("it has left that status for good");
        assert_eq!(refusal(&refused), not_allowed("washing,returned"));
    }
    let request = AdvanceOrderRequest { expected_version: 2, ..to(id, "washing") };
    let refused = advanced(&client, request).await.expect_err("the order has moved on since");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "VERSION_MISMATCH"));

    // The way back is a step of its own, not the first wash.
    let (again, replayed) = advanced(&client, to(id, "washing")).await?;
    assert_eq!((again.version, again.from_status.as_str(), replayed), (4, "inspection", false));
    assert_eq!(advanced(&client, to(id, "washing")).await?, (again, true), "it is there now");
    let refused = advanced(&client, to(id, "received")).await.expect_err("no way leads there");
    assert_eq!(refusal(&refused), not_allowed("inspection"));
    let history = fixture.history(id).await?;
    let statuses: Vec<_> = history.iter().map(|step| step.to_status.as_str()).collect();
    assert_eq!(statuses, ["received", "washing", "inspection", "washing"]);
    replica.stop().await
}

#[tokio::test]
async fn a_command_that_found_nothing_to_do_does_not_move_the_order_when_it_is_repeated() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start_with_file(LAUNDRY).await?;
    let client = Client::new(replica.connect().await?);
    let id = fixture.place_of("default", "laundry", 1).await?[0];
    let (washing, _) = advanced(&client, to(id, "washing")).await?;
    let request = AdvanceOrderRequest { request_id: Uuid::new_v4().to_string(), ..to(id, "washing") };
    assert_eq!(advanced(&client, request.clone()).await?, (washing.clone(), true));
    advanced(&client, to(id, "inspection")).await?;
    // Its answer was lost: without the note the repetition would wash once more.
    assert_eq!(advanced(&client, request.clone()).await?, (washing, true));
    let other = AdvanceOrderRequest { to_status: "returned".into(), ..request };
    let refused = advanced(&client, other).await.expect_err("the id is bound");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "IDEMPOTENCY_MISMATCH"));
    assert_eq!(fixture.history(id).await?.len(), 3);
    replica.stop().await
}

#[tokio::test]
async fn the_timer_of_a_status_runs_again_each_time_it_is_entered() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start_with_file(LAUNDRY).await?;
    let mut client = Client::new(replica.connect().await?);
    let id = fixture.place_of("default", "laundry", 1).await?[0];
    for round in 1..=2 {
        let (washing, _) = advanced(&client, to(id, "washing")).await?;
        let (entered, due) =
            (washing.transition_time.expect("has one"), washing.next_transition_time.expect("has one"));
        assert_eq!((due.seconds - entered.seconds, due.nanos), (60, entered.nanos));
        fixture.make_due(Duration::ZERO).await?;
        comanda_kit::testing::eventually("the wash ends", || async {
            (fixture.history(id).await.ok()?.len() == 1 + 2 * round).then_some(())
        })
        .await;
    }
    let history = fixture.history(id).await?;
    assert_eq!(
        told(&history)[2..],
        [(3, Trigger::Timer, "inspection"), (4, Trigger::Advance, "washing"), (5, Trigger::Timer, "inspection")]
    );
    let refused = client.cancel_order(CancelOrderRequest { order_id: id.to_string(), ..Default::default() }).await;
    assert_eq!(reason(&refused.expect_err("not from there")), "TRANSITION_NOT_ALLOWED");
    replica.stop().await
}
