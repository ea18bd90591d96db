//! `comanda order watch --all`: all orders, until Ctrl-C.

use comanda_client::{OrdersWatch, ResumeToken, Update};
use comanda_proto::v1::{WatchOrdersRequest, WatchOrdersResponse, watch_orders_response::Event};

use super::{Client, event, interruption};
use crate::failure::{Exit, Failure};

const RESPONSE: &str = "comanda.v1.WatchOrdersResponse";

/// Prints what happens until Ctrl-C, which prints how to go on from there.
pub async fn run(client: &Client, request: WatchOrdersRequest) -> Result<(), Failure> {
    let mut watch = client.api.watch_orders(request).await?;
    tokio::select! {
        end = follow(client, &mut watch) => end,
        _ = tokio::signal::ctrl_c() => {
            client.print.notice(&farewell(watch.resume_token()));
            Err(Failure::new(Exit::Interrupted, ""))
        }
    }
}

async fn follow(client: &Client, watch: &mut OrdersWatch) -> Result<(), Failure> {
    loop {
        match watch.next().await? {
            Update::Event(response) => show(client, &response)?,
            Update::Interrupted(interruption) => client.print.notice(&interruption::text(&interruption)),
        }
    }
}

fn show(client: &Client, response: &WatchOrdersResponse) -> Result<(), Failure> {
    let print = client.print;
    match &response.event {
        Some(Event::Transition(step)) => print.show(RESPONSE, response, |paint| event::transition(step, paint))?,
        Some(Event::Current(order)) => print.show(RESPONSE, response, |paint| event::standing(order, paint))?,
        // Programs want the tokens these carry.
        Some(Event::SnapshotComplete(_) | Event::Heartbeat(_)) | None => print.record(RESPONSE, response)?,
    }
    Ok(())
}

fn farewell(token: Option<ResumeToken>) -> String {
    token.map_or_else(
        || "stopped before there was a resume token".to_owned(),
        |token| format!("to go on from here, for about 10 minutes: --resume-token {token}"),
    )
}

#[cfg(test)]
mod tests {
    use comanda_proto::{
        errors::{
            DOMAIN,
            reason::{SNAPSHOT_TOO_LARGE, TOKEN_EXPIRED},
        },
        v1::{Heartbeat, ListOrdersResponse, Order, OrderTransition, watch_orders_request::Start},
    };
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    use super::{
        super::fake::{Fake, Script, Step, serve},
        *,
    };

    fn error(code: Code, reason: &str) -> Vec<Step<WatchOrdersResponse>> {
        vec![Step::End(Status::with_error_details(code, "", ErrorDetails::with_error_info(reason, DOMAIN, [])))]
    }

    fn send(event: Event, token: &'static [u8]) -> Step<WatchOrdersResponse> {
        Step::Send(WatchOrdersResponse { event: Some(event), resume_token: token.into() })
    }

    fn order(order_id: &str, version: i64) -> Order {
        Order { order_id: order_id.into(), version, ..Default::default() }
    }

    #[tokio::test]
    async fn after_an_expired_token_more_orders_than_a_snapshot_holds_are_listed_beside_the_stream() {
        let step = OrderTransition { order_id: "o".into(), version: 3, ..Default::default() };
        let live = vec![
            send(Event::Heartbeat(Heartbeat::default()), b"2"),
            send(Event::Transition(step), b"3"),
            Step::End(Status::unavailable("restart")),
        ];
        let streams =
            [error(Code::OutOfRange, TOKEN_EXPIRED), error(Code::FailedPrecondition, SNAPSHOT_TOO_LARGE), live];
        let pages = [("two", order("p", 1)), ("", order("o", 2))]
            .map(|(next, order)| Ok(ListOrdersResponse { orders: vec![order], next_page_token: next.into() }));
        let fake = Fake { watch_orders: Script::new(streams.map(Ok)), list: Script::new(pages), ..Fake::default() };
        let (fake, client) = serve(fake, &[]).await;
        let start = Some(Start::ResumeToken(b"1".as_slice().into()));
        run(&client, WatchOrdersRequest { start, ..Default::default() }).await.expect_err("the script is over");
        let asked: Vec<_> = fake.watch_orders.asked().into_iter().filter_map(|request| request.start).collect();
        let token = |bytes: &'static [u8]| Start::ResumeToken(bytes.into());
        assert_eq!(
            asked,
            [token(b"1"), Start::Snapshot(Default::default()), Start::Now(Default::default()), token(b"3")]
        );
        let listed: Vec<_> = fake.list.asked().into_iter().map(|request| request.page_token).collect();
        assert_eq!(listed, ["", "two"]);
    }

    #[test]
    fn the_token_to_go_on_with_is_told() {
        let token = "AQI=".parse().ok();
        assert!(farewell(token).ends_with("--resume-token AQI="));
        assert!(farewell(None).contains("before there was"));
    }
}
