//! `comanda order watch ORDER`: one order, until it has ended.

use comanda_client::Update;
use comanda_proto::v1::{WatchOrderRequest, WatchOrderResponse, watch_order_response::Event};

use super::{Client, event, interruption};
use crate::failure::Failure;

/// Prints each transition above the version once, and how the order is after those that had happened before.
pub async fn run(client: &Client, request: WatchOrderRequest) -> Result<(), Failure> {
    let mut watch = client.api.watch_order(request).await?;
    while let Some(update) = watch.next().await? {
        match update {
            Update::Event(response) => show(client, &response)?,
            Update::Interrupted(interruption) => client.print.notice(&interruption::text(&interruption)),
        }
    }
    Ok(())
}

fn show(client: &Client, response: &WatchOrderResponse) -> Result<(), Failure> {
    client.print.show("comanda.v1.WatchOrderResponse", response, |paint| match &response.event {
        Some(Event::Transition(transition)) => event::transition(transition, paint),
        Some(Event::Current(order)) => event::standing(order, paint),
        Some(Event::Courier(courier)) => event::courier(courier, paint),
        Some(Event::Heartbeat(_)) | None => String::new(),
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{OrderTransition, Phase};
    use tonic::Status;

    use super::{
        super::fake::{Fake, Script, Step, serve},
        *,
    };

    fn transition(version: i64, phase: Phase) -> Step<WatchOrderResponse> {
        let transition = OrderTransition { version, phase: phase.into(), ..Default::default() };
        Step::Send(WatchOrderResponse { event: Some(Event::Transition(transition)) })
    }

    #[tokio::test]
    async fn a_watch_that_a_proxy_breaks_goes_on_after_the_last_version_until_the_order_has_ended() {
        let streams = [
            vec![transition(1, Phase::Active), Step::End(Status::internal("stream closed by a proxy"))],
            vec![],
            vec![transition(2, Phase::Succeeded)],
        ];
        let fake = Fake { watch_order: Script::new(streams.map(Ok)), ..Fake::default() };
        let (fake, client) = serve(fake, &[]).await;
        run(&client, WatchOrderRequest::default()).await.expect("the order ended");
        let asked: Vec<_> = fake.watch_order.asked().iter().map(|request| request.after_version).collect();
        assert_eq!(asked, [0, 1, 1]);
    }
}
