//! Watching one order until it has ended.

use std::time::Duration;

use comanda_proto::v1::{
    WatchOrderRequest, WatchOrderResponse, watch_order_response::Event, watch_service_client::WatchServiceClient,
};

use crate::{
    client::Client,
    credentials::Connection,
    error::Error,
    opened::Opened,
    phase::is_terminal,
    retry::Waits,
    stream::Stream,
    update::{Interruption, Resume, Update},
};

/// After the last transition the server ends the stream at once; a proxy may keep it open.
const AFTER_THE_END: Duration = Duration::from_secs(5);

/// The transitions of one order, each once and in order, whatever happens to connections and servers. Made by
/// [`Client::watch_order`].
#[derive(Debug)]
pub struct OrderWatch {
    service: WatchServiceClient<Connection>,
    opened: Opened,
    /// Asks for what comes after the last version seen.
    request: WatchOrderRequest,
    stream: Stream<WatchOrderResponse>,
    is_current_told: bool,
    has_ended: bool,
    waits: Waits,
}

impl Client {
    /// Watches one order from `after_version` on. Fails if no connection can be made; that there is no such order is told by
    /// [`next`](OrderWatch::next).
    pub async fn watch_order(&self, request: WatchOrderRequest) -> Result<OrderWatch, Error> {
        let mut watch = OrderWatch {
            service: self.watch_service().await?,
            opened: Opened::with(&self.config().credentials),
            request,
            stream: Stream::new(self.config().silence),
            is_current_told: false,
            has_ended: false,
            waits: self.waits(),
        };
        watch.open(Duration::ZERO);
        Ok(watch)
    }
}

impl OrderWatch {
    /// The next event: a transition, or once the order as it is after the transitions that had happened before the watch began, or the
    /// courier as it is now, which replaces the one before and has no version. `None` once the order has ended. Left out are heartbeats, and
    /// events of a kind that this client does not know.
    ///
    /// A stream that breaks, that falls silent or that ends before the order has is reported, and resumed at the next call, for as long
    /// as it takes. Errors about the request (NOT_FOUND, INVALID_ARGUMENT, ...) are final.
    ///
    /// Nothing is lost where the returned future is dropped.
    pub async fn next(&mut self) -> Result<Option<Update<WatchOrderResponse>>, Error> {
        if self.stream.is_closed() && !self.has_ended {
            // The caller goes on after an error that was final.
            self.open(Duration::ZERO);
        }
        while !self.stream.is_closed() {
            let patience = if self.has_ended { AFTER_THE_END } else { Duration::MAX };
            match self.stream.next(patience).await {
                Ok(response) if self.accept(&response) => return Ok(Some(Update::Event(response))),
                Ok(_) => {}
                Err(_) if self.has_ended => self.stream.close(),
                Err(error) => return self.interrupt(error).map(Some),
            }
        }
        Ok(None)
    }

    fn open(&mut self, wait: Duration) {
        self.opened.note();
        let (mut service, request) = (self.service.clone(), self.request.clone());
        self.stream.open(wait, async move { service.watch_order(request).await });
    }

    /// Notes a response, and says whether it tells something new.
    fn accept(&mut self, response: &WatchOrderResponse) -> bool {
        self.waits.reset();
        match &response.event {
            Some(Event::Transition(transition)) => {
                self.has_ended |= is_terminal(transition.phase());
                let is_new = transition.version > self.request.after_version;
                self.request.after_version = self.request.after_version.max(transition.version);
                is_new
            }
            Some(Event::Current(order)) => {
                self.has_ended |= is_terminal(order.phase());
                !std::mem::replace(&mut self.is_current_told, true)
            }
            Some(Event::Courier(_)) => true,
            Some(Event::Heartbeat(_)) | None => false,
        }
    }

    fn interrupt(&mut self, error: Error) -> Result<Update<WatchOrderResponse>, Error> {
        self.stream.close();
        if !self.opened.may_resume(&error) {
            return Err(error);
        }
        let wait = self.waits.after(&error);
        self.open(wait);
        Ok(Update::Interrupted(Interruption { error, wait, resume: Resume::InPlace }))
    }
}
