//! Watching what a courier has to do.

use std::time::Duration;

use comanda_proto::v1::{WatchCourierRequest, WatchCourierResponse, dispatch_service_client::DispatchServiceClient};

use crate::{
    client::Client,
    credentials::Connection,
    error::Error,
    opened::Opened,
    retry::Waits,
    stream::Stream,
    update::{Interruption, Resume, Update},
};

/// The open offers and confirmed assignments of one courier, whatever happens to connections and servers. Made by
/// [`Client::watch_courier`].
#[derive(Debug)]
pub struct CourierWatch {
    service: DispatchServiceClient<Connection>,
    opened: Opened,
    request: WatchCourierRequest,
    stream: Stream<WatchCourierResponse>,
    /// What was handed out last.
    told: Option<WatchCourierResponse>,
    waits: Waits,
}

impl Client {
    /// Watches one courier. Fails if no connection can be made; that there is no such courier is told by [`next`](CourierWatch::next).
    pub async fn watch_courier(&self, request: WatchCourierRequest) -> Result<CourierWatch, Error> {
        let mut watch = CourierWatch {
            service: self.dispatch_service().await?,
            opened: Opened::with(&self.config().credentials),
            request,
            stream: Stream::new(self.config().silence),
            told: None,
            waits: self.waits(),
        };
        watch.open(Duration::ZERO);
        Ok(watch)
    }
}

impl CourierWatch {
    /// What the courier has to do now, each time it has changed. Each event replaces the one before. Repetitions are left out, and
    /// what is older than what was handed out.
    ///
    /// A stream that breaks, that falls silent or that ends is reported, and opened again at the next call, for as long as it takes.
    /// Errors about the request (NOT_FOUND, PERMISSION_DENIED, ...) are final.
    ///
    /// Nothing is lost where the returned future is dropped.
    pub async fn next(&mut self) -> Result<Update<WatchCourierResponse>, Error> {
        if self.stream.is_closed() {
            // The caller goes on after an error that was final.
            self.open(Duration::ZERO);
        }
        loop {
            match self.stream.next(Duration::MAX).await {
                Ok(response) if self.accept(&response) => return Ok(Update::Event(response)),
                Ok(_) => {}
                Err(error) => return self.interrupt(error),
            }
        }
    }

    fn open(&mut self, wait: Duration) {
        self.opened.note();
        let (mut service, request) = (self.service.clone(), self.request.clone());
        self.stream.open(wait, async move { service.watch_courier(request).await });
    }

    /// Notes a response, and says whether it tells something new.
    fn accept(&mut self, response: &WatchCourierResponse) -> bool {
        self.waits.reset();
        let is_new = self.told.as_ref().is_none_or(|told| response.revision >= told.revision && response != told);
        if is_new {
            self.told = Some(response.clone());
        }
        is_new
    }

    fn interrupt(&mut self, error: Error) -> Result<Update<WatchCourierResponse>, Error> {
        self.stream.close();
        if !self.opened.may_resume(&error) {
            return Err(error);
        }
        let wait = self.waits.after(&error);
        self.open(wait);
        Ok(Update::Interrupted(Interruption { error, wait, resume: Resume::InPlace }))
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::CourierStatus;
    use tonic::{Status, transport::Endpoint};

    use super::*;
    use crate::credentials::Credentials;

    /// A watch that never connects.
    fn watch() -> CourierWatch {
        CourierWatch {
            service: DispatchServiceClient::with_interceptor(
                Endpoint::from_static("http://127.0.0.1:1").connect_lazy(),
                Credentials::none(),
            ),
            opened: Opened::with(&Credentials::none()),
            request: WatchCourierRequest::default(),
            stream: Stream::new(Duration::from_secs(1)),
            told: None,
            waits: Waits::new(Duration::from_millis(1), Duration::from_millis(1)),
        }
    }

    #[tokio::test]
    async fn repetitions_and_what_is_older_are_left_out() {
        let at = |revision| WatchCourierResponse { revision, ..Default::default() };
        let mut watch = watch();
        let new: Vec<_> = [at(3), at(3), at(2), at(4), at(4)].iter().map(|response| watch.accept(response)).collect();
        assert_eq!(new, [true, false, false, true, false]);
        let paused = WatchCourierResponse { status: CourierStatus::Paused.into(), ..at(4) };
        assert!(watch.accept(&paused), "it tells something new");
    }

    #[tokio::test]
    async fn a_stream_that_breaks_is_opened_again_but_not_for_a_courier_that_does_not_exist() {
        let mut watch = watch();
        let broken = watch.interrupt(Status::unavailable("restart").into()).expect("resumed");
        assert!(matches!(broken, Update::Interrupted(_)) && !watch.stream.is_closed());
        watch.interrupt(Status::not_found("no such courier").into()).expect_err("final");
        assert!(watch.stream.is_closed());
    }
}
