//! Watching all orders that match a filter.

use std::time::Duration;

use comanda_proto::{
    errors::reason::{SNAPSHOT_TOO_LARGE, TOKEN_EXPIRED},
    v1::{
        Order, WatchOrdersRequest, WatchOrdersResponse, watch_orders_request::Start, watch_orders_response::Event,
        watch_service_client::WatchServiceClient,
    },
};
use tonic::Code;

use crate::{
    backlog::Backlog,
    client::Client,
    credentials::Connection,
    error::Error,
    opened::Opened,
    phase::is_terminal,
    reader::{self, Reader},
    retry::Waits,
    seen::Seen,
    stream::Stream,
    token::ResumeToken,
    update::{Interruption, Resume, Update},
};

/// The transitions of all orders that match a filter, whatever happens to connections and servers. Made by [`Client::watch_orders`].
#[derive(Debug)]
pub struct OrdersWatch {
    client: Client,
    service: WatchServiceClient<Connection>,
    opened: Opened,
    /// Its start is where the next stream starts.
    request: WatchOrdersRequest,
    stream: Stream<WatchOrdersResponse>,
    backlog: Backlog,
    seen: Seen,
    waits: Waits,
}

/// What came next.
enum Received {
    Response(Result<WatchOrdersResponse, Error>),
    Read(Option<Result<Order, (Error, Duration)>>),
}

impl Client {
    /// Watches all orders that match a filter, with a snapshot first unless the request says otherwise. The stream is opened by the
    /// first call of [`next`](OrdersWatch::next). Fails if no connection can be made.
    pub async fn watch_orders(&self, mut request: WatchOrdersRequest) -> Result<OrdersWatch, Error> {
        request.start.get_or_insert(Start::Snapshot(Default::default()));
        let mut watch = OrdersWatch {
            client: self.clone(),
            service: self.watch_service().await?,
            opened: Opened::with(&self.config().credentials),
            request,
            stream: Stream::new(self.config().silence),
            backlog: Backlog::None,
            seen: Seen::default(),
            waits: self.waits(),
        };
        watch.open(Duration::ZERO);
        Ok(watch)
    }
}

impl OrdersWatch {
    /// The next response that tells something new: an order of the snapshot, a transition, the end of the snapshot, or a heartbeat with a
    /// new token. Each version of an order is handed out once. There is no end.
    ///
    /// A stream that breaks, ends or falls silent is reported, and resumed at the next call, for as long as it takes. Where its token has
    /// expired a snapshot is taken. Where more orders match than a snapshot may hold, the watch starts a stream with what happens next, and
    /// then lists the orders that have not ended, page by page; both are merged by version, so nothing is missed between them. Orders that
    /// this watch has shown before and that have ended meanwhile are read one by one. Then comes `snapshot_complete`. Errors about the
    /// request (INVALID_ARGUMENT, ...) are final.
    ///
    /// Nothing is lost where the returned future is dropped.
    pub async fn next(&mut self) -> Result<Update<WatchOrdersResponse>, Error> {
        loop {
            let accepted = match self.receive().await {
                Received::Response(Ok(response)) => self.accept(response),
                Received::Response(Err(error)) => return self.interrupt(error),
                Received::Read(Some(Ok(order))) => self.accept_read(order),
                Received::Read(Some(Err((error, wait)))) => return self.interrupt_reading(error, wait),
                Received::Read(None) => self.after_reading(),
            };
            if let Some(response) = accepted {
                return Ok(Update::Event(response));
            }
        }
    }

    /// Where to go on after the last response: for the `start` of another watch with the same filter. `None` while there is no such
    /// place: before the first token, and while a snapshot is read.
    pub fn resume_token(&self) -> Option<ResumeToken> {
        match (&self.backlog, &self.request.start) {
            (Backlog::None, Some(Start::ResumeToken(token))) => ResumeToken::new(token),
            _ => None,
        }
    }

    async fn receive(&mut self) -> Received {
        tokio::select! {
            response = self.stream.next(Duration::MAX) => Received::Response(response),
            order = reader::next(self.backlog.reader()) => Received::Read(order),
        }
    }

    fn open(&mut self, wait: Duration) {
        self.opened.note();
        if matches!(self.request.start, Some(Start::Snapshot(_))) {
            self.seen.begin_snapshot();
        }
        let (mut service, request) = (self.service.clone(), self.request.clone());
        self.stream.open(wait, async move { service.watch_orders(request).await });
    }

