//! Following one order to its end.

use comanda_proto::v1::{
    WatchOrderRequest, WatchOrderResponse, watch_order_response::Event, watch_service_client::WatchServiceClient,
};
use tonic::{Status, transport::Channel};

use super::{
    Client, event,
    patience::{self, Patience},
    watch::is_end,
};
use crate::failure::Failure;

/// How far the watch has come.
#[derive(Debug, Default)]
struct Progress {
    version: i64,
    standing_shown: bool,
    ended: bool,
}

/// Prints each transition above the version once, and where the order stands after those that had happened before.
pub async fn run(client: &Client, order_id: String, after_version: i64) -> Result<(), Failure> {
    let mut service = client.servers.watches().await?;
    let mut progress = Progress { version: after_version, ..Progress::default() };
    let mut patience = Patience::new();
    loop {
        let request = WatchOrderRequest { order_id: order_id.clone(), after_version: progress.version };
        let status = follow(client, &mut service, request, &mut progress, &mut patience).await?;
        if progress.ended {
            return Ok(());
        }
        patience.outlast(status, client.print).await?;
    }
}

/// Reads one stream and returns how it ended.
async fn follow(
    client: &Client,
    service: &mut WatchServiceClient<Channel>,
    request: WatchOrderRequest,
    progress: &mut Progress,
    patience: &mut Patience,
) -> Result<Status, Failure> {
    let mut stream = match patience::open(service.watch_order(request)).await {
        Ok(stream) => stream,
        Err(status) => return Ok(status),
    };
    loop {
        let response = match patience::next(&mut stream).await {
            Ok(response) => response,
            Err(status) => return Ok(status),
        };
        patience.heard();
        if progress.accept(&response) {
            show(client, &response)?;
        }
    }
}

fn show(client: &Client, response: &WatchOrderResponse) -> Result<(), Failure> {
    client.print.show("comanda.v1.WatchOrderResponse", response, |paint| match &response.event {
        Some(Event::Transition(transition)) => event::transition(transition, paint),
        Some(Event::Current(order)) => event::standing(order, paint),
        Some(Event::Heartbeat(_)) | None => String::new(),
    })?;
    Ok(())
}

impl Progress {
    /// Notes a response, and says whether it tells something new.
    fn accept(&mut self, response: &WatchOrderResponse) -> bool {
        match &response.event {
            Some(Event::Transition(transition)) => {
                self.ended |= is_end(transition.phase());
                let is_new = transition.version > self.version;
                self.version = self.version.max(transition.version);
                is_new
            }
            Some(Event::Current(order)) => {
                self.ended |= is_end(order.phase());
                !std::mem::replace(&mut self.standing_shown, true)
            }
            Some(Event::Heartbeat(_)) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{Heartbeat, Order, OrderTransition, Phase};

    use super::{
        super::fake::{Fake, Script},
        *,
    };

    fn accept(progress: &mut Progress, event: Event) -> bool {
        progress.accept(&WatchOrderResponse { event: Some(event) })
    }

    fn transition(version: i64, phase: Phase) -> Event {
        Event::Transition(OrderTransition { version, phase: phase.into(), ..Default::default() })
    }

    #[test]
    fn nothing_is_shown_twice_after_a_break() {
        let mut progress = Progress { version: 1, ..Progress::default() };
        assert!(accept(&mut progress, transition(2, Phase::Active)));
        assert!(accept(&mut progress, Event::Current(Order::default())));
        assert!(!accept(&mut progress, Event::Heartbeat(Heartbeat { version: 2 })));
        assert!(!accept(&mut progress, transition(2, Phase::Active)));
        assert!(!accept(&mut progress, Event::Current(Order::default())));
        assert!(accept(&mut progress, transition(3, Phase::Active)));
        assert_eq!(progress.version, 3);
    }

    #[tokio::test]
    async fn a_broken_watch_resumes_after_the_last_version() {
        let event = |event| Ok(WatchOrderResponse { event: Some(event) });
        let first = vec![event(transition(1, Phase::Active)), Err(Status::unavailable("restart"))];
        let second = vec![event(transition(2, Phase::Succeeded)), event(Event::Current(Order::default()))];
        let fake = Fake { watch_order: Script::new([Ok(first), Ok(second)]), ..Fake::default() };
        let (fake, client) = fake.serve().await;
        run(&client, "o".into(), 0).await.expect("the order ended");
        let asked: Vec<_> = fake.watch_order.asked().iter().map(|request| request.after_version).collect();
        assert_eq!(asked, [0, 1]);
    }

    #[test]
    fn the_watch_ends_with_the_order() {
        let mut progress = Progress::default();
        accept(&mut progress, transition(1, Phase::Active));
        assert!(!progress.ended);
        accept(&mut progress, transition(2, Phase::Succeeded));
        assert!(progress.ended);

        let mut late = Progress { version: 2, ..Progress::default() };
        accept(&mut late, Event::Current(Order { version: 2, phase: Phase::Cancelled.into(), ..Default::default() }));
        assert!(late.ended);
    }
}
