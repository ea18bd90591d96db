//! Timers that count from an order's start time.

use anyhow::Result;
use comanda_proto::{
    v1::{AdvanceOrderRequest, OrderTransition},
    views::offset_date_time,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::fixture::{Client, Fixture};

/// A ride that starts so many seconds after it was ordered; without a number, at once.
async fn ride(fixture: &Fixture, start_seconds: Option<i64>) -> Result<Uuid> {
    let id = fixture.place_of("default", "ride", 1).await?[0];
    let start = start_seconds.map_or("NULL".into(), |seconds| format!("create_time + interval '{seconds} seconds'"));
    let statement =
        format!("UPDATE ordering.orders SET first_status = 'requested', start_time = {start} WHERE order_id = '{id}'");
    sqlx::query(AssertSqlSafe(statement)).execute(&fixture.sql).await?;
    Ok(id)
}

/// In how many seconds after a moment a transition's timer is due.
fn due_seconds(transition: &OrderTransition, moment: &OrderTransition) -> i64 {
    let time = |time: Option<prost_types::Timestamp>| offset_date_time(&time.expect("has one")).expect("in range");
    (time(transition.next_transition_time) - time(moment.transition_time)).whole_seconds()
}

#[tokio::test]
async fn a_timer_that_counts_from_the_start_time_does_so_at_first_and_when_its_status_is_entered_again() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = fixture.start(None).await?;
    let mut client = Client::new(replica.connect().await?);
    for (start, first, again) in [(None, 600, 600), (Some(-60), 600, 600), (Some(86_400), 87_000, 87_000)] {
        let id = ride(&fixture, start).await?;
        for status in ["confirmed", "requested"] {
            let to = AdvanceOrderRequest { order_id: id.to_string(), to_status: status.into(), ..Default::default() };
            client.advance_order(to).await?;
        }
        let history = fixture.history(id).await?;
        assert_eq!(due_seconds(&history[0], &history[0]), first, "{start:?}");
        assert_eq!(history[1].next_transition_time, None);
        let base = if start.is_some_and(|seconds| seconds > 0) { &history[0] } else { &history[2] };
        assert_eq!(due_seconds(&history[2], base), again, "{start:?}");
    }
    replica.stop().await
}