    /// Notes a response, and returns it if it tells something new.
    fn accept(&mut self, mut response: WatchOrdersResponse) -> Option<WatchOrdersResponse> {
        self.waits.reset();
        if matches!(self.backlog, Backlog::Due) {
            self.backlog = Backlog::Listing(Box::new(Reader::snapshot(self.client.clone(), &self.request)));
        }
        // While a snapshot is sent there is no token: a break then starts the snapshot again.
        if !response.resume_token.is_empty() {
            self.request.start = Some(Start::ResumeToken(response.resume_token.clone()));
        }
        let is_new = match &response.event {
            Some(Event::Transition(transition)) => {
                self.seen.is_new(&transition.order_id, transition.version, is_terminal(transition.phase()))
            }
            Some(Event::Current(order)) => self.seen.is_new(&order.order_id, order.version, is_terminal(order.phase())),
            Some(Event::SnapshotComplete(_)) => return self.look_up_missing(),
            Some(Event::Heartbeat(_)) => self.backlog.is_empty(),
            None => false,
        };
        if !self.backlog.is_empty() {
            // A watch that went on from this token would miss what is still to be read.
            response.resume_token.clear();
        }
        is_new.then_some(response)
    }

    fn accept_read(&mut self, order: Order) -> Option<WatchOrdersResponse> {
        let is_new = self.seen.is_new(&order.order_id, order.version, is_terminal(order.phase()));
        let event = Some(Event::Current(order));
        is_new.then(|| WatchOrdersResponse { event, ..Default::default() })
    }

    fn after_reading(&mut self) -> Option<WatchOrdersResponse> {
        match self.backlog {
            Backlog::Listing(_) => self.look_up_missing(),
            Backlog::None | Backlog::Due | Backlog::LookingUp(_) => Some(self.complete()),
        }
    }

    /// The snapshot was read. Orders that are not in it any more, but that this watch has shown as moving, are read one by one.
    fn look_up_missing(&mut self) -> Option<WatchOrdersResponse> {
        let missing = self.seen.missing();
        if missing.is_empty() {
            return Some(self.complete());
        }
        self.backlog = Backlog::LookingUp(Box::new(Reader::ids(self.client.clone(), missing, &self.request)));
        None
    }

    /// Everything was read: from here on the tokens of the stream hold.
    fn complete(&mut self) -> WatchOrdersResponse {
        self.backlog = Backlog::None;
        let resume_token = self.resume_token().map(|token| token.as_bytes().to_vec()).unwrap_or_default().into();
        WatchOrdersResponse { event: Some(Event::SnapshotComplete(Default::default())), resume_token }
    }

    /// Chooses from where the next stream starts.
    fn interrupt(&mut self, error: Error) -> Result<Update<WatchOrdersResponse>, Error> {
        self.stream.close();
        let Some(resume) = self.resume(&error) else { return Err(error) };
        let wait = if resume == Resume::Pages { Duration::ZERO } else { self.waits.after(&error) };
        self.open(wait);
        Ok(Update::Interrupted(Interruption { error, wait, resume }))
    }

    /// `None` if the error is final.
    fn resume(&mut self, error: &Error) -> Option<Resume> {
        if error.is(SNAPSHOT_TOO_LARGE) {
            self.request.start = Some(Start::Now(Default::default()));
            self.backlog = Backlog::Due;
            return Some(Resume::Pages);
        }
        if error.code == Code::OutOfRange && error.reason.as_deref().is_none_or(|reason| reason == TOKEN_EXPIRED) {
            self.request.start = Some(Start::Snapshot(Default::default()));
            self.backlog = Backlog::None;
            return Some(Resume::Snapshot);
        }
        self.opened.may_resume(error).then(|| self.resume_in_place(error))
    }

    /// Before the first token only the error can tell where the stream was.
    fn resume_in_place(&mut self, error: &Error) -> Resume {
        if !matches!(self.request.start, Some(Start::Now(_))) {
            return Resume::InPlace;
        }
        let told = error.metadata.get("resume_token").and_then(|text| text.parse::<ResumeToken>().ok());
        match (told, &self.backlog) {
            (Some(token), _) => {
                self.request.start = Some(Start::ResumeToken(token.as_bytes().to_vec().into()));
                Resume::InPlace
            }
            // What happens meanwhile will be listed.
            (None, Backlog::Due) => Resume::InPlace,
            (None, _) => Resume::Now,
        }
    }

    /// The stream goes on; the reader repeats what failed.
    fn interrupt_reading(&self, error: Error, wait: Duration) -> Result<Update<WatchOrdersResponse>, Error> {
        if !self.opened.may_resume(&error) {
            return Err(error);
        }
        Ok(Update::Interrupted(Interruption { error, wait, resume: Resume::Pages }))
    }
}
