//! Following all orders.

use comanda_proto::v1::{
    WatchFilter, WatchOrdersRequest, WatchOrdersResponse, watch_orders_request, watch_orders_response::Event,
    watch_service_client::WatchServiceClient,
};
use tonic::{Code, Status, transport::Channel};

use super::{
    Client, event,
    patience::{self, Patience},
    seen::Seen,
    status::metadata_of,
    watch::Token,
};
use crate::failure::{Exit, Failure};

const RESPONSE: &str = "comanda.v1.WatchOrdersResponse";

/// From where the next stream starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the orders as they stand.
    Snapshot,
    /// With what happens next.
    Now,
    /// After the response that carried this token.
    After(Token),
}

/// What the watch has shown, and how it goes on.
#[derive(Debug)]
pub struct Board {
    filter: WatchFilter,
    start: Start,
    seen: Seen,
}

/// Prints what happens until Ctrl-C, which prints how to go on from there.
pub async fn run(client: &Client, mut board: Board) -> Result<(), Failure> {
    let mut service = client.servers.watches().await?;
    tokio::select! {
        end = watch(client, &mut service, &mut board) => end,
        _ = tokio::signal::ctrl_c() => {
            client.print.notice(&board.farewell());
            Err(Failure::new(Exit::Interrupted, ""))
        }
    }
}

async fn watch(client: &Client, service: &mut WatchServiceClient<Channel>, board: &mut Board) -> Result<(), Failure> {
    let mut patience = Patience::new();
    loop {
        let status = follow(client, service, board, &mut patience).await?;
        if let Some(loss) = board.recover(&status) {
            client.print.notice(loss);
        }
        patience.outlast(status, client.print).await?;
    }
}

/// Reads one stream and returns how it ended.
async fn follow(
    client: &Client,
    service: &mut WatchServiceClient<Channel>,
    board: &mut Board,
    patience: &mut Patience,
) -> Result<Status, Failure> {
    let mut stream = match patience::open(service.watch_orders(board.request())).await {
        Ok(stream) => stream,
        Err(status) => return Ok(status),
    };
    loop {
        let response = match patience::next(&mut stream).await {
            Ok(response) => response,
            Err(status) => return Ok(status),
        };
        patience.heard();
        if board.accept(&response) {
            show(client, &response)?;
        }
    }
}

fn show(client: &Client, response: &WatchOrdersResponse) -> Result<(), Failure> {
    let print = client.print;
    match &response.event {
        Some(Event::Transition(step)) => print.show(RESPONSE, response, |paint| event::transition(step, paint))?,
        Some(Event::Current(order)) => print.show(RESPONSE, response, |paint| event::standing(order, paint))?,
        // Programs want the tokens these carry.
        Some(Event::SnapshotComplete(()) | Event::Heartbeat(_)) | None => print.record(RESPONSE, response)?,
    }
    Ok(())
}

impl Board {
    /// Nothing shown yet.
    pub fn new(filter: WatchFilter, start: Start) -> Self {
        Self { filter, start, seen: Seen::default() }
    }

    fn request(&self) -> WatchOrdersRequest {
        let start = match &self.start {
            Start::Snapshot => watch_orders_request::Start::Snapshot(()),
            Start::Now => watch_orders_request::Start::Now(()),
            Start::After(Token(bytes)) => watch_orders_request::Start::ResumeToken(bytes.clone().into()),
        };
        WatchOrdersRequest { filter: Some(self.filter.clone()), start: Some(start) }
    }

    /// Notes a response, and says whether it tells something new.
    fn accept(&mut self, response: &WatchOrdersResponse) -> bool {
        // While a snapshot is sent there is none: a break then starts the snapshot again.
        if !response.resume_token.is_empty() {
            self.start = Start::After(Token(response.resume_token.to_vec()));
        }
        match &response.event {
            Some(Event::Transition(step)) => self.seen.is_new(&step.order_id, step.version),
            Some(Event::Current(order)) => self.seen.is_new(&order.order_id, order.version),
            Some(Event::SnapshotComplete(()) | Event::Heartbeat(_)) | None => true,
        }
    }

    /// Chooses the next start after a stream ended, and says what is lost by it.
    fn recover(&mut self, status: &Status) -> Option<&'static str> {
        if status.code() == Code::OutOfRange && self.start != Start::Snapshot {
            self.start = Start::Snapshot;
            return Some("the resume token has expired: taking a snapshot; orders that ended meanwhile are not shown");
        }
        if self.start == Start::Now {
            return self.recover_now(status);
        }
        None
    }

    /// Before the first token only the error can tell where the stream was.
    fn recover_now(&mut self, status: &Status) -> Option<&'static str> {
        match metadata_of(status, "resume_token").and_then(|text| text.parse().ok()) {
            Some(token) => self.start = Start::After(token),
            None => return Some("the stream broke before its first resume token: what happens meanwhile is not shown"),
        }
        None
    }

    fn farewell(&self) -> String {
        match &self.start {
            Start::After(token) => format!("to go on from here, for about 10 minutes: --resume-token {}", token.text()),
            Start::Snapshot | Start::Now => "stopped before there was a resume token".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::{
        errors::{DOMAIN, reason::SHUTTING_DOWN, reason::TOKEN_EXPIRED},
        v1::{Order, OrderTransition},
    };
    use tonic_types::{ErrorDetails, StatusExt};

    use super::{
        super::fake::{Fake, Script},
        *,
    };

    fn accept(board: &mut Board, event: Event, token: &'static [u8]) -> bool {
        board.accept(&WatchOrdersResponse { event: Some(event), resume_token: token.into() })
    }

    fn current(version: i64) -> Event {
        Event::Current(Order { order_id: "o".into(), version, ..Default::default() })
    }

    fn step(version: i64) -> Event {
        Event::Transition(OrderTransition { order_id: "o".into(), version, ..Default::default() })
    }

    fn error(code: Code, reason: &str, token: &str) -> Status {
        let metadata = [("resume_token".to_owned(), token.to_owned())];
        Status::with_error_details(code, "", ErrorDetails::with_error_info(reason, DOMAIN, metadata))
    }

    #[test]
    fn a_broken_snapshot_starts_again_and_shows_nothing_twice() {
        let mut board = Board::new(WatchFilter::default(), Start::Snapshot);
        assert!(accept(&mut board, current(2), b""));
        assert_eq!(board.start, Start::Snapshot);
        assert!(!accept(&mut board, current(2), b""));
        assert!(accept(&mut board, Event::SnapshotComplete(()), b"1"));
        assert!(accept(&mut board, step(3), b"2"));
        assert!(!accept(&mut board, step(3), b"3"));
        assert_eq!(board.start, Start::After(Token(b"3".to_vec())));
    }

    #[tokio::test]
    async fn a_broken_watch_resumes_after_its_token_and_an_expired_one_at_a_snapshot() {
        let event =
            |event, token: &'static [u8]| Ok(WatchOrdersResponse { event: Some(event), resume_token: token.into() });
        let first = vec![event(Event::SnapshotComplete(()), b"1"), event(step(3), b"2"), Err(Status::unavailable(""))];
        let expired = vec![Err(error(Code::OutOfRange, TOKEN_EXPIRED, ""))];
        let fake = Fake { watch_orders: Script::new([Ok(first), Ok(expired)]), ..Fake::default() };
        let (fake, client) = fake.serve().await;
        let board = Board::new(WatchFilter::default(), Start::Snapshot);
        run(&client, board).await.expect_err("the script is over");
        let asked: Vec<_> = fake.watch_orders.asked().into_iter().filter_map(|request| request.start).collect();
        let token = watch_orders_request::Start::ResumeToken(b"2".as_slice().into());
        let snapshot = watch_orders_request::Start::Snapshot(());
        assert_eq!(asked, [snapshot.clone(), token, snapshot]);
    }

    #[test]
    fn an_expired_token_leads_to_a_snapshot_and_says_so() {
        let mut board = Board::new(WatchFilter::default(), Start::After(Token(vec![1])));
        let loss = board.recover(&error(Code::OutOfRange, TOKEN_EXPIRED, "")).expect("said");
        assert!(loss.contains("snapshot"));
        assert_eq!(board.start, Start::Snapshot);
    }

    #[test]
    fn a_break_keeps_the_last_token() {
        let mut board = Board::new(WatchFilter::default(), Start::After(Token(vec![1])));
        assert_eq!(board.recover(&error(Code::Unavailable, SHUTTING_DOWN, "AQI=")), None);
        assert_eq!(board.start, Start::After(Token(vec![1])));
    }

    #[test]
    fn a_break_before_the_first_token_uses_that_of_the_error() {
        let mut board = Board::new(WatchFilter::default(), Start::Now);
        assert!(board.recover(&Status::unavailable("")).is_some());
        assert_eq!(board.recover(&error(Code::Unavailable, SHUTTING_DOWN, "AQI=")), None);
        assert_eq!(board.start, Start::After(Token(vec![1, 2])));
    }
}
